/**
 * Events as CloudEvents 1.0 in JSON, and in the schema of Event Grid (`EventGridEvent`): types, subjects and data are those
 * that the emulated service gives its own events (reference: coldpath.md, "Webhook").
 */
import { type EventView, jsonBody } from '../event-view.ts';

export type EventForm = 'cloudEvents' | 'eventGrid';

export const contentTypes: Readonly<Record<EventForm, string>> = {
  cloudEvents: 'application/cloudevents-batch+json; charset=UTF-8',
  eventGrid: 'application/json; charset=UTF-8',
};

/** @param hub the hub's id @returns the event as one element of a batch */
export function eventText(form: EventForm, event: EventView, hub: string): string {
  const subject = subjectOf(event);
  const time = new Date(event.enqueuedTime).toISOString();
  const [type, data] = typeAndData(event, hub);
  const common = { id: eventId(event), subject, ...(form === 'cloudEvents' ? { time } : { eventTime: time }) };
  return form === 'cloudEvents'
    ? JSON.stringify({
        specversion: '1.0',
        ...common,
        source: sourceOf(hub),
        type,
        datacontenttype: 'application/json',
        data,
      })
    : JSON.stringify({ ...common, topic: sourceOf(hub), eventType: type, data, dataVersion: '', metadataVersion: '1' });
}

/** The same for an event that is delivered again, so that a receiver knows it. */
export const eventId = ({ partition, sequence }: EventView): string => `${partition}-${sequence}`;

const sourceOf = (hub: string): string => `/hubs/${encodeURIComponent(hub)}`;

function subjectOf({ deviceId, moduleId }: EventView): string {
  if (deviceId === undefined) return 'hub';
  const device = `devices/${deviceId}`;
  return moduleId === undefined ? device : `${device}/modules/${moduleId}`;
}

function typeAndData(event: EventView, hub: string): readonly [type: string, data: unknown] {
  if (event.source === 'Telemetry') return ['Microsoft.Devices.DeviceTelemetry', telemetryData(event)];
  const operation = event.properties.find(([name]) => name === 'opType')?.[1] ?? '';
  const about = {
    hubName: hub,
    ...(event.deviceId !== undefined && { deviceId: event.deviceId }),
    ...(event.moduleId !== undefined && { moduleId: event.moduleId }),
  };
  const type = eventTypes.get(operation);
  const body = jsonBody(event)?.value;
  if (type === 'Microsoft.Devices.DeviceCreated' || type === 'Microsoft.Devices.DeviceDeleted') {
    return [type, { twin: body, ...about }];
  }
  if (type !== undefined) return [type, { deviceConnectionStateEventInfo: body, ...about }];
  return [`Mooring.${event.source}${operation === '' ? '' : `.${operation}`}`, { ...telemetryData(event), ...about }];
}

const eventTypes: ReadonlyMap<string, string> = new Map([
  ['createDeviceIdentity', 'Microsoft.Devices.DeviceCreated'],
  ['deleteDeviceIdentity', 'Microsoft.Devices.DeviceDeleted'],
  ['deviceConnected', 'Microsoft.Devices.DeviceConnected'],
  ['deviceDisconnected', 'Microsoft.Devices.DeviceDisconnected'],
]);

function telemetryData(event: EventView): object {
  const { message, hubFacts } = event;
  const facts: [string, string][] = [];
  if (message.messageId !== undefined) facts.push(['message-id', message.messageId]);
  if (message.correlationId !== undefined) facts.push(['correlation-id', message.correlationId]);
  if (message.contentType !== undefined) facts.push(['iothub-content-type', message.contentType]);
  if (message.contentEncoding !== undefined) facts.push(['iothub-content-encoding', message.contentEncoding]);
  for (const [name, value] of hubFacts) {
    if (name.startsWith('iothub-') && name !== 'iothub-enqueuedtime') facts.push([name, value]);
  }
  facts.push(['iothub-enqueuedtime', new Date(event.enqueuedTime).toISOString()]);
  const json = jsonBody(event);
  return {
    // A member `__proto__` of an object literal would be lost: entries define it.
    properties: Object.fromEntries(event.properties),
    systemProperties: Object.fromEntries(facts),
    body: json === undefined ? message.body.toString('base64') : json.value,
  };
}

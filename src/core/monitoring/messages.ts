/** A monitoring event as the message that readers of the stream get. */
import type { Telemetry } from '../events/types.ts';
import type { StreamMessage } from './stream.ts';
import { MONITORING_SCHEMA_VERSION, type MonitoringEvent } from './types.ts';

export const MONITORING_SOURCE = 'monitoringEvents';

/** The event as JSON: times as ISO 8601, absent fields left out, in a fixed order. */
export function monitoringBody(event: MonitoringEvent): Record<string, unknown> {
  const { type, time, sequenceNumber, deviceId, moduleId, protocol, credential, peer, correlationId, ...own } = event;
  const iso = (value: unknown): unknown => (typeof value === 'number' ? new Date(value).toISOString() : value);
  const { first, last, since, raisedTime, lastActivityTime, checkedTime, ...facts } = own as Readonly<
    Record<string, unknown>
  >;
  return {
    schemaVersion: MONITORING_SCHEMA_VERSION,
    type,
    time: iso(time),
    sequenceNumber,
    deviceId,
    moduleId,
    protocol,
    credential,
    peer,
    correlationId,
    ...facts,
    first: iso(first),
    last: iso(last),
    since: iso(since),
    raisedTime: iso(raisedTime),
    lastActivityTime: iso(lastActivityTime),
    checkedTime: iso(checkedTime),
  };
}

/** For the monitoring event hub, which has one partition: one order of everything. */
export function monitoringMessage(event: MonitoringEvent): StreamMessage {
  const { type, deviceId, moduleId, correlationId } = event;
  const properties: (readonly [string, string])[] = [['type', type]];
  if (deviceId !== undefined) properties.push(['deviceId', deviceId]);
  if (moduleId !== undefined) properties.push(['moduleId', moduleId]);
  const telemetry: Telemetry = {
    system: {
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      ...(correlationId !== undefined && { correlationId }),
    },
    properties,
    body: Buffer.from(JSON.stringify(monitoringBody(event))),
  };
  const stamp = {
    ...(deviceId !== undefined && { deviceId }),
    ...(moduleId !== undefined && { moduleId }),
    source: MONITORING_SOURCE,
  };
  return { stamp, telemetry, partition: 0 };
}

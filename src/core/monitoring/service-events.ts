/** The emulated service's own events among the telemetry, in its format (service reference 7.3). */
import type { StreamMessage } from './stream.ts';
import type { MonitoringEvent } from './types.ts';

export type ServiceEvents = 'connection-state' | 'lifecycle';

interface Form {
  readonly wanted: ServiceEvents;
  readonly source: string;
  readonly schema: string;
  readonly opType: string;
}

const forms: Readonly<Partial<Record<MonitoringEvent['type'], Form>>> = {
  connected: connectionState('deviceConnected'),
  disconnected: connectionState('deviceDisconnected'),
  identityCreated: lifecycle('createDeviceIdentity'),
  identityDeleted: lifecycle('deleteDeviceIdentity'),
};

const SEQUENCE_DIGITS = 64;

/** Undefined = the service has no such event, or nobody wants it. */
export function serviceMessage(
  event: MonitoringEvent,
  {
    hubName,
    partition,
    wanted,
  }: { readonly hubName: string; readonly partition: number; readonly wanted: ReadonlySet<string> },
): StreamMessage | undefined {
  const form = forms[event.type];
  const { deviceId, moduleId, sequenceNumber } = event;
  if (form === undefined || deviceId === undefined || !wanted.has(form.wanted)) return undefined;
  // The service tells of devices' connections by MQTT and AMQP only; modules have lifecycle names of their own.
  const opType =
    moduleId !== undefined && form.wanted === 'lifecycle' ? form.opType.replace('Device', 'Module') : form.opType;
  const body =
    form.wanted === 'connection-state'
      ? { sequenceNumber: sequenceNumber.toString(16).toUpperCase().padStart(SEQUENCE_DIGITS, '0') }
      : bareTwin(deviceId, moduleId);
  const properties: (readonly [string, string])[] = [
    ['deviceId', deviceId],
    ...(moduleId === undefined ? [] : [['moduleId', moduleId] as const]),
    ['hubName', hubName],
    ['operationTimestamp', `${new Date(event.time).toISOString().slice(0, -1)}0000Z`],
    ['iothub-message-schema', form.schema],
    ['opType', opType],
  ];
  return {
    stamp: { deviceId, ...(moduleId !== undefined && { moduleId }), source: form.source },
    telemetry: {
      system: {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        userId: hubName,
        correlationId: event.correlationId ?? `${deviceId}-${sequenceNumber.toString(16)}`,
      },
      properties,
      body: Buffer.from(JSON.stringify(body)),
    },
    partition,
  };
}

function connectionState(opType: string): Form {
  return {
    wanted: 'connection-state',
    source: 'deviceConnectionStateEvents',
    schema: 'deviceConnectionStateNotification',
    opType,
  };
}

function lifecycle(opType: string): Form {
  return { wanted: 'lifecycle', source: 'deviceLifecycleEvents', schema: 'deviceLifecycleNotification', opType };
}

/** The twin of an identity without properties: this hub keeps no twins yet, and a fresh one looks like this. */
function bareTwin(deviceId: string, moduleId: string | undefined): Record<string, unknown> {
  const empty = { $metadata: { $lastUpdated: '0001-01-01T00:00:00Z' }, $version: 1 };
  return {
    deviceId,
    ...(moduleId !== undefined && { moduleId }),
    etag: 'AAAAAAAAAAE=',
    version: 2,
    properties: { desired: empty, reported: empty },
  };
}

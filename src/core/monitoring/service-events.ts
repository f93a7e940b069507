/**
 * Connections among the telemetry, in the emulated service's format (service reference 7.3). Changes of twins and identities come from
 * the store that they are written to (`core/twins/publishing.ts`).
 */
import type { StreamMessage } from './stream.ts';
import type { MonitoringEvent } from './types.ts';

export type ServiceEvents = 'connection-state';

interface Form {
  readonly wanted: ServiceEvents;
  readonly source: string;
  readonly schema: string;
  readonly opType: string;
}

const forms: Readonly<Partial<Record<MonitoringEvent['type'], Form>>> = {
  connected: connectionState('deviceConnected'),
  disconnected: connectionState('deviceDisconnected'),
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
  const body = { sequenceNumber: sequenceNumber.toString(16).toUpperCase().padStart(SEQUENCE_DIGITS, '0') };
  const properties: (readonly [string, string])[] = [
    ['deviceId', deviceId],
    ...(moduleId === undefined ? [] : [['moduleId', moduleId] as const]),
    ['hubName', hubName],
    ['operationTimestamp', `${new Date(event.time).toISOString().slice(0, -1)}0000Z`],
    ['iothub-message-schema', form.schema],
    ['opType', form.opType],
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

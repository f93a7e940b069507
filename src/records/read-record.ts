/** What a record of the log says, taken apart again: for routes, endpoints and archives. */
import type { MessageHead } from '../core/events/ports.ts';
import type { HubEventStamp, Telemetry, TelemetrySystem } from '../core/events/types.ts';
import { type BareMessage, readBareMessage } from '../wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES, readRecordHeader, recordBody, routingMark } from '../wire/amqp/record.ts';

export { routingMark };

export interface ReadRecord {
  readonly stamp: HubEventStamp;
  /** Its body is a view of the record's bytes. */
  readonly telemetry: Telemetry;
  /** When the hub took it, UTC milliseconds. */
  readonly hubTime: number;
}

/**
 * The record that lies from `start` to `end`. What was written by `recordCodec.encode` of the same, but for properties of which one
 * name stood there twice. @throws RangeError, AmqpDecodeError: the store is damaged
 */
export function readRecord(bytes: Buffer, start: number, end: number): ReadRecord {
  const { body: bodyAt, hubTime } = readRecordHeader(bytes, start, end);
  const message = readBareMessage(bytes.subarray(start + RECORD_HEADER_BYTES, bodyAt));
  const { system, properties } = headOf(message);
  const { annotations } = message;
  const traceId = annotations.get('x-opt-mooring-trace') ?? undefined;
  return {
    stamp: stampOf(annotations),
    telemetry: {
      ...{ system, properties, body: recordBody(bytes, start, end) },
      ...(traceId !== undefined && { traceId }),
    },
    hubTime,
  };
}

/** Whose event the record is that lies from `start` to `end`; undefined = nobody's. What stands behind its annotations is not read. */
export function readSender(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly deviceId: string; readonly moduleId?: string } | undefined {
  const { properties } = readRecordHeader(bytes, start, end);
  const { annotations } = readBareMessage(bytes.subarray(start + RECORD_HEADER_BYTES, properties));
  const { deviceId, moduleId } = stampOf(annotations);
  if (deviceId === undefined) return undefined;
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}

/** The message of a finished head, which has no body behind it. */
export function readHead(head: Buffer): MessageHead {
  return headOf(readBareMessage(head.subarray(RECORD_HEADER_BYTES)));
}

const ofStamp = {
  deviceId: 'iothub-connection-device-id',
  moduleId: 'iothub-connection-module-id',
  authMethod: 'iothub-connection-auth-method',
  generationId: 'iothub-connection-auth-generation-id',
  modelId: 'dt-dataschema',
} as const;

function stampOf(annotations: BareMessage['annotations']): HubEventStamp {
  const found = Object.entries(ofStamp).flatMap(([field, name]) => {
    const value = annotations.get(name) ?? undefined;
    return value === undefined ? [] : [[field, value]];
  });
  return { source: annotations.get('iothub-message-source') ?? 'Telemetry', ...Object.fromEntries(found) };
}

/** System properties that travel among the application's. */
const amongProperties: Readonly<Record<string, 'messageSchema' | 'outputName' | 'creationTime'>> = {
  'iothub-message-schema': 'messageSchema',
  'iothub-outputname': 'outputName',
  'iothub-creation-time-utc': 'creationTime',
};

function headOf(message: BareMessage): MessageHead {
  const { annotations } = message;
  const named: { [Field in keyof TelemetrySystem]?: TelemetrySystem[Field] } = {};
  const set = (field: keyof TelemetrySystem, value: unknown): void => {
    if (value !== undefined && value !== null) Object.assign(named, { [field]: value });
  };
  set('messageId', message.messageId);
  set('correlationId', message.correlationId);
  set('idTypes', message.idTypes);
  set('userId', message.userId);
  set('to', message.to);
  set('contentType', message.contentType);
  set('contentEncoding', message.contentEncoding);
  set('expiry', message.expiry);
  set('subject', annotations.get('dt-subject'));
  set('interfaceId', annotations.get('iothub-interface-id'));
  set('diagnosticId', annotations.get('Diagnostic-Id'));
  set('correlationContext', annotations.get('Correlation-Context'));
  const properties: (readonly [string, string | null])[] = [];
  for (const property of message.properties) {
    const [name, value] = property;
    const field = Object.hasOwn(amongProperties, name) ? amongProperties[name] : undefined;
    if (field === undefined || value === null) properties.push(property);
    else set(field, field === 'creationTime' ? Date.parse(value) : value);
  }
  return { system: named, properties };
}

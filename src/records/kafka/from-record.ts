/** A record of the event log, as `record-codec.ts` writes it, taken apart and put together as a record of Kafka. */
import type { HubEventStamp, Telemetry, TelemetrySystem } from '../../core/events/types.ts';
import { type BareMessage, readBareMessage } from '../../wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES, readRecordHeader, routingMark } from '../../wire/amqp/record.ts';
import { recordCodec, TRACE_KEY } from '../record-codec.ts';
import { kafkaRecordCodec } from './record-codec.ts';

export interface TakenApart {
  readonly stamp: HubEventStamp;
  readonly message: Telemetry;
  /** UTC milliseconds at which the hub took the message. */
  readonly hubTime: number;
}

/** Key, value and headers of a record of Kafka. */
export interface KafkaContent {
  readonly bytes: Buffer;
  /** A reader of Kafka gets the record byte by byte as it was. Otherwise it gets what it says, put together in another way. */
  readonly isSame: boolean;
}

/** Among the application's properties of a record, written by the hub itself. */
const ofApplication = {
  messageSchema: 'iothub-message-schema',
  outputName: 'iothub-outputname',
} as const;
const CREATION_TIME = 'iothub-creation-time-utc';

/**
 * The record that lies from `start` to `end`, for Kafka.
 * @throws RangeError, AmqpDecodeError it is no record of the log
 */
export function kafkaContentOf(bytes: Buffer, start: number, end: number): KafkaContent {
  const { hubTime } = readRecordHeader(bytes, start, end);
  const read = readBareMessage(bytes.subarray(start + RECORD_HEADER_BYTES, end));
  // Which endpoints get it, and whether readers see it, was decided when it came.
  const mark = routingMark(bytes, start);
  const isSame = ({ stamp, message }: Omit<TakenApart, 'hubTime'>): boolean =>
    recordCodec.encode(stamp, message, hubTime, mark).equals(bytes.subarray(start, end));
  const parts = takenApart(read, true);
  // A device may have given a property of its own the name of one of the hub's.
  const others = isSame(parts) ? parts : takenApart(read, false);
  const isOthers = others === parts || isSame(others);
  const { stamp, message } = isOthers ? others : parts;
  return { bytes: kafkaRecordCodec.encode(stamp, message, hubTime, mark), isSame: isOthers };
}

/** @param hasOwn whether properties of the hub's names are the hub's */
function takenApart(
  { annotations, properties, body, ...read }: BareMessage,
  hasOwn: boolean,
): { readonly stamp: HubEventStamp; readonly message: Telemetry } {
  const named = (name: string): string | undefined => annotations.get(name) ?? undefined;
  const own = new Map(hasOwn ? properties : []);
  const creation = own.get(CREATION_TIME) ?? undefined;
  const system: TelemetrySystem = defined({
    messageId: read.messageId,
    correlationId: read.correlationId,
    idTypes: read.idTypes,
    userId: read.userId,
    to: read.to,
    contentType: read.contentType,
    contentEncoding: read.contentEncoding,
    expiry: read.expiry,
    subject: named('dt-subject'),
    interfaceId: named('iothub-interface-id'),
    diagnosticId: named('Diagnostic-Id'),
    correlationContext: named('Correlation-Context'),
    messageSchema: own.get(ofApplication.messageSchema) ?? undefined,
    outputName: own.get(ofApplication.outputName) ?? undefined,
    creationTime: creation === undefined || Number.isNaN(Date.parse(creation)) ? undefined : Date.parse(creation),
  });
  const isOwn = (name: string): boolean =>
    (name === ofApplication.messageSchema && system.messageSchema !== undefined) ||
    (name === ofApplication.outputName && system.outputName !== undefined) ||
    (name === CREATION_TIME && system.creationTime !== undefined);
  const traceId = named(TRACE_KEY);
  return {
    stamp: {
      source: named('iothub-message-source') ?? 'Telemetry',
      ...defined({
        deviceId: named('iothub-connection-device-id'),
        moduleId: named('iothub-connection-module-id'),
        authMethod: named('iothub-connection-auth-method'),
        generationId: named('iothub-connection-auth-generation-id'),
        modelId: named('dt-dataschema'),
      }),
    },
    message: {
      system,
      properties: properties.filter(([name]) => !isOwn(name)),
      body,
      ...(traceId !== undefined && { traceId }),
    },
  };
}

function defined<Value extends object>(value: Value): { [Key in keyof Value]?: Exclude<Value[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as never;
}

/** A stored message as a page shows it: text where it is text, cut where it is long. */
import { limits } from '../../../../base/limits.ts';
import { readBareMessage } from '../../../../wire/amqp/bare-message.ts';
import { OWN_ANNOTATIONS_AT, RECORD_HEADER_BYTES, RECORD_HIDDEN, routingMark } from '../../../../wire/amqp/record.ts';

const DEVICE_KEY = Buffer.from('\u00a3\u001biothub-connection-device-id', 'latin1');
const SHORT_STRING = 0xa1;

/**
 * The device of a record, from the bytes at which the hub writes it first; undefined = an event of no device, or one that readers
 * of the built-in event hub do not see. Nothing is decoded: it is asked of every message while a page watches.
 */
export function deviceOfRecord(bytes: Buffer, start: number, end: number): string | undefined {
  const at = start + OWN_ANNOTATIONS_AT;
  const idAt = at + DEVICE_KEY.length + 2;
  if (idAt > end || bytes[idAt - 2] !== SHORT_STRING || (routingMark(bytes, start) & RECORD_HIDDEN) !== 0)
    return undefined;
  if (bytes.compare(DEVICE_KEY, 0, DEVICE_KEY.length, at, at + DEVICE_KEY.length) !== 0) return undefined;
  return bytes.toString('latin1', idAt, Math.min(end, idAt + bytes[idAt - 1]));
}

export interface ShownEvent {
  readonly sequenceNumber: number;
  readonly partition: number;
  /** UTC milliseconds. */
  readonly enqueuedTime: number;
  readonly deviceId: string;
  readonly moduleId?: string;
  /** `Telemetry`, or the source of an event of the hub itself. */
  readonly source: string;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly creationTime?: string;
  /** The device's own, as pairs: a name may be any text. */
  readonly properties: readonly (readonly [name: string, value: string | null])[];
  readonly body: string;
  readonly bodyEncoding: 'utf8' | 'base64';
  /** Of the whole body. */
  readonly bytes: number;
  readonly truncated: boolean;
}

export interface RecordPlace {
  readonly partition: number;
  readonly sequence: number;
  readonly time: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws AmqpDecodeError if the record is damaged */
export function shownEvent(bytes: Buffer, start: number, end: number, place: RecordPlace): ShownEvent {
  const message = readBareMessage(bytes.subarray(start + RECORD_HEADER_BYTES, end));
  const { annotations, messageId, correlationId, contentType, contentEncoding, body } = message;
  const moduleId = annotations.get('iothub-connection-module-id');
  return {
    sequenceNumber: place.sequence,
    partition: place.partition,
    enqueuedTime: place.time,
    deviceId: annotations.get('iothub-connection-device-id') ?? '',
    ...(moduleId != null && { moduleId }),
    source: annotations.get('iothub-message-source') ?? 'Telemetry',
    ...(messageId !== undefined && { messageId }),
    ...(correlationId !== undefined && { correlationId }),
    ...(contentType !== undefined && { contentType }),
    ...(contentEncoding !== undefined && { contentEncoding }),
    properties: message.properties,
    ...shownBody(body),
  };
}

function shownBody(body: Buffer): Pick<ShownEvent, 'body' | 'bodyEncoding' | 'bytes' | 'truncated'> {
  const truncated = body.length > limits.portalBodyBytesMax;
  const shown = truncated ? body.subarray(0, limits.portalBodyBytesMax) : body;
  const common = { bytes: body.length, truncated };
  // A cut may stand within a character: those that it leaves open are looked for at the end alone.
  for (let open = 0; open <= (truncated ? 3 : 0); open++) {
    try {
      return { body: utf8.decode(shown.subarray(0, shown.length - open)), bodyEncoding: 'utf8', ...common };
    } catch {
      // Not text, or not up to here.
    }
  }
  return { body: shown.toString('base64'), bodyEncoding: 'base64', ...common };
}

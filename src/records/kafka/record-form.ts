/**
 * Records of Kafka as the records of the event log (`wire/amqp/record.ts`), which readers receive. The head of a record depends on its
 * key and its headers but the time; devices send the same ones again and again, so the last head of each key is kept.
 */
import { limits } from '../../base/limits.ts';
import { recordHead, recordSize, writeDataHead, writeHubTime } from '../../wire/amqp/record.ts';
import type { RecordCursor } from '../../wire/kafka/record-batch.ts';
import type { RecordForm } from '../../wire/kafka/record-form.ts';
import { propertiesBlock, senderPrefix, writeRoutingMark } from '../record-codec.ts';
import { type Header, HUB_TIME, isTime, messageOf, TIME_DIGITS } from './headers.ts';

interface KeptHead {
  readonly key: Buffer | undefined;
  /** Of the record's headers, without the digits of the time where `isOwn`. */
  readonly headers: Buffer;
  readonly isOwn: boolean;
  readonly head: Buffer;
}

const endOfOwn = Buffer.concat([
  Buffer.from([2 * HUB_TIME.length]),
  Buffer.from(HUB_TIME, 'latin1'),
  Buffer.from([2 * TIME_DIGITS]),
]);
const ZERO = 0x30;

/** A form with heads of its own: one for each log. */
export function kafkaRecordForm(): RecordForm {
  /** By what their keys come to: of two that come to the same the newer one is there. */
  const kept = new Array<KeptHead | undefined>(limits.kafkaHeadsMax).fill(undefined);
  let head: Buffer = Buffer.alloc(0);
  let hubTime = 0;

  const find = (cursor: RecordCursor, time: number): void => {
    const { bytes, keyStart, keyEnd, headersStart, end } = cursor;
    const place = placeOf(bytes, keyStart, keyEnd) % limits.kafkaHeadsMax;
    const known = kept[place];
    if (known !== undefined && isOf(known, cursor)) {
      const said = known.isOwn ? digitsAt(bytes, end) : time;
      if (said >= 0) {
        head = known.head;
        hubTime = said;
        return;
      }
    }
    const isOwn = endsWithTime(cursor);
    hubTime = isOwn ? digitsAt(bytes, end) : time;
    head = headOf(cursor);
    const headersEnd = isOwn ? end - TIME_DIGITS : end;
    // Of what another program writes key and headers may be as long as a batch.
    if (headersEnd - headersStart + keyEnd - keyStart > limits.kafkaHeadBytesMax) return;
    const key = keyEnd < keyStart ? undefined : Buffer.from(bytes.subarray(keyStart, keyEnd));
    kept[place] = { key, headers: Buffer.from(bytes.subarray(headersStart, headersEnd)), isOwn, head };
  };

  return {
    size(cursor, time) {
      find(cursor, time);
      return recordSize(head.length, Math.max(0, cursor.valueEnd - cursor.valueStart));
    },
    write(cursor, _time, target, at) {
      const { bytes, valueStart, valueEnd } = cursor;
      // As `writeRecord`, but without a view of the body for each.
      target.set(head, at);
      writeHubTime(target, at, hubTime);
      const place = writeDataHead(target, at + head.length, Math.max(0, valueEnd - valueStart));
      if (valueEnd > valueStart) bytes.copy(target, place, valueStart, valueEnd);
    },
  };
}

function headOf(cursor: RecordCursor): Buffer {
  const { bytes, keyStart, keyEnd } = cursor;
  const headers: Header[] = [];
  cursor.headers((nameStart, nameEnd, valueStart, valueEnd) => {
    headers.push([
      bytes.toString('utf8', nameStart, nameEnd),
      valueEnd < valueStart ? null : bytes.toString('utf8', valueStart, valueEnd),
    ]);
  });
  const key = keyEnd < keyStart ? undefined : bytes.toString('utf8', keyStart, keyEnd);
  const { stamp, message, mark } = messageOf(key, headers);
  const head = recordHead(senderPrefix(stamp), propertiesBlock(message));
  writeRoutingMark(head, 0, mark);
  return head;
}

/** The record ends as the hub writes it: with the time, in as many digits as it has. */
function endsWithTime({ bytes, headersStart, end }: RecordCursor): boolean {
  const at = end - TIME_DIGITS - endOfOwn.length;
  return (
    at >= headersStart &&
    bytes.compare(endOfOwn, 0, endOfOwn.length, at, end - TIME_DIGITS) === 0 &&
    isTime(bytes.toString('latin1', end - TIME_DIGITS, end))
  );
}

/** -1 = other bytes than digits. */
function digitsAt(bytes: Buffer, end: number): number {
  let value = 0;
  for (let at = end - TIME_DIGITS; at < end; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = 10 * value + digit;
  }
  return value;
}

/** The record has that key and those headers, but for the time. */
function isOf({ key, headers, isOwn }: KeptHead, cursor: RecordCursor): boolean {
  const { bytes, keyStart, keyEnd, headersStart, end } = cursor;
  const headersEnd = isOwn ? end - TIME_DIGITS : end;
  if (headersEnd - headersStart !== headers.length || keyEnd - keyStart !== (key?.length ?? -1)) return false;
  if (key !== undefined) for (let at = 0; at < key.length; at++) if (bytes[keyStart + at] !== key[at]) return false;
  return bytes.compare(headers, 0, headers.length, headersStart, headersEnd) === 0;
}

/** FNV-1a of the key's bytes; not negative. */
function placeOf(bytes: Buffer, start: number, end: number): number {
  let sum = 0x811c9dc5;
  for (let at = start; at < end; at++) sum = Math.imul(sum ^ bytes[at], 0x01000193);
  return sum >>> 0;
}

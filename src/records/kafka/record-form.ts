/**
 * Records of Kafka as the records of the event log (`wire/amqp/record.ts`), which readers receive. The head of a record depends on its
 * key and its headers but the time; devices send the same ones again and again, so the last head of each key is kept.
 */
import { limits } from '../../base/limits.ts';
import { recordHead, recordSize, writeRecord } from '../../wire/amqp/record.ts';
import type { RecordCursor } from '../../wire/kafka/record-batch.ts';
import type { RecordForm } from '../../wire/kafka/record-form.ts';
import { propertiesBlock, senderPrefix } from '../record-codec.ts';
import { type Header, HUB_TIME, isTime, messageOf, TIME_DIGITS } from './headers.ts';

interface KeptHead {
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
  const kept = new Map<string, KeptHead>();
  let head: Buffer = Buffer.alloc(0);
  let hubTime = 0;

  const find = (cursor: RecordCursor, time: number): void => {
    const { bytes, keyStart, keyEnd, headersStart, end } = cursor;
    const isOwn = endsWithTime(cursor);
    hubTime = isOwn ? digitsAt(bytes, end) : time;
    const key = keyEnd < keyStart ? '' : bytes.toString('latin1', keyStart, keyEnd);
    const known = kept.get(key);
    const headersEnd = isOwn ? end - TIME_DIGITS : end;
    if (
      known?.isOwn === isOwn &&
      bytes.compare(known.headers, 0, known.headers.length, headersStart, headersEnd) === 0
    ) {
      head = known.head;
      return;
    }
    head = headOf(cursor);
    // Of what another program writes the headers may be as long as a batch.
    if (headersEnd - headersStart > limits.kafkaHeadBytesMax) return;
    // As many as there may be; the first of them goes, which has been there for longest.
    if (known === undefined && kept.size >= limits.kafkaHeadsMax) {
      for (const first of kept.keys()) {
        kept.delete(first);
        break;
      }
    }
    kept.set(key, { headers: Buffer.from(bytes.subarray(headersStart, headersEnd)), isOwn, head });
  };

  return {
    size(cursor, time) {
      find(cursor, time);
      return recordSize(head.length, Math.max(0, cursor.valueEnd - cursor.valueStart));
    },
    write(cursor, time, target, at) {
      find(cursor, time);
      const { bytes, valueStart, valueEnd } = cursor;
      writeRecord(target, at, head, hubTime, bytes, valueStart, Math.max(valueStart, valueEnd));
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
  const { stamp, message } = messageOf(key, headers);
  return recordHead(senderPrefix(stamp), propertiesBlock(message));
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

function digitsAt(bytes: Buffer, end: number): number {
  let value = 0;
  for (let at = end - TIME_DIGITS; at < end; at++) value = 10 * value + bytes[at] - ZERO;
  return value;
}

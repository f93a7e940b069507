/**
 * How a log's records, which it does not look into, become records of Kafka and back. The log of messages has a form of its own, so
 * that Kafka's own consumers find a key, a value and headers; this is the plain one, of any bytes.
 */

import type { EventWriter } from '../../core/events/ports.ts';
import { type RecordCursor, varintBytes, writeVarint } from '../../wire/kafka/record-batch.ts';

export interface RecordForm {
  /**
   * Bytes that `write` will need for the record that the cursor has found, behind its length.
   * `write` follows at once, for the same record.
   */
  size(cursor: RecordCursor): number;
  /** Writes the log's record at `at`. */
  write(cursor: RecordCursor, target: Buffer, at: number): void;
}

/** The record is the value; there are no key and no headers. */
export const opaqueForm: RecordForm = {
  size: ({ valueStart, valueEnd }) => Math.max(0, valueEnd - valueStart),
  write({ bytes, valueStart, valueEnd }, target, at) {
    if (valueEnd > valueStart) bytes.copy(target, at, valueStart, valueEnd);
  },
};

/** What a writer fills through this stands as a value in Kafka's record. */
export function opaqueWriter<Writer extends EventWriter>(inner: Writer): EventWriter {
  return {
    get batch() {
      return inner.batch;
    },
    get congested() {
      return inner.congested;
    },
    get pendingBytes() {
      return inner.pendingBytes;
    },
    get pendingBytesMax() {
      return inner.pendingBytesMax;
    },
    reserve(partition, size) {
      const at = inner.reserve(partition, 1 + varintBytes(size) + size + 1);
      const bytes = inner.bytes(partition);
      const place = writeVarint(bytes, writeVarint(bytes, at, -1), size);
      writeVarint(bytes, place + size, 0);
      return place;
    },
    bytes: (partition) => inner.bytes(partition),
    await: (waiter) => inner.await(waiter),
    whenRelieved: (listener) => inner.whenRelieved(listener),
  };
}

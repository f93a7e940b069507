/** Records of any bytes, as values of Kafka's records that have neither key nor headers. */
import { assert } from '../../base/assert.ts';
import { varintBytes, writeVarint } from '../../wire/kafka/record-batch.ts';
import type { RecordForm } from '../../wire/kafka/record-form.ts';
import type { StoredLog } from '../event-log/stored-log.ts';

/** The record is the value; there are no key and no headers. */
export const opaqueForm: RecordForm = {
  size: ({ valueStart, valueEnd }) => Math.max(0, valueEnd - valueStart),
  write({ bytes, valueStart, valueEnd }, _time, target, at) {
    if (valueEnd > valueStart) bytes.copy(target, at, valueStart, valueEnd);
  },
};

/** What a writer fills through this stands as a value in Kafka's record. */
export function opaqueWriter(inner: StoredLog['writer']): StoredLog['writer'] {
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
    append: () => assert(false, 'sealed batches of other writers have no values of this form'),
    bytes: (partition) => inner.bytes(partition),
    await: (waiter) => inner.await(waiter),
    whenRelieved: (listener) => inner.whenRelieved(listener),
  };
}

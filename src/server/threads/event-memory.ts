/**
 * Memory in which sealed batches cross from a listener thread to the main thread. The runs are filled in memory of the
 * thread's own, to which the runtime writes twice as fast, and copied here when they are complete. Their checksums are
 * computed by the thread as well, so that the main thread does not touch the bytes.
 */
import { crc32 } from 'node:zlib';
import { limits } from '../../base/limits.ts';
import type { BatchRuns } from '../../stores/event-log/format.ts';
import type { SealedBatch } from '../../stores/event-log/writer.ts';

const WORD_BYTES = 8;

/** Memory for batches on their way, used again: the runtime collects what is shared late. */
export class SharedMemory {
  #free: SharedArrayBuffer[] = [];

  /** At least so many bytes. */
  take(bytes: number): SharedArrayBuffer {
    const memory = this.#free.pop();
    // Twice the size, so that growing loads do not make a new one for each batch.
    return memory !== undefined && memory.byteLength >= bytes ? memory : new SharedArrayBuffer(2 * bytes);
  }

  giveBack(memory: SharedArrayBuffer): void {
    if (this.#free.length < limits.threadCommitsMax) this.#free.push(memory);
  }
}

/**
 * Where runs of these lengths begin, one behind the other; the last number is the end. At multiples of eight bytes: the
 * runtime copies to shared memory in words, and several times slower elsewhere.
 */
export function runPlaces(lengths: readonly number[]): readonly number[] {
  const places = [0];
  for (const length of lengths) places.push((places[places.length - 1] + length + WORD_BYTES - 1) & -WORD_BYTES);
  return places;
}

/** Copies the batch's runs into shared memory. */
export function packBatch(batch: SealedBatch, shared: SharedMemory): Omit<SentBatch, 'id' | 'epoch'> {
  const lengths = Array.from(batch.lengths);
  const places = runPlaces(lengths);
  const memory = shared.take(places[lengths.length]);
  const target = Buffer.from(memory);
  const checksums = lengths.map((length, partition) => {
    let at = places[partition];
    let checksum = 0;
    for (const { bytes } of length === 0 ? [] : batch.pieces(partition)) {
      at += bytes.copy(target, at);
      checksum = crc32(bytes, checksum);
    }
    return checksum;
  });
  return { memory, lengths, counts: Array.from(batch.counts), checksums, bytes: batch.bytes };
}

/** The runs of a batch that was packed. The bytes stay where they are. */
export function unpackBatch({ memory, lengths, counts, checksums }: SentBatch): BatchRuns {
  const places = runPlaces(lengths);
  return {
    lengths,
    counts,
    pieces: (partition) => [
      { bytes: Buffer.from(memory, places[partition], lengths[partition]), checksum: checksums[partition] },
    ],
  };
}

/** A sealed batch on its way to the journal. */
export interface SentBatch {
  readonly id: number;
  /** How many failures the thread had heard of when it sent this. */
  readonly epoch: number;
  /** The runs, one behind the other: both threads see them, and nobody writes to them until the answer has come. */
  readonly memory: SharedArrayBuffer;
  /** By partition. */
  readonly lengths: readonly number[];
  readonly counts: readonly number[];
  readonly checksums: readonly number[];
  readonly bytes: number;
}

import type { EventRun } from '../../core/events/types.ts';
import type { BatchRuns } from './format.ts';
import type { RunMemory } from './run-memory.ts';

/** What a run costs besides its bytes: many tiny batches must not make the store large. */
const RUN_OVERHEAD_BYTES = 256;

interface Entry {
  readonly partitions: readonly number[];
  readonly bytes: number;
}

/**
 * Copies of the newest durable batches, in memory: one unbroken stretch of each partition, up to its end. The embedded
 * log keeps a bounded one, so that readers which follow the log's end do not touch the disk; the memory log is one.
 */
export class RecentRuns {
  readonly #runs: EventRun[][];
  readonly #memory: RunMemory | undefined;
  #batches: Entry[] = [];
  #bytes = 0;

  /** @param memory absent = memory that is not used again: a run may be read for ever. */
  constructor(partitionCount: number, memory?: RunMemory) {
    this.#memory = memory;
    this.#runs = Array.from({ length: partitionCount }, () => []);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get batchCount(): number {
    return this.#batches.length;
  }

  /** The partition's runs in order, oldest first. */
  runs(partition: number): readonly EventRun[] {
    return this.#runs[partition];
  }

  /** @param nextSequences per partition the sequence number of its first event in the batch. */
  add(batch: BatchRuns, time: number, nextSequences: readonly number[]): void {
    const partitions: number[] = [];
    let cost = 0;
    for (let partition = 0; partition < batch.counts.length; partition++) {
      const count = batch.counts[partition];
      if (count === 0) continue;
      const end = batch.lengths[partition];
      // A copy, because the writer fills the same buffer again; in memory of its own, because readers may hold it longer.
      const bytes = this.#memory?.take(end) ?? Buffer.allocUnsafeSlow(end);
      let at = 0;
      for (const piece of batch.pieces(partition)) at += piece.bytes.copy(bytes, at);
      this.#runs[partition].push({ firstSequence: nextSequences[partition], count, time, bytes, start: 0, end });
      partitions.push(partition);
      cost += bytes.buffer.byteLength + RUN_OVERHEAD_BYTES;
    }
    this.#batches.push({ partitions, bytes: cost });
    this.#bytes += cost;
  }

  dropOldest(): void {
    const oldest = this.#batches.shift();
    if (oldest === undefined) return;
    for (const partition of oldest.partitions) {
      const run = this.#runs[partition].shift();
      if (run !== undefined) this.#memory?.letGo(run.bytes);
    }
    this.#bytes -= oldest.bytes;
  }

  /** Forgets everything: what comes next would not follow what is here. */
  clear(): void {
    if (this.#batches.length === 0) return;
    while (this.#batches.length > 0) this.dropOldest();
  }
}

import type { DurabilityWaiter } from '../../../core/events/ports.ts';
import type { BatchRuns } from './format.ts';

/** Bytes before each record of a run: its length. */
export const LENGTH_BYTES = 4;
const RUN_BYTES_FIRST = 16 * 1024;
/** A run of this size has room for half as much again made, and not for twice as much: what stays unused is large. */
const RUN_BYTES_LARGE = 1024 * 1024;
const EMPTY = Buffer.alloc(0);

export interface SealedBatch extends BatchRuns {
  /** Bytes of all runs; 0 = somebody waits, but nothing is to be written. */
  readonly bytes: number;
}

/** One batch's buffers and waiters; used again after it has been committed. */
export class Batch implements SealedBatch {
  number = 0;
  bytes = 0;
  /** The sink has made it durable; those before it may not be. */
  isDone = false;
  readonly runs: Buffer[];
  readonly lengths: number[];
  readonly counts: number[];
  readonly waiters = new Set<DurabilityWaiter>();
  lastWaiter: DurabilityWaiter | undefined;
  readonly #allocate: (bytes: number) => Buffer;

  constructor(partitionCount: number, allocate: (bytes: number) => Buffer = Buffer.allocUnsafeSlow) {
    this.#allocate = allocate;
    this.runs = new Array<Buffer>(partitionCount).fill(EMPTY);
    this.lengths = new Array<number>(partitionCount).fill(0);
    this.counts = new Array<number>(partitionCount).fill(0);
  }

  isEmpty(): boolean {
    return this.bytes === 0 && this.waiters.size === 0;
  }

  reserve(partition: number, size: number): number {
    const at = this.lengths[partition];
    const end = at + LENGTH_BYTES + size;
    let run = this.runs[partition];
    if (end > run.length) run = this.#grow(partition, end);
    run.writeUInt32LE(size, at);
    this.lengths[partition] = end;
    this.counts[partition]++;
    this.bytes += LENGTH_BYTES + size;
    return at + LENGTH_BYTES;
  }

  /** Copies the runs of another batch behind the ones that are here. */
  append({ runs, lengths, counts }: BatchRuns): void {
    for (let partition = 0; partition < runs.length; partition++) {
      const length = lengths[partition];
      if (counts[partition] === 0) continue;
      const at = this.lengths[partition];
      const run = at + length > this.runs[partition].length ? this.#grow(partition, at + length) : this.runs[partition];
      runs[partition].copy(run, at, 0, length);
      this.lengths[partition] = at + length;
      this.counts[partition] += counts[partition];
      this.bytes += length;
    }
  }

  /**
   * Forgets the contents. Buffers stay; when they are larger than `capacityMax` together, only those of which half was
   * filled, so that what an earlier burst has left does not, and the load that there is makes none anew.
   */
  clear(capacityMax: number): void {
    const capacity = this.runs.reduce((sum, run) => sum + run.length, 0);
    for (let partition = 0; capacity > capacityMax && partition < this.runs.length; partition++) {
      if (2 * this.lengths[partition] < this.runs[partition].length) this.runs[partition] = EMPTY;
    }
    this.waiters.clear();
    this.lastWaiter = undefined;
    this.bytes = 0;
    this.lengths.fill(0);
    this.counts.fill(0);
  }

  #grow(partition: number, needed: number): Buffer {
    const old = this.runs[partition];
    const larger = Math.ceil(old.length * (old.length < RUN_BYTES_LARGE ? 2 : 1.5));
    const grown = this.#allocate(Math.max(RUN_BYTES_FIRST, larger, needed));
    old.copy(grown, 0, 0, this.lengths[partition]);
    this.runs[partition] = grown;
    return grown;
  }
}

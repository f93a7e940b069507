import type { DurabilityWaiter } from '../../core/events/ports.ts';
import type { BatchRuns, RunPiece } from './format.ts';

/** How the records of a run stand one behind the other. */
export interface RunLayout {
  /** Bytes before the first record. */
  readonly headBytes: number;
  /** Bytes that stand before a record at the most. */
  readonly recordHeadBytesMax: number;
  /** Writes what stands before record `nth` (from 0) of `size` bytes at `at`, and returns the record's place. */
  writeRecordHead(run: Buffer, at: number, nth: number, size: number): number;
}

/** As the journal keeps them: each behind its length. */
export const lengthsLayout: RunLayout = {
  headBytes: 0,
  recordHeadBytesMax: 4,
  writeRecordHead: (run, at, _nth, size) => run.writeUInt32LE(size, at),
};

const RUN_BYTES_FIRST = 16 * 1024;
/** A run of this size has room for half as much again made, and not for twice as much: what stays unused is large. */
const RUN_BYTES_LARGE = 1024 * 1024;
const EMPTY = Buffer.alloc(0);

export interface SealedBatch extends BatchRuns {
  /** Bytes of all runs; 0 = a caller waits, but nothing is to be written. */
  readonly bytes: number;
}

/** A piece of another writer's, and how many own bytes of the run stand before it. */
interface Guest {
  readonly piece: RunPiece;
  readonly behind: number;
}

/** One batch's buffers and waiters; used again after it has been committed. */
export class Batch implements SealedBatch {
  number = 0;
  bytes = 0;
  /** The sink has made it durable; those before it may not be. */
  isDone = false;
  /** Own records by partition. */
  readonly runs: Buffer[];
  readonly lengths: number[];
  readonly counts: number[];
  readonly #ownLengths: number[];
  readonly #layout: RunLayout;
  #guests: Guest[][] = [];
  readonly waiters = new Set<DurabilityWaiter>();
  lastWaiter: DurabilityWaiter | undefined;

  constructor(partitionCount: number, layout: RunLayout = lengthsLayout) {
    this.#layout = layout;
    this.runs = new Array<Buffer>(partitionCount).fill(EMPTY);
    this.lengths = new Array<number>(partitionCount).fill(0);
    this.#ownLengths = new Array<number>(partitionCount).fill(0);
    this.counts = new Array<number>(partitionCount).fill(0);
  }

  isEmpty(): boolean {
    return this.bytes === 0 && this.waiters.size === 0;
  }

  reserve(partition: number, size: number): number {
    const layout = this.#layout;
    const before = this.#ownLengths[partition];
    const at = before === 0 ? layout.headBytes : before;
    const endMax = at + layout.recordHeadBytesMax + size;
    let run = this.runs[partition];
    if (endMax > run.length) run = this.#grow(partition, endMax);
    const place = layout.writeRecordHead(run, at, this.counts[partition]++, size);
    const added = place + size - before;
    this.#ownLengths[partition] = place + size;
    this.lengths[partition] += added;
    this.bytes += added;
    return place;
  }

  /** Takes the runs of another batch behind those that are here. Their bytes stay where they are. */
  append(batch: BatchRuns): void {
    for (let partition = 0; partition < this.runs.length; partition++) {
      if (batch.counts[partition] === 0) continue;
      this.#guests[partition] ??= [];
      const behind = this.#ownLengths[partition];
      for (const piece of batch.pieces(partition)) this.#guests[partition].push({ piece, behind });
      this.lengths[partition] += batch.lengths[partition];
      this.counts[partition] += batch.counts[partition];
      this.bytes += batch.lengths[partition];
    }
  }

  pieces(partition: number): readonly RunPiece[] {
    const run = this.runs[partition];
    const pieces: RunPiece[] = [];
    let at = 0;
    const own = (end: number): void => {
      if (end > at) pieces.push({ bytes: run.subarray(at, end) });
      at = end;
    };
    for (const { piece, behind } of this.#guests[partition] ?? []) {
      own(behind);
      pieces.push(piece);
    }
    own(this.#ownLengths[partition]);
    return pieces;
  }

  /**
   * Forgets the contents. Buffers stay; when they are larger than `capacityMax` together, only those of which half was
   * filled, so that what an earlier burst has left does not, and the present load allocates none.
   */
  clear(capacityMax: number): void {
    const capacity = this.runs.reduce((sum, run) => sum + run.length, 0);
    for (let partition = 0; capacity > capacityMax && partition < this.runs.length; partition++) {
      if (2 * this.#ownLengths[partition] < this.runs[partition].length) this.runs[partition] = EMPTY;
    }
    this.waiters.clear();
    this.lastWaiter = undefined;
    this.bytes = 0;
    this.lengths.fill(0);
    this.counts.fill(0);
    this.#ownLengths.fill(0);
    this.#guests = [];
  }

  #grow(partition: number, needed: number): Buffer {
    const old = this.runs[partition];
    const larger = Math.ceil(old.length * (old.length < RUN_BYTES_LARGE ? 2 : 1.5));
    const grown = Buffer.allocUnsafeSlow(Math.max(RUN_BYTES_FIRST, larger, needed));
    old.copy(grown, 0, 0, this.#ownLengths[partition]);
    this.runs[partition] = grown;
    return grown;
  }
}

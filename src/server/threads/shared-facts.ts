import type { PartitionFacts } from '../../core/events/types.ts';

/** Numbers of one partition: first and last sequence, time of the last event. */
const NUMBERS = 3;
/** A writer is done in nanoseconds; a reader that meets one this often has found a bug. */
const TRIES_MAX = 1_000_000;

/**
 * The facts of a log's partitions in memory that all threads see, because `EventLog.lastKnown` answers at once and must not
 * be older than an acknowledgement. One thread writes. A version number is odd while it does; a reader looks at it
 * before and after (a sequence lock), so that the three numbers belong together.
 */
export class SharedFacts {
  /** What another thread needs in order to read the same facts. */
  readonly memory: SharedArrayBuffer;
  readonly partitionCount: number;
  readonly #version: Int32Array;
  readonly #numbers: Float64Array;

  constructor(partitionCount: number, memory = new SharedArrayBuffer(8 + 8 * NUMBERS * partitionCount)) {
    this.partitionCount = partitionCount;
    this.memory = memory;
    this.#version = new Int32Array(memory, 0, 1);
    this.#numbers = new Float64Array(memory, 8, NUMBERS * partitionCount);
  }

  /** Called by the owner of the log only. */
  write(factsOf: (partition: number) => PartitionFacts): void {
    Atomics.add(this.#version, 0, 1);
    for (let partition = 0; partition < this.partitionCount; partition++) {
      const { firstSequence, lastSequence, lastTime } = factsOf(partition);
      this.#numbers.set([firstSequence, lastSequence, lastTime], NUMBERS * partition);
    }
    Atomics.add(this.#version, 0, 1);
  }

  read(partition: number): PartitionFacts {
    for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
      const before = Atomics.load(this.#version, 0);
      const at = NUMBERS * partition;
      const [firstSequence, lastSequence, lastTime] = this.#numbers.subarray(at, at + NUMBERS);
      if (before % 2 === 0 && Atomics.load(this.#version, 0) === before) {
        return { partition, firstSequence, lastSequence, lastTime };
      }
    }
    throw new Error('the facts of a partition are never at rest');
  }
}

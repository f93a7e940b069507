import type { PartitionFacts } from '../../core/events/types.ts';

/** What this process has heard of each partition: from its own writes, its fetches, and when it asked. Never behind, once it was told. */
export class Facts {
  readonly #known: { first: number; next: number; lastTime: number }[];
  /** Called after something has changed. */
  changed: () => void = () => {};

  constructor(partitionCount: number) {
    this.#known = Array.from({ length: partitionCount }, () => ({ first: 0, next: 0, lastTime: 0 }));
  }

  of(partition: number): PartitionFacts {
    const { first, next, lastTime } = this.#known[partition];
    return { partition, firstSequence: first, lastSequence: next - 1, lastTime };
  }

  /** The number of the next record, as far as is known. */
  next(partition: number): number {
    return this.#known[partition].next;
  }

  /**
   * @param next behind the last record that is durable
   * @param lastTime UTC milliseconds; 0 = not known
   */
  hear(partition: number, { first, next, lastTime = 0 }: { first?: number; next: number; lastTime?: number }): void {
    const known = this.#known[partition];
    if (next <= known.next && (first ?? 0) <= known.first && lastTime <= known.lastTime) return;
    known.next = Math.max(known.next, next);
    known.first = Math.min(Math.max(known.first, first ?? 0), known.next);
    // The leaders' clocks differ: what is told does not go back.
    known.lastTime = Math.max(known.lastTime, lastTime);
    this.changed();
  }
}

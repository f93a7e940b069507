import type { Log } from '../../base/log.ts';
import { reasonOf } from './errors.ts';

/** Who wants to know that a partition has new events. */
export class Watchers {
  count = 0;
  readonly #listeners: Set<{ readonly call: () => void }>[];
  readonly #log: Log;

  constructor(partitionCount: number, log: Log) {
    this.#listeners = Array.from({ length: partitionCount }, () => new Set());
    this.#log = log;
  }

  /** The returned function ends it; calling it twice is harmless. */
  add(partition: number, listener: () => void): () => void {
    const entry = { call: listener };
    this.#listeners[partition].add(entry);
    this.count++;
    return () => {
      if (this.#listeners[partition].delete(entry)) this.count--;
    };
  }

  /** Wakes those of every partition with events; a listener that throws does not keep the others asleep. */
  tell(counts: ArrayLike<number>): void {
    for (let partition = 0; partition < counts.length; partition++) {
      if (counts[partition] === 0) continue;
      for (const listener of this.#listeners[partition]) {
        try {
          listener.call();
        } catch (error) {
          this.#log.error({ error: reasonOf(error) }, 'a listener of the event log failed');
        }
      }
    }
  }
}

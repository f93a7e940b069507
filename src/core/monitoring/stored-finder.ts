/**
 * Finds where traced messages were stored. Who puts a message into the open batch does not learn its sequence number, and
 * the hot path is not to be burdened with it; so the partition is read behind what was durable at that moment, until all
 * that is waited for is found. However many wait, a partition is read once, and only while some do.
 */
import { limits } from '../../base/limits.ts';
import type { DurabilityWaiter, EventLog, TraceMark, TraceReader } from '../events/ports.ts';

export interface StoredPlace {
  readonly partition: number;
  readonly sequence: number;
  /** UTC milliseconds. */
  readonly time: number;
}

export interface StoredFinderParts {
  readonly log: EventLog;
  readonly traceOf: TraceReader;
  found(mark: TraceMark, place: StoredPlace): void;
  /** The batch has failed, so the message may be lost; or it could not be looked for. */
  lost(mark: TraceMark, reason: string): void;
}

/** What is waited for in one partition, by trace id, with the batch that holds it (0 = not known). */
interface Search {
  readonly waiting: Map<string, { readonly mark: TraceMark; batch: number }>;
  readonly unwatch: () => void;
  next: number;
  isReading: boolean;
  again: boolean;
}

export class StoredFinder implements DurabilityWaiter {
  readonly #parts: StoredFinderParts;
  readonly #searches = new Map<number, Search>();
  #count = 0;

  constructor(parts: StoredFinderParts) {
    this.#parts = parts;
  }

  get isFull(): boolean {
    return this.#count >= limits.tracesPendingMax;
  }

  /** To be called before the message is put into the batch: it will stand behind what is durable now. */
  expect(partition: number, mark: TraceMark): void {
    let search = this.#searches.get(partition);
    if (search === undefined) {
      const { log } = this.#parts;
      const unwatch = log.watch(partition, () => this.#look(partition));
      const next = log.lastKnown(partition).lastSequence + 1;
      search = { waiting: new Map(), unwatch, next, isReading: false, again: false };
      this.#searches.set(partition, search);
    }
    search.waiting.set(mark.traceId, { mark, batch: 0 });
    this.#count++;
  }

  /** It is in the batch that is open now. */
  placed(partition: number, traceId: string): void {
    const entry = this.#searches.get(partition)?.waiting.get(traceId);
    const { writer } = this.#parts.log;
    if (entry === undefined) return;
    entry.batch = writer.batch;
    writer.await(this);
  }

  /** It was not put there. @returns whether it was still waited for */
  forget(partition: number, traceId: string): boolean {
    const search = this.#searches.get(partition);
    if (search?.waiting.delete(traceId) !== true) return false;
    this.#count--;
    if (search.waiting.size === 0) this.#end(partition, search);
    return true;
  }

  /** Readers see it a moment later: the watch on the partition tells. */
  batchDurable(): void {}

  batchFailed(batch: number, error: Error): void {
    for (const [partition, search] of [...this.#searches]) {
      for (const { mark, batch: its } of [...search.waiting.values()]) {
        if (its !== batch) continue;
        this.forget(partition, mark.traceId);
        this.#parts.lost(mark, error.message);
      }
    }
  }

  #end(partition: number, search: Search): void {
    search.unwatch();
    this.#searches.delete(partition);
  }

  #look(partition: number): void {
    const search = this.#searches.get(partition);
    if (search === undefined) return;
    search.again = true;
    if (search.isReading) return;
    search.isReading = true;
    this.#read(partition, search).catch((error: unknown) => {
      search.isReading = false;
      const reason = error instanceof Error ? error.message : String(error);
      for (const { mark } of [...search.waiting.values()]) {
        this.forget(partition, mark.traceId);
        this.#parts.lost(mark, reason);
      }
    });
  }

  async #read(partition: number, search: Search): Promise<void> {
    const { log, traceOf, found } = this.#parts;
    while (search.again && search.waiting.size > 0) {
      search.again = false;
      for (;;) {
        const runs = await log.read(partition, search.next, limits.traceReadBytesMax);
        if (runs.length === 0 || search.waiting.size === 0) break;
        for (const { firstSequence, count, time, bytes, start } of runs) {
          let at = start;
          for (let sequence = firstSequence; sequence < firstSequence + count; sequence++) {
            const from = at + 4;
            at = from + bytes.readUInt32LE(at);
            const mark = traceOf(bytes, from, at);
            if (mark !== undefined && this.forget(partition, mark.traceId)) found(mark, { partition, sequence, time });
          }
          search.next = firstSequence + count;
        }
        log.giveBack(runs);
      }
    }
    // In the step in which the loop has ended: a look from now on begins a new one.
    search.isReading = false;
  }
}

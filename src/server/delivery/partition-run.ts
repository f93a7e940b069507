/**
 * One partition of one endpoint: reads the log from the cursor on, hands over what is for the endpoint, moves the cursor. At least
 * once and in order: the cursor moves only over what the endpoint has taken, or will never take, or what is not for it.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import type { Gate } from '../../base/gate.ts';
import { limits } from '../../base/limits.ts';
import type {
  CursorHold,
  CursorStore,
  Delivered,
  EndpointSink,
  HeldCursor,
  RoutedBatch,
  RoutedEvent,
  RoutedLog,
  RoutedRecord,
} from '../../core/routes/ports.ts';
import { retryPauseMs } from './endpoint-state.ts';

export interface PartitionParts {
  readonly log: RoutedLog;
  readonly cursors: CursorStore;
  readonly clock: Clock;
  readonly sink: EndpointSink;
  /** How many partitions the endpoint takes at a time. */
  readonly gate: Gate;
  /** The endpoint's bit in the records. */
  readonly slots: number;
  /** All of them, or the first ones. */
  enriched(records: readonly RoutedRecord[]): Promise<readonly RoutedEvent[]>;
  /** As `DeliveryParts.mayWork`. */
  readonly mayWork: (() => boolean) | undefined;
  /** From 0 to 1. */
  chance(): number;
  readonly told: PartitionListener;
}

/** What an endpoint hears of its partitions. */
export interface PartitionListener {
  taken(events: number): void;
  /** The endpoint will never take them: dropped. */
  refused(events: number, reason: string): void;
  /** Retention has taken them before they were delivered. */
  missed(records: number): void;
  failed(reason: string): void;
}

export class PartitionRun {
  readonly #parts: PartitionParts;
  readonly #hold: CursorHold;
  readonly #abort = new AbortController();
  #at: number;
  #saved: number;
  #savedTime: number;
  #saving: Promise<void> = Promise.resolve();
  /** Enqueued time of the first event that waits for the endpoint; undefined = none that is known. */
  #waitingSince: number | undefined;
  #failures = 0;
  readonly ended: Promise<void>;

  constructor(parts: PartitionParts, { hold, sequence }: HeldCursor) {
    this.#parts = parts;
    this.#hold = hold;
    this.#at = sequence;
    this.#saved = sequence;
    this.#savedTime = parts.clock.monotonic();
    this.ended = this.#run();
  }

  get partition(): number {
    return this.#hold.partition;
  }

  /** The first record that is not dealt with. */
  get at(): number {
    return this.#at;
  }

  get waitingSince(): number | undefined {
    return this.#waitingSince;
  }

  /** Hands over nothing more. @param release whether the cursor is let go, for another node */
  async stop(release: boolean): Promise<void> {
    this.#abort.abort();
    await this.ended;
    if (!release) return;
    // What cannot be saved or let go is delivered again, or free when its lease ends.
    await this.#saveNow().catch(() => {});
    await this.#parts.cursors.release(this.#hold).catch(() => {});
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#step();
      } catch (error) {
        // The log or the tables, not the endpoint: both say so in the hub's health; here it is only tried again.
        this.#failures += 1;
        this.#parts.told.failed((error as Error).message);
        await this.#pause(retryPauseMs(this.#failures, undefined, this.#parts.chance()));
      }
    }
    await this.#saving.catch(() => {});
  }

  async #step(): Promise<void> {
    const { log, gate, slots } = this.#parts;
    const news = this.#news();
    const bounds = { bytesMax: limits.deliveryReadBytes, recordsMax: limits.deliveryBatchRecords, slots };
    const batch = await log.read(this.partition, this.#at, bounds);
    let outcome: Delivered | undefined;
    try {
      if (batch.missed > 0) {
        this.#parts.told.missed(batch.missed);
        this.#at += batch.missed;
      }
      this.#waitingSince = batch.records[0]?.time;
      if (batch.records.length > 0) outcome = await gate.run(() => this.#deliver(batch));
      else if (batch.next > this.#at) await this.#passed(batch.next);
      else return await news.next;
    } finally {
      batch.release();
      news.end();
    }
    if (outcome?.kind === 'retry') {
      this.#failures += 1;
      this.#parts.told.failed(outcome.reason);
      await this.#pause(retryPauseMs(this.#failures, outcome.afterMs, this.#parts.chance()));
    }
  }

  async #deliver(batch: RoutedBatch): Promise<Delivered | undefined> {
    if (this.#isOver) return undefined;
    const { sink, enriched, told, mayWork } = this.#parts;
    const { records, next } = batch;
    let outcome: Delivered;
    let events: readonly RoutedEvent[];
    try {
      events = await enriched(records);
      if (this.#isOver) return undefined;
      if (mayWork?.() === false) return { kind: 'retry', reason: 'this node has no lease at the moment' };
      outcome = await sink.deliver({ partition: this.partition, events }, this.#abort.signal);
    } catch (error) {
      outcome = { kind: 'retry', reason: (error as Error).message };
      events = [];
    }
    if (outcome.kind === 'retry') return this.#isOver ? undefined : outcome;
    const count = Math.min(outcome.count ?? events.length, events.length);
    this.#failures = 0;
    if (outcome.kind === 'refused') told.refused(count, outcome.reason);
    else told.taken(count);
    this.#at = count < records.length ? records[count].sequence : next;
    this.#waitingSince = records[count]?.time;
    // One save while the next batch is under way, never two: so at most two batches come again after a crash.
    await this.#saving;
    this.#saving = this.#save();
    return outcome;
  }

  /** Nothing was for this endpoint. */
  async #passed(next: number): Promise<void> {
    this.#at = next;
    const { clock } = this.#parts;
    if (clock.monotonic() - this.#savedTime < limits.deliveryIdleSaveMs) return;
    await this.#saving;
    await this.#save();
  }

  async #saveNow(): Promise<void> {
    await this.#saving;
    if (this.#saved < this.#at) await this.#save();
  }

  /** Tried until it is done: delivering on without it would only bring more events again. */
  async #save(): Promise<void> {
    const { cursors, clock, told, chance } = this.#parts;
    const sequence = this.#at;
    for (let failures = 1; ; failures += 1) {
      try {
        const isHeld = await cursors.save(this.#hold, { sequence });
        // Another node has it now, or the endpoint is gone.
        if (!isHeld) this.#abort.abort();
        this.#saved = sequence;
        this.#savedTime = clock.monotonic();
        return;
      } catch (error) {
        if (this.#isOver) throw error;
        told.failed(`the place in the log could not be saved: ${(error as Error).message}`);
        await this.#pause(retryPauseMs(failures, undefined, chance()));
      }
    }
  }

  get #isOver(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Listens from before the log is read, so that nothing that comes meanwhile is overheard. */
  #news(): { readonly next: Promise<void>; end(): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { signal } = this.#abort;
    const unwatch = this.#parts.log.watch(this.partition, resolve);
    const stopped = (): void => resolve();
    signal.addEventListener('abort', stopped, { once: true });
    if (signal.aborted) resolve();
    const end = (): void => {
      unwatch();
      signal.removeEventListener('abort', stopped);
    };
    return { next: promise, end };
  }

  #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { signal } = this.#abort;
    if (signal.aborted) return Promise.resolve();
    const cancel: Cancel = this.#parts.clock.after(ms, resolve);
    const stopped = (): void => {
      cancel();
      resolve();
    };
    signal.addEventListener('abort', stopped, { once: true });
    return promise.finally(() => signal.removeEventListener('abort', stopped));
  }
}

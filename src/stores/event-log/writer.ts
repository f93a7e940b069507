import { assert } from '../../base/assert.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { DurabilityWaiter, EventWriter } from '../../core/events/ports.ts';
import { Batch, lengthsLayout, type RunLayout, type SealedBatch } from './batch.ts';
import type { BatchRuns } from './format.ts';

export type { SealedBatch } from './batch.ts';

/** Where sealed batches go, in order; a batch's buffers are its own until it settles. */
export interface BatchSink {
  /**
   * Resolves when every record of the batch is durable and readable. Where several commits may be under way
   * (`commitsMax`), one that fails is not followed by any batch that was committed in the same epoch: the sink answers for
   * that, and the writer no longer hears what becomes of them.
   * @param epoch how many commits have failed before this batch was handed over
   */
  commit(batch: SealedBatch, epoch: number): Promise<void>;
  /** After the waiters of a durable batch have been told: wakes readers. Does not throw. */
  committed(batch: SealedBatch): void;
}

export interface BatchWriterOptions {
  readonly partitionCount: number;
  readonly sink: BatchSink;
  readonly log: Log;
  /** Runs a callback soon; absent = at the end of this turn of the event loop. */
  readonly defer?: (callback: () => void) => void;
  /** Present = commits are paced: see `CommitPace`. */
  readonly pace?: CommitPace;
  /** How records stand in a run; absent = each behind its length. */
  readonly layout?: RunLayout;
  readonly batchBytesMax?: number;
  readonly writerBytesMax?: number;
  /** Commits under way at the same time; absent = 1. */
  readonly commitsMax?: number;
  /** Bytes from which on a batch is worth a commit beside those under way. Needed with `commitsMax` above 1. */
  readonly commitBytesMin?: number;
}

/**
 * The one rule by which commits are held apart, so that a trickle of messages does not cost a sync each: after a commit
 * the disk rests for `restMs`, unless `bytesMax` wait already. So a message that comes behind a quiet time is committed at
 * once, one that comes right behind a commit waits for up to `restMs` longer, and under load nothing waits.
 */
export interface CommitPace {
  readonly restMs: number;
  readonly bytesMax: number;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
}

/**
 * The open batch and those behind it, up to their waiters. Nothing is allocated per record: a record is copied into
 * its partition's run, whose buffer grows to the size that load needs and is used again some batches later.
 *
 * When a batch is handed to the sink: at the end of the turn of the event loop if no commit is under way; at the end of
 * the turn in which one has settled; and beside others, up to `commitsMax`, once it holds `commitBytesMin`.
 *
 * When a batch fails, every batch that waits behind it fails too: what a device sent later must not become durable
 * before what it will send again.
 */
export class BatchWriter implements EventWriter {
  batch = 1;
  congested = false;
  readonly #options: BatchWriterOptions;
  readonly #layout: RunLayout;
  readonly #batchBytesMax: number;
  readonly #writerBytesMax: number;
  readonly #commitsMax: number;
  readonly #commitBytesMin: number;
  /** Under full load one fills while all others wait for the disk: more would be allocated again and again. */
  readonly #sparesMax: number;
  #open: Batch;
  #sealed: Batch[] = [];
  #spare: Batch[] = [];
  /** With the sink, oldest first. */
  #committing: Batch[] = [];
  /** Bytes in the open batch, the sealed ones and those that are being committed. */
  #pendingBytes = 0;
  #epoch = 0;
  /** The next commit has its time: the end of this turn, or of the rest. */
  #deferred = false;
  /** Ends the rest, while it is what the next commit waits for. */
  #cancelRest: Cancel | undefined;
  #restUntil = Number.NEGATIVE_INFINITY;
  #relief = new Set<() => void>();
  #idle: (() => void)[] = [];

  constructor(options: BatchWriterOptions) {
    this.#options = options;
    this.#layout = options.layout ?? lengthsLayout;
    this.#batchBytesMax = options.batchBytesMax ?? limits.batchBytesMax;
    this.#writerBytesMax = options.writerBytesMax ?? limits.writerBytesMax;
    this.#commitsMax = options.commitsMax ?? 1;
    this.#commitBytesMin = options.commitBytesMin ?? 0;
    this.#sparesMax = this.#commitsMax + Math.ceil(this.#writerBytesMax / this.#batchBytesMax);
    this.#open = new Batch(options.partitionCount, this.#layout);
    this.#open.number = this.batch;
  }

  get pendingBytesMax(): number {
    return this.#writerBytesMax;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  reserve(partition: number, size: number): number {
    const { headBytes, recordHeadBytesMax } = this.#layout;
    const needed = size + headBytes + recordHeadBytesMax;
    assert(size >= 0 && needed <= this.#batchBytesMax, 'a record fits into a batch');
    if (this.#open.bytes + needed > this.#batchBytesMax) this.#seal();
    const before = this.#open.bytes;
    const at = this.#open.reserve(partition, size);
    this.#added(this.#open.bytes - before);
    return at;
  }

  bytes(partition: number): Buffer {
    return this.#open.runs[partition];
  }

  /**
   * Takes a sealed batch of another writer in one piece: its runs stand behind what is in the open batch, and become
   * durable together. They are not copied: they must stay as they are until the batch's waiters have been told.
   * @param bytes of all runs
   */
  append(batch: BatchRuns, bytes: number): void {
    assert(bytes <= this.#batchBytesMax, "another writer's batch fits into one of this writer's");
    if (this.#open.bytes + bytes > this.#batchBytesMax) this.#seal();
    this.#open.append(batch);
    this.#added(bytes);
  }

  await(waiter: DurabilityWaiter): void {
    const batch = this.#open;
    // A sender's records come in a row: mostly it is the one that asked last.
    if (batch.lastWaiter === waiter) return;
    batch.lastWaiter = waiter;
    batch.waiters.add(waiter);
    if (!this.#deferred && this.#isDue()) this.#pace();
  }

  whenRelieved(listener: () => void): void {
    if (this.congested) this.#relief.add(listener);
    else queueMicrotask(() => this.#relieve(listener));
  }

  /** Resolves when nothing waits any more: everything reserved so far is durable or has failed. */
  drained(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    if (this.#cancelRest !== undefined) this.#endRest();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #added(bytes: number): void {
    this.#pendingBytes += bytes;
    if (this.#pendingBytes >= this.#writerBytesMax) this.congested = true;
    if (this.#cancelRest !== undefined && !this.#mayRest()) this.#endRest();
    else if (!this.#deferred && this.#isDue()) this.#pace();
  }

  /** A commit is to start at the end of this turn, whether or not another one has settled. */
  #isDue(): boolean {
    const underWay = this.#committing.length;
    if (underWay === 0) return true;
    return underWay < this.#commitsMax && (this.#open.bytes >= this.#commitBytesMin || this.#sealed.length > 0);
  }

  /**
   * At the end of this turn of the event loop, so that all records that came with the same turn share one sync, or of the
   * rest behind the last commit.
   */
  #pace(): void {
    this.#deferred = true;
    const { pace } = this.#options;
    const restMs = pace === undefined || !this.#mayRest() ? 0 : this.#restUntil - pace.clock.monotonic();
    if (restMs > 0) this.#cancelRest = pace?.clock.after(restMs, this.#start);
    else this.#defer();
  }

  #mayRest(): boolean {
    const { pace } = this.#options;
    return pace !== undefined && this.#pendingBytes < pace.bytesMax && this.#idle.length === 0;
  }

  #endRest(): void {
    this.#cancelRest?.();
    this.#cancelRest = undefined;
    this.#defer();
  }

  #defer(): void {
    (this.#options.defer ?? setImmediate)(this.#start);
  }

  readonly #start = (): void => {
    this.#deferred = false;
    this.#cancelRest = undefined;
    do this.#commitNext();
    while (this.#sealed.length > 0 && this.#committing.length < this.#commitsMax);
  };

  #isIdle(): boolean {
    return this.#committing.length === 0 && this.#sealed.length === 0 && this.#open.isEmpty();
  }

  #seal(): void {
    this.#sealed.push(this.#open);
    this.#open = this.#spare.pop() ?? new Batch(this.#options.partitionCount, this.#layout);
    this.#open.number = ++this.batch;
  }

  #commitNext(): void {
    if (this.#committing.length === this.#commitsMax) return;
    if (this.#sealed.length === 0 && !this.#open.isEmpty()) this.#seal();
    const batch = this.#sealed.shift();
    if (batch === undefined) return;
    this.#committing.push(batch);
    batch.isDone = false;
    const { number } = batch;
    /** It has not failed with one before it, and been used again. */
    const isUnderWay = (): boolean => batch.number === number && this.#committing.includes(batch);
    this.#commit(batch).then(
      () => {
        if (isUnderWay()) this.#succeed(batch);
      },
      (error) => {
        if (isUnderWay()) this.#fail(batch, error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  async #commit(batch: Batch): Promise<void> {
    if (batch.bytes > 0) await this.#options.sink.commit(batch, this.#epoch);
  }

  /** Batches end in order: one without bytes may be done before those ahead of it. */
  #succeed(done: Batch): void {
    done.isDone = true;
    const { pace } = this.#options;
    if (pace !== undefined) this.#restUntil = pace.clock.monotonic() + pace.restMs;
    for (let batch = this.#committing[0]; batch?.isDone; batch = this.#committing[0]) {
      this.#committing.shift();
      this.#tellDurable(batch);
    }
    this.#goOn();
  }

  #tellDurable(batch: Batch): void {
    for (const waiter of batch.waiters) {
      try {
        waiter.batchDurable(batch.number);
      } catch (thrown) {
        this.#report(thrown);
      }
    }
    if (batch.bytes > 0) this.#options.sink.committed(batch);
    this.#release(batch);
  }

  #fail(first: Batch, error: Error): void {
    this.#epoch++;
    if (!this.#open.isEmpty()) this.#seal();
    const failed = [...this.#committing.splice(this.#committing.indexOf(first)), ...this.#sealed];
    this.#sealed = [];
    for (const batch of failed) {
      for (const waiter of batch.waiters) {
        try {
          waiter.batchFailed(batch.number, error);
        } catch (thrown) {
          this.#report(thrown);
        }
      }
      this.#release(batch);
    }
    this.#goOn();
  }

  #release(batch: Batch): void {
    this.#pendingBytes -= batch.bytes;
    batch.clear(2 * this.#batchBytesMax);
    if (this.#spare.length < this.#sparesMax) this.#spare.push(batch);
    if (this.congested && this.#pendingBytes <= this.#writerBytesMax / 2) {
      this.congested = false;
      const listeners = this.#relief;
      this.#relief = new Set();
      for (const listener of listeners) this.#relieve(listener);
    }
  }

  #goOn(): void {
    if (this.#isIdle()) {
      const idle = this.#idle;
      this.#idle = [];
      for (const resolve of idle) resolve();
    } else if (!this.#deferred && this.#committing.length < this.#commitsMax) this.#pace();
  }

  #relieve(listener: () => void): void {
    try {
      listener();
    } catch (thrown) {
      this.#report(thrown);
    }
  }

  /** A waiter that throws is a bug of its own and must not keep the others from hearing of their records. */
  #report(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown.stack : String(thrown);
    this.#options.log.error({ error }, 'a waiter of the event log failed');
  }
}

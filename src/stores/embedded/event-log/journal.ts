import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import type { Random } from '../../../base/random.ts';
import type { PartitionFacts } from '../../../core/events/types.ts';
import type { SealedBatch } from '../../event-log/batch.ts';
import { EventLogUnavailable, reasonOf } from '../../event-log/errors.ts';
import { BATCH_FIXED_BYTES, encodeBatch, RUN_BYTES, SALT_BYTES, segmentHeaderBytes } from '../../event-log/format.ts';
import { RecentRuns } from '../../event-log/recent-runs.ts';
import { RunMemory } from '../../event-log/run-memory.ts';
import { type AgeMark, marksOf, type RunningTime, stampSegments } from './age.ts';
import { ExtentReader } from './extents.ts';
import type { JournalFile, JournalFiles } from './files.ts';
import { writeIndex } from './index-file.ts';
import { type Ledger, LedgerKeeper } from './ledger.ts';
import { probeDisk } from './probe.ts';
import type { Readable } from './reader.ts';
import { addBatch, emptySegment, hasBatches, journalPath, type Segment } from './segment.ts';
import { createSegmentFile, removeSegmentFiles } from './segment-file.ts';

export interface JournalOptions {
  readonly folder: string;
  readonly partitionCount: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  /** Whether events that are too old may still be wanted: until `wanted` says which, none goes by age. */
  readonly retentionWaits: boolean;
  readonly segmentBytes: number;
  readonly clock: Clock;
  readonly runningTime: RunningTime;
  readonly random: Random;
  readonly log: Log;
  readonly files: JournalFiles;
  readonly ledger: Ledger | undefined;
  /** Whether a reader follows the end of the log, so that the newest batches are worth keeping in memory. */
  readonly isFollowed: () => boolean;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'closed' };

/**
 * The segments and the one that is written to. All that changes them runs one behind the other (`#inTurn`).
 *
 * A write or sync that fails ends the segment for good: everything is refused until a probe has been written and
 * synced, then a new segment goes on at the end of the last good batch (`docs/data-files.md`, rules 2 and 3).
 */
export class Journal implements Readable {
  readonly segments: Segment[];
  readonly memory = new RunMemory();
  readonly tail: RecentRuns;
  readonly extents: ExtentReader;
  readonly counters = { batches: 0, records: 0, bytes: 0, failures: 0, segmentsMade: 0, segmentsRemoved: 0 };
  /** Of each partition, the first event that is wanted whatever its age; undefined = it is not known. */
  wanted: () => readonly number[] | undefined;
  readonly #options: JournalOptions;
  readonly #segmentAgeMs: number;
  readonly #head: Buffer;
  readonly #nextSequences: number[];
  readonly #lastTimes: number[];
  readonly #ledger: LedgerKeeper;
  #lastTime: number;
  #state: State = { kind: 'open' };
  /** The file of the last segment, if this run of the program made it and it has not failed. */
  #file: JournalFile | undefined;
  #fileSince = 0;
  /** A segment file that may exist without counting: its making has failed. */
  #remnant: number | undefined;
  #failedBytes = 0;
  #removalFailed = false;
  #turn: Promise<unknown> = Promise.resolve();
  #indexing: Promise<void> = Promise.resolve();
  #retry: Cancel = () => {};

  constructor(options: JournalOptions, segments: Segment[]) {
    this.#options = options;
    this.wanted = () => (options.retentionWaits ? undefined : []);
    this.segments = segments;
    stampSegments(segments, options.runningTime);
    options.runningTime.follow(() => this.ageMarks());
    this.tail = new RecentRuns(options.partitionCount, this.memory);
    this.extents = new ExtentReader(options.files, options.folder, options.partitionCount, this.memory);
    this.#segmentAgeMs = Math.max(limits.segmentAgeMsMin, options.retentionMs / 24);
    this.#head = Buffer.alloc(BATCH_FIXED_BYTES + RUN_BYTES * options.partitionCount);
    const last = segments.at(-1);
    this.#nextSequences = last ? [...last.end.nextSequences] : new Array<number>(options.partitionCount).fill(0);
    this.#lastTimes = last ? [...last.end.lastTimes] : new Array<number>(options.partitionCount).fill(0);
    this.#lastTime = Math.max(...this.#lastTimes);
    this.#ledger = new LedgerKeeper(options.ledger, this.#nextSequences);
  }

  /** Why records cannot be made durable at the moment; undefined = they can. */
  get failure(): string | undefined {
    if (this.#state.kind === 'open') return undefined;
    return this.#state.kind === 'failed' ? this.#state.reason : 'the event log is closed';
  }

  /** Of all segments: each begins where the one before it ends. */
  get bytes(): number {
    const last = this.segments.at(-1);
    return last === undefined ? 0 : last.position + last.length - this.segments[0].position;
  }

  /** Retention by size has something to remove, and did not fail at it the last time. */
  get isOverBound(): boolean {
    return this.segments.length > 1 && this.#isTooMuch() && !this.#removalFailed;
  }

  facts(partition: number): PartitionFacts {
    const next = this.#nextSequences[partition];
    const firstSequence = this.segments.length === 0 ? next : this.segments[0].begin.nextSequences[partition];
    return { partition, firstSequence, lastSequence: next - 1, lastTime: this.#lastTimes[partition] };
  }

  ageMarks(): readonly AgeMark[] {
    return marksOf(this.segments, this.#options.retentionMs);
  }

  /** Makes the batch durable, then readable. @throws EventLogUnavailable: then nothing of it ever becomes readable. */
  append(batch: SealedBatch): Promise<void> {
    return this.#inTurn(async () => {
      if (this.failure !== undefined) throw new EventLogUnavailable(this.failure);
      try {
        await this.#write(batch);
      } catch (error) {
        this.#fail(error, batch.bytes);
        throw new EventLogUnavailable(`the event log could not be written: ${reasonOf(error)}`, { cause: error });
      }
    });
  }

  /**
   * Removes the oldest segments that retention no longer keeps, also while the log cannot be written: that may make the
   * room it lacks. A failure is logged and tried again the next time.
   */
  retain(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state.kind === 'closed') return;
      // First what needs no room, so that there is some for the rest.
      await this.#removeDue();
      const last = this.segments.at(-1);
      const isDue = last !== undefined && hasBatches(last) && (this.#isTooOld(last) || this.#isLeftTooLarge());
      if (!isDue || this.#state.kind !== 'open') return;
      try {
        // The last segment goes only when there is a newer one, which keeps the sequence numbers.
        await this.#startSegment();
      } catch (error) {
        this.#fail(error, 0);
      }
      await this.#removeDue();
    });
  }

  /** Finishes the last segment with its index, so that the next start reads nothing again. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#state.kind === 'closed') return;
      const last = this.segments.at(-1);
      if (this.#file !== undefined && last !== undefined) this.#finish(this.#file, last);
      this.#file = undefined;
      this.#state = { kind: 'closed' };
      this.#retry();
    });
    await this.#indexing;
    await this.extents.close();
  }

  async #write(batch: SealedBatch): Promise<void> {
    const { clock } = this.#options;
    const admitted = this.#ledger.admit(this.#nextSequences, batch.counts);
    if (admitted !== undefined) await admitted;
    if (this.#file === undefined || this.#isFull(batch)) await this.#startSegment();
    const file = this.#file as unknown as JournalFile;
    const segment = this.segments[this.segments.length - 1];
    const time = Math.max(this.#lastTime, clock.now(), 1);
    const place = { salt: segment.salt, position: segment.position + segment.length, time };
    const { buffers, length } = encodeBatch(this.#head, batch, place, this.#nextSequences);
    await file.write(buffers, segment.length);
    await file.sync();
    const held = this.#ledger.holds(segment.position);
    if (held !== undefined) await held;

    this.#keepTail(batch, time);
    addBatch(segment, { length, time }, batch.counts);
    segment.writtenAt = this.#options.runningTime.stamp();
    for (let partition = 0; partition < batch.counts.length; partition++) {
      const count = batch.counts[partition];
      if (count === 0) continue;
      this.#nextSequences[partition] += count;
      this.#lastTimes[partition] = time;
      this.counters.records += count;
    }
    this.#lastTime = time;
    this.counters.batches++;
    this.counters.bytes += length;
  }

  #keepTail(batch: SealedBatch, time: number): void {
    if (!this.#options.isFollowed()) {
      this.tail.clear();
      return;
    }
    this.tail.add(batch, time, this.#nextSequences);
    while (this.tail.bytes > limits.tailCacheBytesMax && this.tail.batchCount > 1) this.tail.dropOldest();
  }

  #isFull(batch: SealedBatch): boolean {
    const last = this.segments[this.segments.length - 1];
    if (!hasBatches(last)) return false;
    const isOld = this.#options.clock.monotonic() - this.#fileSince >= this.#segmentAgeMs;
    return isOld || last.length + batch.bytes > this.#options.segmentBytes;
  }

  /** Makes the next segment, durably, and finishes the one before. */
  async #startSegment(): Promise<void> {
    const { folder, files, clock, random, partitionCount } = this.#options;
    const before = this.segments.at(-1);
    const position = before === undefined ? 0 : before.position + before.length;
    const header = {
      salt: random.bytes(SALT_BYTES),
      position,
      createdTime: clock.now(),
      nextSequences: this.#nextSequences,
      lastTimes: this.#lastTimes,
    };
    this.#remnant = position;
    const file = await createSegmentFile(files, folder, header);
    this.#remnant = undefined;
    if (before !== undefined && this.#file !== undefined) this.#finish(this.#file, before);
    this.#file = file;
    this.#fileSince = clock.monotonic();
    this.segments.push(emptySegment(header, segmentHeaderBytes(partitionCount)));
    this.counters.segmentsMade++;
  }

  /** Closes the file of a finished segment and writes its index, without keeping anybody waiting. */
  #finish(file: JournalFile, segment: Segment): void {
    const { folder, files, log } = this.#options;
    this.#indexing = this.#indexing.then(async () => {
      try {
        await file.close();
        await writeIndex(files, folder, segment);
        segment.index = undefined;
      } catch (error) {
        log.warn({ segment: segment.position, error: reasonOf(error) }, 'the index of a segment could not be written');
      }
    });
  }

  async #removeDue(): Promise<void> {
    try {
      while (this.segments.length > 1 && (this.#isTooOld(this.segments[0]) || this.#isTooMuch())) {
        await this.#removeOldest(this.segments[0]);
      }
      this.#removalFailed = false;
    } catch (error) {
      this.#removalFailed = true;
      this.#options.log.warn({ error: reasonOf(error) }, 'retention could not remove a segment and will try again');
    }
  }

  async #removeOldest(oldest: Segment): Promise<void> {
    const { folder, files, log } = this.#options;
    const isTooOld = this.#isTooOld(oldest);
    let isGone = false;
    const gone = (): void => {
      // Counted from here on, or a failed write would take the next one, without a batch yet, for one that follows it.
      this.segments.shift();
      isGone = true;
    };
    try {
      await removeSegmentFiles(files, folder, oldest.position, gone);
    } catch (error) {
      if (!isGone) throw error;
      log.warn(
        { segment: oldest.position, error: reasonOf(error) },
        'the index of a removed segment is left to the next start',
      );
    }
    // Last, so that no reader can open it again: an open file would keep its room on the disk.
    await this.extents.drop(oldest);
    this.counters.segmentsRemoved++;
    const why = isTooOld ? 'age' : 'size';
    log.info({ segment: oldest.position, bytes: oldest.length, why }, 'retention removed a segment');
  }

  #isTooOld(segment: Segment): boolean {
    const { runningTime, retentionMs } = this.#options;
    if (!hasBatches(segment)) return true;
    return segment.writtenAt < runningTime.passed() - retentionMs && !this.#isWanted(segment);
  }

  #isWanted({ end }: Segment): boolean {
    const wanted = this.wanted();
    return wanted === undefined || end.nextSequences.some((next, partition) => next > (wanted[partition] ?? next));
  }

  #isTooMuch(): boolean {
    return this.bytes > this.#options.retentionBytes;
  }

  /** One file of an earlier run is all there is, and too much: the next batch goes into a new one in any case. */
  #isLeftTooLarge(): boolean {
    return this.segments.length === 1 && this.#file === undefined && this.#isTooMuch();
  }

  #fail(error: unknown, batchBytes: number): void {
    const { log } = this.#options;
    const reason = `the event log cannot be written: ${reasonOf(error)}; it goes on by itself when the disk works and has room`;
    this.counters.failures++;
    this.#failedBytes = Math.max(this.#failedBytes, batchBytes);
    log.error(
      { error: reasonOf(error) },
      'the event log could not be written; nothing is acknowledged until it can be',
    );
    this.#state = { kind: 'failed', reason };
    const file = this.#file;
    this.#file = undefined;
    file?.close().catch(() => {});
    this.#armRetry();
  }

  #armRetry(): void {
    this.#retry = this.#options.clock.after(limits.journalRetryMs, () => void this.#inTurn(() => this.#goOn()));
  }

  /** Tries to take records again, in a new segment. */
  async #goOn(): Promise<void> {
    if (this.#state.kind !== 'failed') return;
    try {
      await this.#clearFailed();
      await probeDisk(this.#options.files, this.#options.folder, this.#failedBytes);
      await this.#startSegment();
    } catch (error) {
      const reason = `the event log still cannot be written: ${reasonOf(error)}`;
      // Once a second for as long as it lasts would bury everything else.
      if (reason !== this.#state.reason) this.#options.log.warn({}, reason);
      this.#state = { kind: 'failed', reason };
      this.#armRetry();
      return;
    }
    this.#failedBytes = 0;
    this.#state = { kind: 'open' };
    this.#options.log.info({}, 'the event log can be written again and goes on in a new segment');
  }

  /** Gives back the room of what failed. What is cut here is dead already by rule 2. */
  async #clearFailed(): Promise<void> {
    const { folder, files } = this.#options;
    const last = this.segments.at(-1);
    // Its first batch may have come as far as the ledger, and will not be there after this.
    if (last !== undefined && !hasBatches(last)) await this.#ledger.withdraw(last.position);
    if (this.#remnant !== undefined) {
      await removeSegmentFiles(files, folder, this.#remnant);
      this.#remnant = undefined;
    } else if (last !== undefined && !hasBatches(last) && this.segments.length > 1) {
      await removeSegmentFiles(files, folder, last.position);
      this.segments.pop();
    } else if (last !== undefined && last.index !== undefined) {
      const file = await files.open(journalPath(folder, last.position));
      await file.truncate(last.length).catch(() => {});
      this.#finish(file, last);
    }
  }

  /** Runs `work` when all that was begun before it has ended. */
  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

/** A new journal of events that were enqueued before, each with its number and its time, for what copies them from elsewhere. */
import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import type { Random } from '../../../base/random.ts';
import type { EventRun } from '../../../core/events/types.ts';
import {
  BATCH_FIXED_BYTES,
  type BatchRuns,
  encodeBatch,
  encodeGap,
  RUN_BYTES,
  SALT_BYTES,
  segmentHeaderBytes,
} from '../../event-log/format.ts';
import { type JournalFile, type JournalFiles, systemFiles } from './files.ts';
import { writeMeta } from './meta.ts';
import { createSegmentFile } from './segment-file.ts';

export interface JournalWriterParts {
  /** Made; holds no log yet. */
  readonly folder: string;
  /** The numbers that the first events will have, by partition. */
  readonly firstSequences: readonly number[];
  /** UTC milliseconds. */
  readonly createdTime: number;
  readonly segmentBytes: number;
  readonly random: Random;
  readonly files?: JournalFiles;
}

/** Runs of one time of several partitions. */
interface Gathered {
  readonly time: number;
  readonly runs: Map<number, EventRun[]>;
  bytes: number;
}

const GATHERED_BYTES_MAX = 1024 * 1024;
const WRITE_BYTES = 4 * 1024 * 1024;

export class JournalFiller {
  readonly #parts: JournalWriterParts;
  readonly #files: JournalFiles;
  readonly #next: number[];
  readonly #lastTimes: number[];
  #time = 0;
  #file: JournalFile | undefined;
  #salt = Buffer.alloc(0);
  /** Of the segment that is written, where it begins and how long it is with what waits. */
  #position = 0;
  #length = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #gathered: Gathered | undefined;

  private constructor(parts: JournalWriterParts, files: JournalFiles) {
    this.#parts = parts;
    this.#files = files;
    this.#next = [...parts.firstSequences];
    this.#lastTimes = parts.firstSequences.map(() => 0);
  }

  static async open(parts: JournalWriterParts): Promise<JournalFiller> {
    const { files = systemFiles, folder, firstSequences, createdTime } = parts;
    await files.makeFolder(folder);
    await writeMeta(files, folder, { partitionCount: firstSequences.length, createdTime });
    const filler = new JournalFiller(parts, files);
    await filler.#begin();
    return filler;
  }

  /**
   * Appends a run. Times of a journal never go back: where this one's does, it gets that of the run before it. Numbers between the
   * partition's last event and this one are noted as lost.
   * @returns the time that its events have now
   */
  async add(partition: number, run: EventRun): Promise<number> {
    assert(run.firstSequence >= this.#next[partition], 'numbers follow each other');
    const time = Math.max(run.time, this.#time);
    const missing = run.firstSequence - this.#next[partition];
    const isOther = this.#gathered !== undefined && this.#gathered.time !== time;
    if (isOther || missing > 0 || (this.#gathered?.bytes ?? 0) + run.end - run.start > GATHERED_BYTES_MAX) {
      await this.#write();
    }
    if (missing > 0) await this.skip(partition, missing, time);
    this.#gathered ??= { time, runs: new Map(), bytes: 0 };
    const runs = this.#gathered.runs.get(partition);
    if (runs === undefined) this.#gathered.runs.set(partition, [run]);
    else runs.push(run);
    this.#gathered.bytes += run.end - run.start;
    this.#next[partition] += run.count;
    this.#time = time;
    return time;
  }

  /** Notes numbers that no event has as lost. */
  async skip(partition: number, count: number, time = this.#time): Promise<void> {
    await this.#write();
    this.#time = Math.max(1, time);
    await this.#room();
    const lost = [{ partition, firstSequence: this.#next[partition], count }];
    const place = { salt: this.#salt, position: this.#position + this.#length, time: this.#time };
    this.#put([encodeGap(lost, BATCH_FIXED_BYTES + RUN_BYTES, place)]);
    this.#next[partition] += count;
    this.#lastTimes[partition] = this.#time;
  }

  /**
   * Everything is on the disk when it resolves.
   * @param next the numbers that come next, by partition: those up to there that no event has are noted as lost
   * @returns where the newest segment begins and what numbers come next
   */
  async finish(
    next: readonly number[],
  ): Promise<{ readonly newest: number; readonly nextSequences: readonly number[] }> {
    await this.#write();
    for (const [partition, sequence] of next.entries()) {
      if (sequence > this.#next[partition]) await this.skip(partition, sequence - this.#next[partition]);
    }
    await this.#end();
    return { newest: this.#position, nextSequences: this.#next };
  }

  async #write(): Promise<void> {
    const gathered = this.#gathered;
    if (gathered === undefined) return;
    this.#gathered = undefined;
    await this.#room(gathered);
    const count = this.#next.length;
    const runsOf = (partition: number): readonly EventRun[] => gathered.runs.get(partition) ?? [];
    const sum = (partition: number, of: (run: EventRun) => number): number =>
      runsOf(partition).reduce((total, run) => total + of(run), 0);
    const batch: BatchRuns = {
      counts: Array.from({ length: count }, (_, partition) => sum(partition, (run) => run.count)),
      lengths: Array.from({ length: count }, (_, partition) => sum(partition, (run) => run.end - run.start)),
      pieces: (partition) => runsOf(partition).map(({ bytes, start, end }) => ({ bytes: bytes.subarray(start, end) })),
    };
    const head = Buffer.alloc(BATCH_FIXED_BYTES + RUN_BYTES * count);
    const first = this.#next.map((next, partition) => next - batch.counts[partition]);
    const place = { salt: this.#salt, position: this.#position + this.#length, time: gathered.time };
    this.#put(encodeBatch(head, batch, place, first).buffers);
    for (const partition of gathered.runs.keys()) this.#lastTimes[partition] = gathered.time;
    if (this.#waitingBytes >= WRITE_BYTES) await this.#flush();
  }

  #put(buffers: readonly Buffer[]): void {
    for (const buffer of buffers) {
      this.#waiting.push(buffer);
      this.#waitingBytes += buffer.length;
      this.#length += buffer.length;
    }
  }

  /** A new segment where this one is long enough. @param waits what is counted in `#next` already and not written */
  async #room(waits?: Gathered): Promise<void> {
    if (this.#length < Math.max(limits.segmentBytesMin, this.#parts.segmentBytes)) return;
    await this.#end();
    this.#position += this.#length;
    await this.#begin(waits);
  }

  async #begin(waits?: Gathered): Promise<void> {
    const { folder, createdTime, random } = this.#parts;
    this.#salt = Buffer.from(random.bytes(SALT_BYTES));
    const nextSequences = this.#next.map(
      (next, partition) => next - (waits?.runs.get(partition) ?? []).reduce((total, { count }) => total + count, 0),
    );
    const header = {
      ...{ salt: this.#salt, position: this.#position, createdTime: Math.max(createdTime, this.#time) },
      ...{ nextSequences, lastTimes: this.#lastTimes },
    };
    this.#file = await createSegmentFile(this.#files, folder, header);
    this.#length = segmentHeaderBytes(this.#next.length);
  }

  async #flush(): Promise<void> {
    const buffers = this.#waiting;
    const at = this.#length - this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (buffers.length > 0) await this.#file?.write(buffers, at);
  }

  async #end(): Promise<void> {
    await this.#flush();
    await this.#file?.sync();
    await this.#file?.close();
    this.#file = undefined;
  }
}

/** One partition of an archive: looks what waits, cuts files, lists them, brings them into the store. */
import { limits } from '../../base/limits.ts';
import type { CursorHold, CursorStore, HeldCursor } from '../routes/ports.ts';
import { type Block, type FileBlocks, rowOf } from './blocks.ts';
import { FileMaker, type FileMakerParts, type Made } from './file-maker.ts';
import type { FileUpload } from './file-upload.ts';
import { Manifests } from './manifests.ts';
import type { ArchiveStep, ArchiveStore } from './ports.ts';
import { formatFacts, isDue, pathOf } from './rules.ts';
import type { ArchivedFile, FileScheme } from './types.ts';

export interface PartitionArchiveParts extends FileMakerParts {
  readonly cursor: HeldCursor;
  readonly blocks: FileBlocks;
  /** Of files that come. */
  readonly scheme: FileScheme;
  readonly cursors: CursorStore;
  readonly store: ArchiveStore;
  readonly upload: FileUpload;
  readonly reached?: (step: ArchiveStep) => void;
  readonly stored: (file: ArchivedFile) => void;
}

/** `more`: it may be worth to go on at once. `lost`: the cursor belongs to another node now. */
export type StepOutcome = 'idle' | 'more' | 'lost';

/** What waits: the first event that is for the archive, and what an event of the log brings to it, about. */
interface Pending {
  readonly sequence: number;
  readonly time: number;
  readonly bytesPerEvent: number;
}

export class PartitionArchive {
  readonly hold: CursorHold;
  readonly #parts: PartitionArchiveParts;
  readonly #blocks: FileBlocks;
  /** The first event that is in no listed file, as far as it is known to be for this archive. */
  #next: number;
  #savedNext: number;
  #savedAt: number;
  #pending: Pending | undefined;
  /** Events that retention took before they were seen, of which no file says so yet. */
  #missed = 0;
  readonly #rewrites: number[] = [];
  readonly #maker: FileMaker;
  readonly #manifests: Manifests;

  constructor(parts: PartitionArchiveParts) {
    this.#parts = parts;
    this.hold = parts.cursor.hold;
    this.#blocks = parts.blocks;
    this.#next = this.#savedNext = parts.cursor.sequence;
    this.#savedAt = parts.clock.monotonic();
    this.#maker = new FileMaker(parts, this.hold.partition);
    this.#manifests = new Manifests(parts.store, parts.endpoint.name);
    // The last one may have been cut off by a crash.
    if (parts.blocks.newest !== undefined) this.#manifests.changed(parts.blocks.newest);
  }

  get next(): number {
    return this.#next;
  }

  /** Enqueued time of the oldest event that waits; undefined = none does. */
  get oldestTime(): number | undefined {
    const { last } = this.#blocks;
    return last !== undefined && last.bytes === undefined ? last.firstTime : this.#pending?.time;
  }

  /** The first event that the log has to keep for this archive. */
  get kept(): number {
    const { last } = this.#blocks;
    return last !== undefined && last.bytes === undefined ? last.first : this.#next;
  }

  rewriteLater(first: number): void {
    if (!this.#rewrites.includes(first)) this.#rewrites.push(first);
  }

  async step(): Promise<StepOutcome> {
    const { last } = this.#blocks;
    if (last !== undefined && last.bytes === undefined) return this.#finishListed(last);
    const first = this.#rewrites.shift();
    if (first !== undefined) return this.#rewrite(first);
    await this.#manifests.tell();
    return this.#look();
  }

  /** Whether events from `from` on, below `end`, may be in memory, and in no listed file. */
  mayHold(from: number, end: number): boolean {
    return this.#maker.mayHold(from, end);
  }

  /** A file that was listed and is not known to be stored: its events are read again. */
  async #finishListed(file: ArchivedFile): Promise<StepOutcome> {
    const newest = this.#blocks.newest as Block;
    // It may have been stored before a crash, with what retention has taken since: stores have a file whole, or not.
    const storedBefore = async (): Promise<StepOutcome | undefined> => {
      const found = await this.#parts.store.head(pathOf(newest.scheme, file.first, file.firstTime));
      return found && this.#isStored(newest, { ...file, bytes: found.bytes });
    };
    const { firstSequence } = await this.#parts.log.partition(this.hold.partition);
    let outcome = firstSequence > file.first ? await storedBefore() : undefined;
    if (outcome !== undefined) return outcome;
    const made = await this.#maker.make(newest.scheme, file.first, file.last);
    if (made === undefined) return 'idle';
    outcome = made.file.events < file.events ? await storedBefore() : undefined;
    if (outcome !== undefined) return outcome;
    return this.#bring(
      newest,
      { ...made.file, ...{ first: file.first, last: file.last, firstTime: file.firstTime } },
      made,
    );
  }

  /** Puts a file of the list in its place again, if the log has all of its events. Its length may be another one than it was. */
  async #rewrite(first: number): Promise<StepOutcome> {
    const block = await this.#blocks.blockOf(first);
    const file = block?.files.find((each) => each.first === first);
    if (block === undefined || file?.bytes === undefined || file.events === 0) return 'more';
    const made = await this.#maker.make(block.scheme, file.first, file.last);
    if (made === undefined) return 'idle';
    if (made.file.events !== file.events) return 'more';
    const bytes = await this.#upload(block, file, made);
    if (bytes === undefined) return 'idle';
    if (bytes === file.bytes) return 'more';
    const changed = { ...block, files: block.files.map((each) => (each === file ? { ...file, bytes } : each)) };
    if (!(await this.#save(this.#savedNext, changed))) return 'lost';
    this.#manifests.changed(changed);
    await this.#manifests.tell();
    return 'more';
  }

  async #look(): Promise<StepOutcome> {
    const { log, endpoint, clock } = this.#parts;
    const { partition } = this.hold;
    const { firstSequence, lastSequence } = await log.partition(partition);
    if (this.#pending === undefined) {
      const outcome = await this.#findPending(firstSequence, lastSequence);
      if (outcome !== undefined) return outcome;
    }
    const pending = this.#pending;
    if (pending === undefined) return 'idle';
    const bytes = (lastSequence + 1 - pending.sequence) * pending.bytesPerEvent;
    // What retention takes is told at once, and readers of history wait for no more of it.
    const isTaken = this.#missed > 0 || firstSequence > pending.sequence;
    if (!isTaken && !isDue({ bytes, time: pending.time }, endpoint, clock.now())) return 'idle';
    const listed = await this.#maker.makeNext(this.#parts.scheme, pending.sequence, (made) => this.#list(made));
    if (listed === undefined) return 'idle';
    return listed === 'lost' ? 'lost' : this.#bring(listed.block, listed.file, listed.made);
  }

  /** Puts a file on the list, in one step with the place where the next one begins. */
  async #list(
    made: Made,
  ): Promise<'lost' | { readonly block: Block; readonly file: ArchivedFile; readonly made: Made }> {
    const file = { ...made.file, missed: made.file.missed + this.#missed };
    const block = this.#blocks.with(this.#parts.scheme, file);
    if (!(await this.#save(file.last + 1, block))) return 'lost';
    this.#missed = 0;
    this.#pending = undefined;
    this.#parts.reached?.('listed');
    return { block, file, made };
  }

  /** Goes over events that are not for this archive. Undefined = the end was reached, or one was found. */
  async #findPending(firstSequence: number, lastSequence: number): Promise<StepOutcome | undefined> {
    if (firstSequence > this.#next) {
      // Also where nothing is left that a reading of the log could begin with.
      this.#missed += firstSequence - this.#next;
      this.#next = firstSequence;
    }
    for (let reads = 0; reads < limits.archiveReadsPerStep && this.#next <= lastSequence; reads++) {
      const from = this.#next;
      const batch = await this.#maker.read(from);
      const [first] = batch.records;
      const bytes = batch.records.reduce((sum, { start, end }) => sum + end - start, 0);
      const span = batch.next - from - batch.missed;
      this.#missed += batch.missed;
      batch.release();
      if (first !== undefined) {
        this.#next = first.sequence;
        this.#pending = { sequence: first.sequence, time: first.time, bytesPerEvent: bytes / Math.max(1, span) };
        return undefined;
      }
      if (batch.next <= from) break;
      this.#next = batch.next;
    }
    const { clock } = this.#parts;
    const isFar = this.#next - this.#savedNext >= limits.archiveSkipEvents;
    const isLong = this.#next > this.#savedNext && clock.monotonic() - this.#savedAt >= limits.archiveSkipMs;
    if ((isFar || isLong) && !(await this.#save(this.#next, undefined))) return 'lost';
    return this.#next <= lastSequence ? 'more' : undefined;
  }

  /** Uploads a listed file, and says in the list that it is there. */
  async #bring(block: Block, file: ArchivedFile, made: Made): Promise<StepOutcome> {
    const bytes = await this.#upload(block, file, made);
    return bytes === undefined ? 'idle' : this.#isStored(block, { ...file, bytes });
  }

  /** @returns bytes of the file; undefined = it was given up */
  async #upload({ scheme }: Block, { first, firstTime }: ArchivedFile, { pieces }: Made): Promise<number | undefined> {
    const { upload, isHeld } = this.#parts;
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    if (pieces.length === 0) return bytes;
    const { contentType } = formatFacts[scheme.format];
    return (await upload.bring(pathOf(scheme, first, firstTime), contentType, pieces, isHeld)) ? bytes : undefined;
  }

  /** The newest file of the list is in the store. */
  async #isStored(newest: Block, file: ArchivedFile): Promise<StepOutcome> {
    const done = { ...newest, files: [...newest.files.slice(0, -1), file] };
    if (!(await this.#save(this.#savedNext, done))) return 'lost';
    this.#parts.reached?.('stored');
    this.#parts.stored(file);
    this.#manifests.changed(done);
    await this.#manifests.tell();
    return 'more';
  }

  async #save(sequence: number, block: Block | undefined): Promise<boolean> {
    const put = block === undefined ? [] : [rowOf(block)];
    if (!(await this.#parts.cursors.save(this.hold, { sequence, put }))) return false;
    this.#next = Math.max(this.#next, sequence);
    this.#savedNext = sequence;
    this.#savedAt = this.#parts.clock.monotonic();
    if (block !== undefined) this.#blocks.saved(block);
    return true;
  }
}

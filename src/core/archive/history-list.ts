/** Which archived file has a place that the log does not keep any more, or whether one may still come. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { CursorFacts, CursorPlace, CursorStore } from '../routes/ports.ts';
import type { Archiver } from './archiver.ts';
import { FileBlocks } from './blocks.ts';
import type { ArchiveStore } from './ports.ts';
import type { ListedFile } from './types.ts';

/** The archive that history is read from. */
export interface HistoryArchive {
  readonly endpoint: string;
  readonly since: number;
  readonly store: ArchiveStore;
  /** What writes it at this node; absent = nothing does. */
  readonly archiver?: Pick<Archiver, 'node' | 'mayHold'>;
}

export interface HistoryListParts {
  readonly cursors: CursorStore;
  /** Undefined = there is none. `notOpen` = there is one, which is not open at the moment. */
  readonly archive: () => HistoryArchive | 'notOpen' | undefined;
  readonly clock: Clock;
}

/** What is asked for: events from a sequence number on, or from an enqueued time on (UTC milliseconds). */
export type HistoryPlace = { readonly sequence: number } | { readonly time: number };

/**
 * `file`: the one that has the place, or the next one behind it. `none`: nothing of it is archived, and nothing will be. `later`: it may
 * come, for the reason given, and is not to be passed over; `from` is the first event that may.
 */
export type Found =
  | { readonly kind: 'file'; readonly file: ListedFile }
  | { readonly kind: 'none' }
  | { readonly kind: 'later'; readonly reason: string; readonly from: number };

const none: Found = { kind: 'none' };

/** The list of a partition's files, as it was read last. */
interface KnownList {
  readonly place: CursorPlace;
  readonly blocks: FileBlocks;
  /** Monotonic time. */
  readAt: number;
  /** Where the log began then. */
  logBegin: number;
  /** What was found to come later, and until when (monotonic time) nobody looks again: all who wait look together. */
  later?: { readonly found: Found & { readonly kind: 'later' }; readonly until: number };
  /** Looks follow each other: of two at once the one that began first could put back what the other has found. */
  turn: Promise<unknown>;
}

export class HistoryList {
  readonly #parts: HistoryListParts;
  /** By partition. */
  readonly #lists = new Map<number, { readonly place: CursorPlace; readonly list: Promise<KnownList> }>();

  constructor(parts: HistoryListParts) {
    this.#parts = parts;
  }

  /** @param end where the log begins now: what is asked for lies below it */
  async find(partition: number, end: number, place: HistoryPlace): Promise<Found> {
    const archive = this.#parts.archive();
    if (archive === undefined) return none;
    if (archive === 'notOpen') return { kind: 'later', reason: 'the archive of history is not open', from: 0 };
    const list = await this.#listOf(archive, partition, end);
    const known = this.#laterOf(list, place);
    if (known !== undefined) return known;
    const file = await search(list, place);
    if (file?.bytes !== undefined) return foundOf(file, end);
    return inTurn(list, () => this.#look(archive, list, end, place));
  }

  async #look(archive: HistoryArchive, list: KnownList, end: number, place: HistoryPlace): Promise<Found> {
    const { clock } = this.#parts;
    // Who looked before may have found it out.
    const known = this.#laterOf(list, place);
    if (known !== undefined) return known;
    let file = await search(list, place);
    const isNew = list.logBegin >= end && clock.monotonic() - list.readAt < limits.historyListMs;
    if (file?.bytes === undefined && !isNew) {
      await this.#refresh(list, end);
      file = await search(list, place);
    }
    const found = file === undefined ? await this.#behindFiles(archive, list, end, place) : foundOf(file, end);
    list.later = found.kind === 'later' ? { found, until: clock.monotonic() + limits.historyListMs } : undefined;
    return found;
  }

  #laterOf({ later }: KnownList, place: HistoryPlace): Found | undefined {
    const isKnown = later !== undefined && this.#parts.clock.monotonic() < later.until;
    return isKnown && 'sequence' in place && place.sequence >= later.found.from ? later.found : undefined;
  }

  /** As `find`, for a file that could not be read: it may have been written again, with another length, since the list was read. */
  async again(partition: number, end: number, file: ListedFile): Promise<ListedFile | undefined> {
    const archive = this.#parts.archive();
    if (archive === undefined || archive === 'notOpen') return undefined;
    const list = await this.#listOf(archive, partition, end);
    return inTurn(list, async () => {
      await this.#refresh(list, end);
      return list.blocks.find(file.first);
    });
  }

  #listOf({ endpoint, since }: HistoryArchive, partition: number, end: number): Promise<KnownList> {
    const place = { endpoint, since, partition };
    const known = this.#lists.get(partition);
    if (known !== undefined && JSON.stringify(known.place) === JSON.stringify(place)) return known.list;
    const list = this.#load(place, end);
    this.#lists.set(partition, { place, list });
    list.catch(() => {
      if (this.#lists.get(partition)?.list === list) this.#lists.delete(partition);
    });
    return list;
  }

  async #load(place: CursorPlace, end: number): Promise<KnownList> {
    const { cursors, clock } = this.#parts;
    const readAt = clock.monotonic();
    const blocks = await FileBlocks.load(cursors, place);
    return { place, blocks, readAt, logBegin: end, turn: Promise.resolve() };
  }

  async #refresh(list: KnownList, end: number): Promise<void> {
    list.readAt = this.#parts.clock.monotonic();
    await list.blocks.refresh();
    list.logBegin = Math.max(list.logBegin, end);
  }

  /**
   * No file of the list is so far: whether the archive has read events of it that the log has removed since. Only a file that is being
   * made can have them, and a node makes one at a time.
   */
  async #behindFiles(archive: HistoryArchive, list: KnownList, end: number, place: HistoryPlace): Promise<Found> {
    const cursor = await this.#cursorOf(list.place);
    if (cursor === undefined) return none;
    const from = 'sequence' in place ? Math.max(place.sequence, cursor.sequence) : cursor.sequence;
    const { archiver } = archive;
    const isOwn = archiver !== undefined && archiver.node === cursor.node;
    const mayHold = isOwn ? archiver.mayHold(list.place.partition, from, end) !== false : cursor.node !== '';
    // What was about to be listed is listed now.
    await this.#refresh(list, end);
    const file = await search(list, place);
    if (file !== undefined) return foundOf(file, end);
    if (from >= end || !mayHold) return none;
    const { last } = list.blocks;
    // The other node has to bring this file into the store before it reads what comes behind it.
    if (!isOwn && last !== undefined && last.bytes === undefined) return none;
    return { kind: 'later', reason: `the archive is about to list events from ${from} on`, from };
  }

  async #cursorOf({ endpoint, since, partition }: CursorPlace): Promise<CursorFacts | undefined> {
    const name = endpoint.toLowerCase();
    const all = await this.#parts.cursors.list();
    return all.find((one) => one.endpoint === name && one.since === since && one.partition === partition);
  }
}

function inTurn<Answer>(list: KnownList, work: () => Promise<Answer>): Promise<Answer> {
  const answer = list.turn.then(work);
  list.turn = answer.catch(() => {});
  return answer;
}

const search = ({ blocks }: KnownList, place: HistoryPlace): Promise<ListedFile | undefined> =>
  'sequence' in place ? blocks.find(place.sequence) : blocks.findTime(place.time);

/** A file that is on the list and not known to be in the store is on its way; where it begins in the log, the log has it. */
function foundOf(file: ListedFile, end: number): Found {
  if (file.first >= end) return none;
  if (file.bytes !== undefined) return { kind: 'file', file };
  return { kind: 'later', reason: `the archive's file ${file.path} is not in the store yet`, from: file.first };
}

/**
 * The event hub without its end at the old side: what the log does not keep any more is read from an archive, and reading goes over to
 * the log where that begins. Readers see one log.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { EventLog } from '../events/ports.ts';
import type { EventPosition, EventRun } from '../events/types.ts';
import type { CursorPlace, CursorStore } from '../routes/ports.ts';
import { FileBlocks } from './blocks.ts';
import type { ArchiveStore, HistoryFile, HistoryFiles, HistoryGroup } from './ports.ts';
import type { ListedFile } from './types.ts';

/** The archive that history is read from. */
export interface HistoryArchive {
  readonly endpoint: string;
  readonly since: number;
  readonly store: ArchiveStore;
}

export interface HistoryParts {
  readonly log: EventLog;
  readonly cursors: CursorStore;
  readonly files: HistoryFiles;
  /** Undefined = there is none at the moment. */
  readonly archive: () => HistoryArchive | undefined;
  readonly clock: Clock;
}

/** As the log, but for `seek` and `read`, which begin where the archive does. */
export function historyLog(parts: HistoryParts): EventLog {
  const history = new History(parts);
  return historyOver(parts.log, history);
}

/** A log that begins and is read otherwise. */
export function historyOver(log: EventLog, history: Pick<EventLog, 'seek' | 'read'>): EventLog {
  return {
    name: log.name,
    partitionCount: log.partitionCount,
    createdTime: log.createdTime,
    writer: log.writer,
    partition: (partition) => log.partition(partition),
    lastKnown: (partition) => log.lastKnown(partition),
    seek: (partition, position) => history.seek(partition, position),
    read: (partition, fromSequence, bytesMax) => history.read(partition, fromSequence, bytesMax),
    // What came from an archive is no answer of the log's, which passes over it.
    giveBack: (answer) => log.giveBack(answer),
    watch: (partition, listener) => log.watch(partition, listener),
    health: () => log.health(),
  };
}

/** A group of events that was read, to be read on. */
interface Held {
  readonly file: ListedFile;
  readonly group: HistoryGroup;
  readonly runs: readonly EventRun[];
}

/** The list of a partition's files, as it was read last. */
interface KnownList {
  readonly place: CursorPlace;
  readonly blocks: FileBlocks;
  readAt: number;
  /** Where the log began then: what it had removed by that time is on the list, if any file is to have it. */
  logBegin: number;
}

class History {
  readonly #parts: HistoryParts;
  readonly #lists = new Map<number, KnownList>();
  /** The files that were opened last, and the groups that were read last; the newest at the end. */
  readonly #open = new Map<string, Promise<HistoryFile>>();
  readonly #groups = new Map<string, Promise<Held>>();
  readonly #sizes = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();
  /** That open files and groups are of. */
  #store: ArchiveStore | undefined;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
  }

  async seek(partition: number, position: EventPosition): Promise<number> {
    const { log } = this.#parts;
    const { firstSequence } = await log.partition(partition);
    const older = position.kind === 'end' ? undefined : await this.#seekOlder(partition, position, firstSequence);
    return older !== undefined && older < firstSequence ? older : log.seek(partition, position);
  }

  async read(partition: number, fromSequence: number, bytesMax: number): Promise<readonly EventRun[]> {
    const { log } = this.#parts;
    if (fromSequence >= log.lastKnown(partition).firstSequence) {
      const answer = await log.read(partition, fromSequence, bytesMax);
      // Retention may have been there meanwhile, and what it took is in the archive.
      if (answer.length === 0 || answer[0].firstSequence <= fromSequence) return answer;
      const older = await this.#readOlder(partition, fromSequence, answer[0].firstSequence, bytesMax);
      if (older === undefined) return answer;
      log.giveBack(answer);
      return older;
    }
    const { firstSequence } = await log.partition(partition);
    const older = await this.#readOlder(partition, fromSequence, firstSequence, bytesMax);
    return older ?? log.read(partition, Math.max(fromSequence, firstSequence), bytesMax);
  }

  /** The first archived event of a place; undefined = there is none, or it is not known to be. */
  async #seekOlder(partition: number, position: EventPosition, end: number): Promise<number | undefined> {
    if (position.kind === 'end') return undefined;
    if (position.kind !== 'time') {
      const from = position.kind === 'start' ? 0 : position.inclusive ? position.sequence : position.sequence + 1;
      const file = await this.#fileOf(partition, end, (blocks) => blocks.find(from));
      return file && Math.max(from, file.first);
    }
    const time = position.inclusive ? position.time : position.time + 1;
    const file = await this.#fileOf(partition, end, (blocks) => blocks.findTime(time));
    if (file === undefined || file.first >= end) return undefined;
    if (file.events === 0) return file.first;
    const opened = await this.#opened(file);
    const group = opened.groups.find(({ lastTime }) => lastTime >= time);
    if (group === undefined) return file.last + 1;
    if (group.firstTime >= time) return group.firstSequence;
    const { runs } = await this.#group(file, group);
    return runs.find((run) => run.time >= time)?.firstSequence ?? group.lastSequence + 1;
  }

  /** Archived events from `from` on, below `end`, that readers see; undefined = there are none. */
  async #readOlder(
    partition: number,
    from: number,
    end: number,
    bytesMax: number,
  ): Promise<readonly EventRun[] | undefined> {
    for (let next = from; next < end; ) {
      const at = next;
      const file = await this.#fileOf(partition, end, (blocks) => blocks.find(at));
      if (file === undefined || file.first >= end) return undefined;
      if (file.events === 0) {
        // Retention had taken them all: there is no such file.
        next = file.last + 1;
        continue;
      }
      const { groups } = await this.#opened(file);
      const group = groups.find(({ lastSequence }) => lastSequence >= at);
      if (group === undefined) {
        next = file.last + 1;
        continue;
      }
      const { runs } = await this.#group(file, group);
      const answer = partOf(runs, at, end, bytesMax);
      if (answer.length > 0) return answer;
      next = group.lastSequence + 1;
    }
    return undefined;
  }

  /**
   * A file of the list. @param end Where the log begins now @throws Error it is on the list and not known to be in the store: its events
   * are not to be passed over
   */
  async #fileOf(
    partition: number,
    end: number,
    find: (blocks: FileBlocks) => Promise<ListedFile | undefined>,
  ): Promise<ListedFile | undefined> {
    const { archive, cursors, clock } = this.#parts;
    const current = archive();
    if (current === undefined) return undefined;
    const place = { endpoint: current.endpoint, since: current.since, partition };
    let list = this.#lists.get(partition);
    if (list === undefined || JSON.stringify(list.place) !== JSON.stringify(place)) {
      const readAt = clock.monotonic();
      list = { place, blocks: await FileBlocks.load(cursors, place), readAt, logBegin: end };
      this.#lists.set(partition, list);
    }
    let found = await find(list.blocks);
    const isNew = list.logBegin >= end && clock.monotonic() - list.readAt < limits.historyListMs;
    if (found?.bytes === undefined && !isNew) {
      list.readAt = clock.monotonic();
      await list.blocks.refresh();
      list.logBegin = Math.max(list.logBegin, end);
      found = await find(list.blocks);
    }
    if (found !== undefined && found.bytes === undefined && found.first < end) {
      throw new Error(`the archive's file ${found.path} is not in the store yet`);
    }
    return found;
  }

  #opened(file: ListedFile): Promise<HistoryFile> {
    const { files, archive } = this.#parts;
    const store = archive()?.store;
    if (store === undefined) throw new Error('the archive that history was read from is gone');
    if (store !== this.#store) this.#forget(store);
    const known = this.#open.get(file.path);
    const opened = known ?? files.open(store, file.path, file.bytes ?? 0);
    keepNewest(this.#open, file.path, opened);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= limits.historyFilesOpenMax) break;
      this.#open.delete(oldest);
    }
    return opened;
  }

  /** What was read of another store, which may be closed by now. */
  #forget(store: ArchiveStore): void {
    this.#store = store;
    this.#open.clear();
    this.#groups.clear();
    this.#sizes.clear();
  }

  /** One group at a time is read: what many readers ask for at once is not in memory at once. */
  #group(file: ListedFile, group: HistoryGroup): Promise<Held> {
    const key = `${file.path} ${group.firstRow}`;
    const known = this.#groups.get(key);
    if (known !== undefined) {
      keepNewest(this.#groups, key, known);
      return known;
    }
    const read: Promise<Held> = this.#turn.then(async () => {
      const runs = await (await this.#opened(file)).read(group);
      const buffers = new Set(runs.map((run) => run.bytes.buffer));
      const bytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
      // It may be of a store that is another one meanwhile.
      if (this.#groups.get(key) === read) this.#sizes.set(key, bytes);
      this.#makeRoom(key);
      return { file, group, runs };
    });
    this.#turn = read.catch(() => {
      if (this.#groups.get(key) === read) this.#groups.delete(key);
    });
    this.#groups.set(key, read);
    return read;
  }

  /** Forgets the groups that were read longest ago. */
  #makeRoom(but: string): void {
    let held = [...this.#sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
    for (const key of this.#groups.keys()) {
      if (held <= limits.historyBytesMax) return;
      const bytes = this.#sizes.get(key);
      if (key === but || bytes === undefined) continue;
      this.#groups.delete(key);
      this.#sizes.delete(key);
      held -= bytes;
    }
  }
}

function keepNewest<Value>(map: Map<string, Promise<Value>>, key: string, value: Promise<Value>): void {
  map.delete(key);
  map.set(key, value);
  value.catch(() => {
    if (map.get(key) === value) map.delete(key);
  });
}

/** Before each record of a run stands its length. */
const LENGTH_BYTES = 4;

/** Runs from `from` on, below `end`, of at most about `bytesMax` bytes, but one record at least. */
function partOf(runs: readonly EventRun[], from: number, end: number, bytesMax: number): readonly EventRun[] {
  const found: EventRun[] = [];
  let left = bytesMax;
  let at = firstRun(runs, from);
  for (; at < runs.length && left > 0 && runs[at].firstSequence < end; at++) {
    const run = runs[at];
    let { firstSequence, start } = run;
    while (firstSequence < from) {
      start += LENGTH_BYTES + run.bytes.readUInt32LE(start);
      firstSequence++;
    }
    let count = 0;
    let stop = start;
    while (
      firstSequence + count < Math.min(end, run.firstSequence + run.count) &&
      (left > 0 || found.length + count === 0)
    ) {
      const size = LENGTH_BYTES + run.bytes.readUInt32LE(stop);
      stop += size;
      left -= size;
      count++;
    }
    if (count > 0) found.push({ ...run, firstSequence, count, start, end: stop });
  }
  return found;
}

/** The first run that has an event from `from` on. */
function firstRun(runs: readonly EventRun[], from: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle].firstSequence + runs[middle].count <= from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What was read of archived files lately, for all who read history: files that are open, and groups of events. */
import { limits } from '../../base/limits.ts';
import type { EventRun } from '../events/types.ts';
import type { ArchiveStore, HistoryFile, HistoryFiles, HistoryGroup } from './ports.ts';
import type { ListedFile } from './types.ts';

/** A group of events that was read, to be read on. */
export interface Held {
  readonly file: ListedFile;
  readonly group: HistoryGroup;
  readonly runs: readonly EventRun[];
}

export class HistoryGroups {
  readonly #files: HistoryFiles;
  readonly #current: () => ArchiveStore | undefined;
  /** The files that were opened last, and the groups that were read last; the newest at the end. */
  readonly #open = new Map<string, Promise<HistoryFile>>();
  readonly #groups = new Map<string, Promise<Held>>();
  readonly #sizes = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();
  /** That open files and groups are of. */
  #store: ArchiveStore | undefined;

  /** @param current the store that the archive has now */
  constructor(files: HistoryFiles, current: () => ArchiveStore | undefined) {
    this.#files = files;
    this.#current = current;
  }

  opened(file: ListedFile): Promise<HistoryFile> {
    const store = this.#current();
    if (store === undefined) throw new Error('the archive that history was read from is gone');
    if (store !== this.#store) this.#forget(store);
    const key = keyOf(file);
    const known = this.#open.get(key);
    const opened = known ?? this.#files.open(store, file.path, file.bytes ?? 0);
    keepNewest(this.#open, key, opened);
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
  group(file: ListedFile, group: HistoryGroup): Promise<Held> {
    const key = `${keyOf(file)} ${group.firstRow}`;
    const known = this.#groups.get(key);
    if (known !== undefined) {
      keepNewest(this.#groups, key, known);
      return known;
    }
    const read: Promise<Held> = this.#turn.then(async () => {
      const runs = await (await this.opened(file)).read(group);
      const buffers = new Set(runs.map((run) => run.bytes.buffer));
      const bytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
      // It may be of a store that is another one meanwhile.
      if (this.#groups.get(key) === read) this.#sizes.set(key, bytes);
      this.#makeRoom(key);
      return { file, group, runs };
    });
    this.#turn = read.catch(() => {
      if (this.#groups.get(key) === read) this.#groups.delete(key);
      // Its end is read anew, too.
      this.#open.delete(keyOf(file));
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

/** A file that was written again may have another length, and other groups. */
const keyOf = ({ path, bytes }: ListedFile): string => `${path} ${bytes}`;

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
export function partOf(runs: readonly EventRun[], from: number, end: number, bytesMax: number): readonly EventRun[] {
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

/** What was read of archived files lately, for all who read history: files that are open, and groups of events. */
import { limits } from '../../base/limits.ts';
import type { EventRun } from '../events/types.ts';
import type { ArchiveStore, HistoryFile, HistoryFiles, HistoryGroup } from './ports.ts';
import type { ListedFile } from './types.ts';

/** A group of events that was read, to be read on. */
interface Held {
  readonly runs: Promise<readonly EventRun[]>;
  /** Who waits for it, or has an answer of it. */
  users: number;
  /** Its memory; undefined = it is not read yet. */
  memory: ArrayBuffer | undefined;
  isForgotten: boolean;
}

/** Of what was forgotten, so much memory is kept for what is read next. */
const SPARE_MAX = 2;

export class HistoryGroups {
  readonly #files: HistoryFiles;
  readonly #current: () => ArchiveStore | undefined;
  /** The files that were opened last, and the groups that were read last; the newest at the end. */
  readonly #open = new Map<string, Promise<HistoryFile>>();
  readonly #groups = new Map<string, Held>();
  /** What the answers that have not been given back are of. */
  readonly #answers = new WeakMap<readonly EventRun[], Held>();
  /**
   * Memory that nobody uses: each new piece brings the runtime nearer to looking through all memory for garbage, which was a fifth of
   * what reading history cost.
   */
  #spare: ArrayBuffer[] = [];
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
    for (const [key, held] of this.#groups) this.#drop(key, held);
  }

  /** A group's runs. Their bytes may be others at once: for those there is `read`. */
  async runs(file: ListedFile, group: HistoryGroup): Promise<readonly EventRun[]> {
    const held = this.#held(file, group);
    held.users++;
    try {
      return await held.runs;
    } finally {
      this.#leave(held);
    }
  }

  /**
   * As `partOf`. The answer's bytes stay as they are until it is given back. @param signal ends waiting: a group that nobody waits for
   * when its turn comes is not read
   */
  async read(
    file: ListedFile,
    group: HistoryGroup,
    part: readonly [from: number, end: number, bytesMax: number],
    signal?: AbortSignal,
  ): Promise<readonly EventRun[]> {
    signal?.throwIfAborted();
    const held = this.#held(file, group);
    held.users++;
    try {
      const answer = partOf(await unlessEnded(held.runs, signal), ...part);
      if (answer.length > 0) {
        held.users++;
        this.#answers.set(answer, held);
      }
      return answer;
    } finally {
      this.#leave(held);
    }
  }

  /** Harmless for answers that came from elsewhere, and twice. */
  giveBack(answer: readonly EventRun[]): void {
    const held = this.#answers.get(answer);
    if (held === undefined) return;
    this.#answers.delete(answer);
    this.#leave(held);
  }

  /** One group at a time is read: what many readers ask for at once is not in memory at once. */
  #held(file: ListedFile, group: HistoryGroup): Held {
    const key = `${keyOf(file)} ${group.firstRow}`;
    const known = this.#groups.get(key);
    if (known !== undefined) {
      this.#groups.delete(key);
      this.#groups.set(key, known);
      return known;
    }
    const runs = this.#turn.then(async () => {
      if (held.users === 0) {
        this.#drop(key, held);
        throw new Error('nobody waits for this group any more');
      }
      const found = await (await this.opened(file)).read(group, this.#spare.pop());
      held.memory = found.length === 0 ? undefined : (found[0].bytes.buffer as ArrayBuffer);
      this.#makeRoom(held);
      return found;
    });
    const held: Held = { runs, users: 0, memory: undefined, isForgotten: false };
    this.#turn = runs.catch(() => {
      if (held.isForgotten) return;
      this.#drop(key, held);
      // Its end is read anew, too.
      this.#open.delete(keyOf(file));
    });
    this.#groups.set(key, held);
    return held;
  }

  /** Forgets the groups that were read longest ago. */
  #makeRoom(but: Held): void {
    let bytes = 0;
    for (const { memory } of this.#groups.values()) bytes += memory?.byteLength ?? 0;
    for (const [key, held] of this.#groups) {
      if (bytes <= limits.historyBytesMax) return;
      if (held === but || held.memory === undefined) continue;
      bytes -= held.memory.byteLength;
      this.#drop(key, held);
    }
  }

  #drop(key: string, held: Held): void {
    this.#groups.delete(key);
    held.isForgotten = true;
    this.#reuse(held);
  }

  #leave(held: Held): void {
    held.users--;
    this.#reuse(held);
  }

  #reuse(held: Held): void {
    if (!held.isForgotten || held.users > 0 || held.memory === undefined) return;
    const { memory } = held;
    held.memory = undefined;
    if (this.#spare.length < SPARE_MAX && memory.byteLength <= limits.historyBytesMax / 8) this.#spare.push(memory);
  }
}

/** A file that was written again may have another length, and other groups. */
const keyOf = ({ path, bytes }: ListedFile): string => `${path} ${bytes}`;

/** @throws the signal's reason */
function unlessEnded<Answer>(work: Promise<Answer>, signal: AbortSignal | undefined): Promise<Answer> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const end = (): void => reject(signal.reason);
    signal.addEventListener('abort', end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
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

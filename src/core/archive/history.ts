/**
 * The event hub without its end at the old side: what the log does not keep any more is read from an archive, and reading goes over to
 * the log where that begins. Readers see one log.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { EventLog } from '../events/ports.ts';
import type { EventPosition, EventRun } from '../events/types.ts';
import { HistoryGroups } from './history-groups.ts';
import { HistoryList, type HistoryListParts } from './history-list.ts';
import type { HistoryFiles } from './ports.ts';
import { isOfStore } from './rules.ts';
import type { ListedFile } from './types.ts';

export interface HistoryParts extends HistoryListParts {
  readonly log: EventLog;
  readonly files: HistoryFiles;
}

/** As the log, but for `seek` and `read`, which begin where the archive does. */
export function historyLog(parts: HistoryParts): EventLog {
  const history = new History(parts);
  return historyOver(parts.log, history);
}

/** A log that begins and is read otherwise. */
export function historyOver(log: EventLog, history: Pick<EventLog, 'seek' | 'read' | 'giveBack'>): EventLog {
  return {
    name: log.name,
    partitionCount: log.partitionCount,
    createdTime: log.createdTime,
    writer: log.writer,
    partition: (partition) => log.partition(partition),
    lastKnown: (partition) => log.lastKnown(partition),
    seek: (partition, position) => history.seek(partition, position),
    read: (partition, fromSequence, bytesMax, signal) => history.read(partition, fromSequence, bytesMax, signal),
    // Each passes over what is no answer of its own.
    giveBack(answer) {
      log.giveBack(answer);
      history.giveBack(answer);
    },
    watch: (partition, listener) => log.watch(partition, listener),
    health: () => log.health(),
  };
}

/** Events are archived, and cannot be read yet: why. */
class Later {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

class History {
  readonly #parts: HistoryParts;
  readonly #list: HistoryList;
  readonly #groups: HistoryGroups;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
    this.#list = new HistoryList(parts);
    this.#groups = new HistoryGroups(parts.files, () => {
      const archive = parts.archive();
      return archive === 'notOpen' ? undefined : archive?.store;
    });
  }

  /** @throws HubError ServiceUnavailable: what a time leads to is not known yet */
  async seek(partition: number, position: EventPosition): Promise<number> {
    const { log } = this.#parts;
    if (position.kind === 'end') return log.seek(partition, position);
    const { firstSequence } = await log.partition(partition);
    if (position.kind === 'time') return this.#seekTime(partition, position, firstSequence);
    const from = position.kind === 'start' ? 0 : position.inclusive ? position.sequence : position.sequence + 1;
    if (from >= firstSequence) return from;
    const found = await this.#list.find(partition, firstSequence, { sequence: from });
    // Not where the log begins by now: what retention has taken since is in the archive.
    if (found.kind === 'none') return firstSequence;
    // Reading waits for what comes later.
    return Math.max(from, found.kind === 'file' ? found.file.first : found.from);
  }

  /**
   * What is on its way into the archive is waited for, since a reader that is told of a failure may begin at another place again.
   * @throws HubError ServiceUnavailable: it has taken too long
   */
  async read(
    partition: number,
    fromSequence: number,
    bytesMax: number,
    signal?: AbortSignal,
  ): Promise<readonly EventRun[]> {
    const { clock } = this.#parts;
    const until = clock.monotonic() + limits.historyWaitMs;
    for (;;) {
      const answer = await this.#readNow(partition, fromSequence, bytesMax, signal);
      if (!(answer instanceof Later)) return answer;
      if (clock.monotonic() >= until) {
        throw unavailable(`read at ${fromSequence}`, answer.reason);
      }
      await rest(clock, limits.historyListMs, signal);
    }
  }

  giveBack(answer: readonly EventRun[]): void {
    this.#groups.giveBack(answer);
  }

  async #readNow(
    partition: number,
    from: number,
    bytesMax: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly EventRun[] | Later> {
    const { log } = this.#parts;
    if (from >= log.lastKnown(partition).firstSequence) {
      const answer = await log.read(partition, from, bytesMax);
      // Retention may have been there meanwhile, and what it took is in the archive.
      if (answer.length === 0 || answer[0].firstSequence <= from) return answer;
      const older = await this.#readOlder(partition, from, answer[0].firstSequence, bytesMax, signal);
      if (older === undefined) return answer;
      log.giveBack(answer);
      return older;
    }
    const { firstSequence } = await log.partition(partition);
    const older = await this.#readOlder(partition, from, firstSequence, bytesMax, signal);
    if (older !== undefined) return older;
    // Retention may have been there meanwhile: from where the log began it is as for any other reader.
    return from < firstSequence
      ? this.#readNow(partition, firstSequence, bytesMax, signal)
      : log.read(partition, from, bytesMax);
  }

  async #seekTime(
    partition: number,
    position: EventPosition & { readonly kind: 'time' },
    end: number,
  ): Promise<number> {
    const { log } = this.#parts;
    const time = position.inclusive ? position.time : position.time + 1;
    const found = end === 0 ? undefined : await this.#list.find(partition, end, { time });
    if (found === undefined || found.kind === 'none') {
      const kept = await log.seek(partition, position);
      const { firstSequence } = await log.partition(partition);
      // What retention has taken meanwhile may be of that time.
      return kept <= firstSequence && firstSequence > end ? this.#seekTime(partition, position, firstSequence) : kept;
    }
    if (found.kind === 'file') {
      return this.#timeIn(partition, end, found.file, time).catch((error) => {
        throw isOfStore(error) ? unavailable('searched for a time', storeReason(error)) : error;
      });
    }
    const kept = await log.seek(partition, position);
    // An event that the log has is older: so is all that it has not.
    if (kept > end) return kept;
    throw unavailable('searched for a time', found.reason);
  }

  /** The first event of this time or a later one: of this file, or right behind it. */
  async #timeIn(partition: number, end: number, listed: ListedFile, time: number): Promise<number> {
    if (listed.events === 0) return listed.first;
    return this.#reading(partition, end, listed, async (file) => {
      const { groups } = await this.#groups.opened(file);
      const group = groups.find(({ lastTime }) => lastTime >= time);
      if (group === undefined) return file.last + 1;
      if (group.firstTime >= time) return group.firstSequence;
      const runs = await this.#groups.runs(file, group);
      return runs.find((run) => run.time >= time)?.firstSequence ?? group.lastSequence + 1;
    });
  }

  /** Archived events from `from` on, below `end`, that readers see; undefined = there are none. */
  async #readOlder(
    partition: number,
    from: number,
    end: number,
    bytesMax: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly EventRun[] | Later | undefined> {
    for (let next = from; next < end; ) {
      const at = next;
      const found = await this.#list.find(partition, end, { sequence: at });
      if (found.kind === 'none') return undefined;
      if (found.kind === 'later') return new Later(found.reason);
      if (found.file.events === 0) {
        // Retention had taken them all: there is no such file.
        next = found.file.last + 1;
        continue;
      }
      try {
        const answer = await this.#reading(partition, end, found.file, async (file) => {
          const { groups } = await this.#groups.opened(file);
          const group = groups.find(({ lastSequence }) => lastSequence >= at);
          next = group === undefined ? file.last + 1 : group.lastSequence + 1;
          return group === undefined ? [] : this.#groups.read(file, group, [at, end, bytesMax], signal);
        });
        if (answer.length > 0) return answer;
      } catch (error) {
        if (isOfStore(error)) return new Later(storeReason(error));
        throw error;
      }
    }
    return undefined;
  }

  /** Reads in a file as the list has it, or as the list has it now, if that has changed. */
  async #reading<Answer>(
    partition: number,
    end: number,
    file: ListedFile,
    work: (file: ListedFile) => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await work(file);
    } catch (error) {
      const now = await this.#list.again(partition, end, file);
      if (now?.bytes === undefined || (now.bytes === file.bytes && now.path === file.path)) throw error;
      return work(now);
    }
  }
}

/** @throws the signal's reason */
function rest(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', stop);
      resolve();
    });
    signal?.addEventListener('abort', stop, { once: true });
  });
}

const storeReason = ({ message }: Error): string => `the archive's store does not answer: ${message}`;

const unavailable = (what: string, reason: string): HubError =>
  new HubError('ServiceUnavailable', `History cannot be ${what} yet: ${reason}.`);

/**
 * The disk under the hub, as one run of its process sees it: every call takes time, and none is answered to a process
 * that has ended. The journal works on the `VirtualDisk`. Tables are memory stores behind a thread with group commit:
 * what was answered is kept over a crash, what was on its way is applied or not.
 */
import type { IdentityChange, IdentityStore } from '../../src/core/identity/ports.ts';
import type { Places } from '../../src/core/presence/places.ts';
import type { DesiredNote, TwinStore } from '../../src/core/twins/ports.ts';
import type { VirtualDisk } from '../../src/stores/contract/event-log-disk.ts';
import type { JournalFile, JournalFiles } from '../../src/stores/embedded/event-log/files.ts';
import type { Life } from './scheduler.ts';
import type { Dice } from './world.ts';

/** Milliseconds that a call takes. */
const SYNC_MS = 4;
const CALL_MS = 0.3;
const COMMIT_MS = 3;
const PLACES_MS = 2;

export function slowFiles(disk: VirtualDisk, life: Life, dice: Dice): JournalFiles {
  const timed = async <Value>(meanMs: number, call: () => Promise<Value>): Promise<Value> => {
    await life.pause(dice.wait(meanMs / 2));
    try {
      return await call();
    } finally {
      await life.pause(dice.wait(meanMs / 2));
    }
  };
  const slowFile = (file: JournalFile): JournalFile => ({
    size: () => timed(CALL_MS, () => file.size()),
    // The writer uses its buffers again only when it has been answered.
    write: (buffers, at) => timed(CALL_MS, () => file.write(buffers, at)),
    read: (target, at) => timed(CALL_MS, () => file.read(target, at)),
    truncate: (length) => timed(CALL_MS, () => file.truncate(length)),
    sync: () => timed(SYNC_MS, () => file.sync()),
    close: () => timed(CALL_MS, () => file.close()),
  });
  return {
    makeFolder: () => disk.makeFolder(),
    list: (folder) => timed(CALL_MS, () => disk.list(folder)),
    create: (file) => timed(CALL_MS, async () => slowFile(await disk.create(file))),
    open: (file) => timed(CALL_MS, async () => slowFile(await disk.open(file))),
    unlink: (file) => timed(CALL_MS, () => disk.unlink(file)),
    syncFolder: (folder) => timed(SYNC_MS, () => disk.syncFolder(folder)),
  };
}

interface Operation {
  apply(): Promise<void>;
  answer(): void;
  refuse(error: Error): void;
}

/** What carries out calls of the tables. */
export interface TableCalls {
  /** @param before runs before the caller is answered @param keys calls with one in common are carried out in order, if they may be in another */
  call<Value>(work: () => Promise<Value>, before?: () => void, keys?: readonly string[]): Promise<Value>;
}

/** The thread that owns the tables: operations in order of arrival, many in one commit. */
export class TableThread implements TableCalls {
  readonly #life: Life;
  readonly #dice: Dice;
  /** Whether the commit that begins now fails; nothing of it is applied then. */
  readonly #fails: () => boolean;
  #waiting: Operation[] = [];
  #busy = false;

  constructor(life: Life, dice: Dice, fails: () => boolean) {
    this.#life = life;
    this.#dice = dice;
    this.#fails = fails;
  }

  /** @param before runs before the caller is answered. */
  call<Value>(work: () => Promise<Value>, before: () => void = () => {}): Promise<Value> {
    return new Promise((resolve, reject) => {
      let answer = (): void => {};
      this.#waiting.push({
        apply: async () => {
          try {
            const value = await work();
            answer = () => resolve(value);
          } catch (error) {
            answer = () => reject(error);
          }
        },
        answer: () => {
          before();
          answer();
        },
        refuse: reject,
      });
      this.#begin();
    });
  }

  #begin(): void {
    if (this.#busy || this.#waiting.length === 0) return;
    this.#busy = true;
    this.#life.clock.after(this.#dice.wait(COMMIT_MS / 2), () => void this.#commit());
  }

  async #commit(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    const failed = this.#fails();
    if (!failed) for (const operation of batch) await operation.apply();
    await this.#life.pause(this.#dice.wait(COMMIT_MS / 2));
    for (const operation of batch) {
      if (failed) operation.refuse(new Error('disk I/O error'));
      else operation.answer();
    }
    this.#busy = false;
    this.#begin();
  }
}

type Method = (...parameters: unknown[]) => Promise<unknown>;

/** The same store behind the thread. */
export function behind<Store extends object>(thread: TableCalls, store: Store): Store {
  const methods = Object.entries(store) as [string, Method][];
  return Object.fromEntries(
    methods.map(([name, method]) => [
      name,
      name.startsWith('watch')
        ? method
        : (...parameters: unknown[]) =>
            thread.call(() => method.apply(store, parameters), undefined, keysOf(name, parameters)),
    ]),
  ) as Store;
}

/** Calls about the commands of one identity take effect in the order in which they were made, as in PostgreSQL's store. */
function keysOf(name: string, [first]: readonly unknown[]): readonly string[] {
  if (!['enqueue', 'lockNext', 'settle', 'releaseHolder', 'purge', 'forget'].includes(name)) return [];
  const { deviceId, target } = first as { readonly deviceId?: string; readonly target?: { readonly deviceId: string } };
  return [`commands of ${deviceId ?? target?.deviceId}`];
}

/** Places in a store that takes its time with each call. @param life of the process; undefined = they answer at once */
export function placesBehind(places: Places, life: Life | undefined, dice: Dice): Places {
  if (life === undefined) return places;
  return {
    ...places,
    async claim(claims) {
      await life.pause(dice.wait(PLACES_MS));
      const outcomes = await places.claim(claims);
      await life.pause(dice.wait(PLACES_MS));
      return outcomes;
    },
    async release(holders) {
      await life.pause(dice.wait(PLACES_MS));
      await places.release(holders);
    },
  };
}

/** Watchers of this life hear of a change when it is durable, before its writer does. */
export function identitiesBehind(thread: TableCalls, store: IdentityStore, life: Life): IdentityStore {
  const listeners = new Set<(change: IdentityChange) => void>();
  let heard: IdentityChange[] = [];
  life.onEnd(store.watchOwnWrites((change) => void heard.push(change)));
  return {
    ...behind(thread, store),
    write(writes) {
      let changes: IdentityChange[] = [];
      const work = (): ReturnType<IdentityStore['write']> => {
        heard = [];
        const outcomes = store.write(writes);
        changes = heard;
        return outcomes;
      };
      const tell = (): void => {
        for (const change of changes) for (const listener of listeners) listener(change);
      };
      const devices = writes.map((write) => (write.kind === 'delete' ? write.key : write.identity).deviceId);
      return thread.call(
        work,
        tell,
        [...new Set(devices)].map((id) => `identity ${id}`),
      );
    },
    watchOwnWrites(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Watchers of this life hear of a change of desired properties when it is durable, before its back end does. */
export function twinsBehind(thread: TableCalls, store: TwinStore, life: Life): TwinStore {
  const listeners = new Set<(note: DesiredNote) => void>();
  let heard: DesiredNote[] = [];
  life.onEnd(store.watchOwnWrites((note) => void heard.push(note)));
  return {
    ...behind(thread, store),
    change(key, change, terms) {
      let notes: DesiredNote[] = [];
      const work = (): ReturnType<TwinStore['change']> => {
        heard = [];
        const outcome = store.change(key, change, terms);
        notes = heard;
        return outcome;
      };
      const tell = (): void => {
        for (const note of notes) for (const listener of listeners) listener(note);
      };
      return thread.call(work, tell, [`twin of ${key.deviceId}`]);
    },
    watchOwnWrites(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    watchEvents(listener) {
      const unwatch = store.watchEvents(listener);
      life.onEnd(unwatch);
      return unwatch;
    },
  };
}

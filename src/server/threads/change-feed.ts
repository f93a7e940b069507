import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { EveryCall, ThreadLink } from './calls.ts';
import type { StoreCalls } from './store-calls.ts';

interface Watched {
  watchOwnWrites(listener: (change: unknown) => void): () => void;
}

interface HearingCalls {
  heard(): Promise<void>;
}

/** Other nodes of the hub, which must hear of changes as well. */
export interface Elsewhere {
  /** Tells all of them, in the order of the calls. */
  tell(store: string, change: unknown): void;
  /**
   * Resolves when every one has taken what was told before, or does not let anybody in any more.
   * @throws HubError ServiceUnavailable (whether they have is not known)
   */
  heard(): Promise<void>;
}

/**
 * Changes of stores in the main thread, told to every listener thread. What a store promises holds for all threads: a
 * writer hears of its write only after every thread has heard of the change, so no cache is older than what anybody was told.
 */
export class ChangeFeed {
  readonly #clock: Clock;
  readonly #threads = new Map<ThreadLink, HearingCalls>();
  readonly #elsewhere: Elsewhere | undefined;
  #changes = 0;

  /** @param elsewhere absent = the hub is this process */
  constructor(clock: Clock, elsewhere?: Elsewhere) {
    this.#clock = clock;
    this.#elsewhere = elsewhere;
  }

  /**
   * The same store, whose writes are answered when every thread and node has heard of what they changed. `name` is that of its
   * changes; without it other nodes are told nothing.
   */
  telling<Store extends Watched>(store: Store, calls: StoreCalls<Store>, name?: string): Store {
    store.watchOwnWrites((change) => {
      this.#changes++;
      if (name !== undefined) this.#elsewhere?.tell(name, change);
    });
    const writes = Object.entries(calls).filter(([, kind]) => kind === 'write');
    const told = writes.map(([call]) => {
      const write = store[call as keyof Store] as (...args: unknown[]) => Promise<unknown>;
      const telling = async (...args: unknown[]): Promise<unknown> => {
        const before = this.#changes;
        const answer = await write.apply(store, args);
        if (this.#changes !== before) await this.#heard();
        return answer;
      };
      return [call, telling];
    });
    return { ...store, ...Object.fromEntries(told) };
  }

  /** Lets a thread use `stores`, and tells it of their changes. The returned function ends it. */
  serve(link: ThreadLink, stores: Readonly<Record<string, Watched>>): () => void {
    this.#threads.set(link, link.remote<HearingCalls>('hearing', { heard: true }));
    const ends = Object.entries(stores).map(([name, store]) => {
      link.serve(name, store);
      return store.watchOwnWrites((change) => link.tell(`changed ${name}`, change));
    });
    return () => {
      this.#threads.delete(link);
      for (const end of ends) end();
    };
  }

  /** Resolves when all have answered what was sent behind the changes; a thread that hangs is not waited for. */
  async #heard(): Promise<void> {
    await Promise.all([this.#heardByThreads(), this.#elsewhere?.heard()]);
  }

  async #heardByThreads(): Promise<void> {
    if (this.#threads.size === 0) return;
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.after(limits.threadToldMsMax, resolve);
    });
    // A thread that has ended knows nothing any more.
    const all = [...this.#threads.values()].map((thread) => thread.heard().catch(() => {}));
    await Promise.race([Promise.all(all), late]);
    cancel();
  }
}

/** Answers the main thread that what it sent before has been taken. */
export function serveHearing(link: ThreadLink): void {
  link.serve('hearing', { heard: async () => {} } satisfies HearingCalls);
}

/** A store of the main thread with its change feed, as a listener thread sees it. */
export function storeStandIn<Store extends Watched>(link: ThreadLink, name: string, calls: StoreCalls<Store>): Store {
  const listeners = new Set<(change: unknown) => void>();
  link.on(`changed ${name}`, (change) => {
    for (const listener of listeners) listener(change);
  });
  const watchOwnWrites = (listener: (change: unknown) => void): (() => void) => {
    const own = (change: unknown): void => listener(change);
    listeners.add(own);
    return () => listeners.delete(own);
  };
  const every = Object.fromEntries(Object.keys(calls).map((call) => [call, true])) as EveryCall<
    Omit<Store, 'watchOwnWrites'>
  >;
  return { ...link.remote<Omit<Store, 'watchOwnWrites'>>(name, every), watchOwnWrites } as Store;
}

/** A store that also tells what another node has written, to whoever watches it. */
export interface Overhearing<Store, Change> {
  readonly store: Store;
  /** Another node has written. */
  hear(change: Change): void;
}

/** @param store one whose own writes are told; what `hear` is called with is marked as of elsewhere. */
export function overhearing<Change extends { readonly isElsewhere?: true }, Store extends WatchedFor<Change>>(
  store: Store,
): Overhearing<Store, Change> {
  const listeners = new Set<(change: Change) => void>();
  return {
    store: {
      ...store,
      watchOwnWrites(listener: (change: Change) => void) {
        const own = (change: Change): void => listener(change);
        const unwatch = store.watchOwnWrites(own);
        listeners.add(own);
        return () => {
          unwatch();
          listeners.delete(own);
        };
      },
    },
    hear(change) {
      for (const listener of listeners) listener({ ...change, isElsewhere: true });
    },
  };
}

interface WatchedFor<Change> {
  watchOwnWrites(listener: (change: Change) => void): () => void;
}

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

/**
 * Changes of stores in the main thread, told to every listener thread. What a store promises holds for all threads: a
 * writer hears of its write only after every thread has heard of the change, so no cache is older than what anybody was told.
 */
export class ChangeFeed {
  readonly #clock: Clock;
  readonly #threads = new Map<ThreadLink, HearingCalls>();
  #changes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The same store, whose writes are answered when every thread has heard of what they changed. */
  telling<Store extends Watched>(store: Store, calls: StoreCalls<Store>): Store {
    store.watchOwnWrites(() => {
      this.#changes++;
    });
    const writes = Object.entries(calls).filter(([, kind]) => kind === 'write');
    const told = writes.map(([name]) => {
      const write = store[name as keyof Store] as (...args: unknown[]) => Promise<unknown>;
      const telling = async (...args: unknown[]): Promise<unknown> => {
        const before = this.#changes;
        const answer = await write.apply(store, args);
        if (this.#changes !== before) await this.#heard();
        return answer;
      };
      return [name, telling];
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

  /** Resolves when every thread has answered what was sent behind the changes; one that hangs is not waited for. */
  async #heard(): Promise<void> {
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

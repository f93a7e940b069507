/**
 * Presence as the registry keeps it: exact while the hub runs, and right again after it has stopped or was killed. A
 * change is written within `limits.presenceFlushMs`, with the others of that time; the last activity of a device that
 * stays connected about every minute.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { identityName } from '../identity/permissions.ts';
import type { IdentityKey, PresenceState } from '../identity/types.ts';
import type { ConnectionWatcher, WatchedPresence } from './ports.ts';

export interface StoredPresence extends PresenceState {
  readonly key: IdentityKey;
  readonly generationId: string;
}

/**
 * Where one node keeps presence: `begin`, `end` and `recover` are about this node's runs and what it has said, and nodes that share
 * the tables have such a value each. One contract suite (`stores/contract/presence-states.ts`) runs over every implementation.
 */
export interface PresenceStateStore {
  /** A run of this node begins. True: its run before did not end by `end`, and left `connected` states that are not. */
  begin(): Promise<boolean>;
  /** The run ends in an orderly way. */
  end(): Promise<void>;
  /**
   * In the order asked for, whichever node has said it; undefined = never seen. States of an older generation of the identity do
   * not count.
   */
  get(keys: readonly IdentityKey[]): Promise<readonly (PresenceState | undefined)[]>;
  /**
   * Replaces the states of those identities that still exist in that generation, and leaves out the others. That a connection has ended
   * does not replace that another node holds one: the device has moved there meanwhile.
   */
  save(states: readonly StoredPresence[]): Promise<void>;
  /**
   * Turns at most `count` of this node's states that say `connected` into disconnected ones, as of their last known activity, and
   * tells which; none = all are done.
   */
  recover(count: number): Promise<readonly StoredPresence[]>;
}

export interface KeptPresence {
  /** The same presence, which also knows of who connected before this run. */
  readonly presence: WatchedPresence;
  /**
   * Writes what waits now, so that the store holds who is connected; what changes meanwhile is not waited for. A write that fails is
   * logged, and tried again later.
   */
  settle(): Promise<void>;
  /** Identities whose state waits to be written. */
  pending(): number;
  /** Writes what waits. */
  close(): Promise<void>;
}

interface Named {
  readonly key: IdentityKey;
  readonly generationId: string;
}

export function keepPresence(
  inner: WatchedPresence,
  { store, clock, log }: { readonly store: PresenceStateStore; readonly clock: Clock; readonly log: Log },
): KeptPresence {
  /** Whose state is to be written; what it is, is looked up then. */
  const dirty = new Map<string, Named>();
  let flushing: Promise<void> | undefined;
  /** Of those, whose write has failed; and who hears when it has not. */
  const late = new Set<string>();
  const watchers: ConnectionWatcher[] = [];
  /** Of a write that is on its way. */
  let writing = 0;
  /** States whose write has ended well, and who waits until there are so many: they are written in the order in which they change. */
  let written = 0;
  let settling: { readonly until: number; resolve(): void }[] = [];
  let soon: Cancel | undefined;
  let later: Cancel | undefined;
  let closed = false;
  /** Connections that there are. */
  let open = 0;
  let asked: { readonly key: IdentityKey; resolve(state: PresenceState): void; reject(error: unknown): void }[] = [];

  const mark = (named: Named): void => {
    const { key, generationId } = named;
    dirty.set(identityName(key), { key, generationId });
    flushWithin(limits.presenceFlushMs);
  };

  const flushWithin = (ms: number): void => {
    if (closed) return;
    soon ??= clock.after(ms, () => {
      // Also while a write takes longer than this: else nothing would ever be waited for again.
      soon = undefined;
      void flush();
    });
  };

  const settled = (count: number): void => {
    for (const each of settling) if (each.until <= count) each.resolve();
    settling = settling.filter(({ until }) => until > count);
  };

  const settle = (): Promise<void> => {
    const until = written + writing + dirty.size;
    if (until === written) return Promise.resolve();
    return new Promise((resolve) => {
      settling.push({ until, resolve });
      void flush();
    });
  };

  /** Writes all that waits; what fails is kept, and tried again a moment later. */
  const flush = (): Promise<void> => {
    flushing ??= (async (): Promise<boolean> => {
      soon?.();
      soon = undefined;
      while (dirty.size > 0) {
        const batch = [...dirty].slice(0, limits.presenceBatchMax);
        for (const [name] of batch) dirty.delete(name);
        writing = batch.length;
        try {
          const states = await Promise.all(
            batch.map(async ([, named]) => ({ ...named, ...(await inner.state(named.key)) })),
          );
          await store.save(states.filter((state) => state.connectionStateUpdatedTime > 0));
          written += batch.length;
          for (const [name, { key }] of batch)
            if (late.delete(name)) for (const each of watchers) each.storedLate?.(key);
          settled(written);
        } catch (error) {
          for (const [name, named] of batch) {
            if (!dirty.has(name)) dirty.set(name, named);
            late.add(name);
          }
          log.error({ error, identities: dirty.size }, 'presence could not be written to the registry');
          return false;
        } finally {
          writing = 0;
        }
      }
      return true;
    })().then((isWritten) => {
      flushing = undefined;
      // Who came when the last write had ended waits for one more; who meets a failure waits no longer.
      if (isWritten && settling.length > 0) void flush();
      else settled(Number.POSITIVE_INFINITY);
      if (dirty.size > 0) flushWithin(limits.presenceAgainMs);
    });
    return flushing;
  };

  /** Once a minute while there are connections, for those that are heard of. */
  const lookAgain = (): void => {
    if (closed) return;
    later ??= clock.after(limits.presenceActivityMs, () => {
      later = undefined;
      inner.heardOf(mark);
      if (open > 0) lookAgain();
    });
  };

  inner.watch({
    connected(claim) {
      open++;
      mark(claim);
      lookAgain();
    },
    disconnected(claim) {
      open--;
      mark(claim);
    },
  });

  /** All that are asked for in one turn are one question to the store. */
  const stored = (key: IdentityKey): Promise<PresenceState> =>
    new Promise((resolve, reject) => {
      asked.push({ key, resolve, reject });
      if (asked.length > 1) return;
      queueMicrotask(() => {
        const questions = asked;
        asked = [];
        store.get(questions.map((question) => question.key)).then(
          (states) => questions.forEach((question, at) => void question.resolve(states[at] ?? NEVER)),
          (error) => questions.forEach((question) => void question.reject(error)),
        );
      });
    });

  return {
    presence: {
      ...inner,
      watch(watcher) {
        watchers.push(watcher);
        inner.watch(watcher);
      },
      async state(key) {
        const known = await inner.state(key);
        return known.connectionStateUpdatedTime > 0 ? known : stored(key);
      },
    },
    settle,
    pending: () => dirty.size + writing,
    async close() {
      closed = true;
      soon?.();
      later?.();
      inner.heardOf(mark);
      await flushing;
      await flush();
    },
  };
}

const NEVER: PresenceState = { connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 };

import type { Log } from '../../base/log.ts';

/** Which loop a connection is served by; connections of one share a writer. Undefined = the hub's own. */
export type Member = string | symbol | undefined;

/** No member of this node: a connection on another waits for all of them. */
export const ELSEWHERE = Symbol('elsewhere');
/** A member of which it is not known which one it is. */
export const SOMEWHERE = Symbol('somewhere');

interface Entry {
  readonly member: Member;
  /** The connection of this node that it was told to go for, or that it is. */
  readonly by: number;
  /** It is a connection of this node. */
  readonly isHere: boolean;
  readonly done: Promise<void>;
}

/** Connections that have been told to go, and whose messages may still be on their way, by identity. */
export class Leaving {
  readonly #log: Log;
  readonly #byName = new Map<string, Set<Entry>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * @param settled resolves when what the connection had handed over is durable or has failed; a rejection says that this is not
   *   known, and reaches those who wait
   * @param isHere Whether the connection is one of this node
   * @param by Number of the connection of this node that has taken its place, or its own where it was one of this node
   */
  add(name: string, member: Member, by: number, settled: Promise<void>, isHere: boolean): void {
    const all = this.#byName.get(name) ?? new Set<Entry>();
    const done = settled.finally(() => {
      all.delete(entry);
      if (all.size === 0 && this.#byName.get(name) === all) this.#byName.delete(name);
    });
    done.catch((error: unknown) => this.#log.error({ identity: name, error }, 'a connection could not be dropped'));
    const entry: Entry = { member, by, isHere, done };
    this.#byName.set(name, all.add(entry));
  }

  /**
   * Resolves when those of other members have settled.
   * @param last Number of a connection of this node: what went for a later one is not waited for. That would be a circle where the device
   *   went to another node and came back: the later one waits for the other node, and that for this one
   * @throws what one of them rejected with
   */
  others(name: string, member: Member, last: number): Promise<void> {
    return this.#settled(name, (entry) => entry.member !== member && entry.by <= last);
  }

  /** Resolves when those of this node have settled. @throws what one of them rejected with */
  here(name: string): Promise<void> {
    return this.#settled(name, ({ isHere }) => isHere);
  }

  async #settled(name: string, isMeant: (entry: Entry) => boolean): Promise<void> {
    const entries = this.#byName.get(name);
    if (entries === undefined) return;
    await Promise.all([...entries].filter(isMeant).map(({ done }) => done));
  }
}

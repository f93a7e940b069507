import type { Log } from '../../base/log.ts';

/** Which loop a connection is served by; connections of one share a writer. Undefined = the hub's own. */
export type Member = string | symbol | undefined;

interface Entry {
  readonly member: Member;
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
   */
  add(name: string, member: Member, settled: Promise<void>): void {
    const all = this.#byName.get(name) ?? new Set<Entry>();
    const done = settled.finally(() => {
      all.delete(entry);
      if (all.size === 0 && this.#byName.get(name) === all) this.#byName.delete(name);
    });
    done.catch((error: unknown) => this.#log.error({ identity: name, error }, 'a connection could not be dropped'));
    const entry: Entry = { member, done };
    this.#byName.set(name, all.add(entry));
  }

  /** Resolves when those of other members have settled. @throws what one of them rejected with */
  async others(name: string, member: Member): Promise<void> {
    const entries = this.#byName.get(name);
    if (entries === undefined) return;
    await Promise.all([...entries].filter((entry) => entry.member !== member).map(({ done }) => done));
  }
}

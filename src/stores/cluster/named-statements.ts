/** Statements under a name are parsed once for each connection, and PostgreSQL may keep their plan: a third of what a short one costs. */
import pg from 'pg';
import { limits } from '../../base/limits.ts';

/** Names for texts that are sent again and again, so many at the most: each connection of the server keeps all that it has met. */
export class StatementNames {
  readonly #names = new Map<string, string>();
  /** Texts without a name, and how often each was sent; those that come once are forgotten first. */
  readonly #seen = new Map<string, number>();
  #era = 0;

  /** @returns undefined = it goes without one, because it is not known to come again or there are names enough */
  nameOf(text: string): string | undefined {
    const name = this.#names.get(text);
    if (name !== undefined || this.#names.size >= limits.postgresStatementNamesMax) return name;
    const count = (this.#seen.get(text) ?? 0) + 1;
    this.#seen.delete(text);
    if (count > SEEN_BEFORE) {
      const fresh = `m${this.#era}_${this.#names.size}`;
      this.#names.set(text, fresh);
      return fresh;
    }
    this.#seen.set(text, count);
    if (this.#seen.size > limits.postgresStatementNamesMax) this.#seen.delete(this.#seen.keys().next().value as string);
    return undefined;
  }

  /** A newer program has changed a table under them: what follows is parsed anew. */
  renew(): void {
    this.#era++;
    this.#names.clear();
  }
}

/** A statement of varying length, as a list of keys makes it, should not use up the names. */
const SEEN_BEFORE = 2;

/** A client that sends statements with parameters under their names. */
export function namingClient(names: StatementNames): typeof pg.Client {
  return class extends pg.Client {
    // The library has a dozen ways to call this; only that of the query builder is named.
    override query(...args: unknown[]): never {
      const [text, values] = args;
      const name =
        typeof text === 'string' && Array.isArray(values) && values.length > 0 ? names.nameOf(text) : undefined;
      const query = super.query as (...args: unknown[]) => never;
      return name === undefined ? query.apply(this, args) : query.call(this, { name, text, values }, ...args.slice(2));
    }
  } as typeof pg.Client;
}

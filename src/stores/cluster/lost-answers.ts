/**
 * Writes of rows of which no store tells, because their answers did not come: the connection broke, or the server ended. Whether they were
 * carried out is not known, and the database may still do so for as long as a statement may take.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { HubError } from '../../core/errors.ts';
import type { OperationName } from '../tables/operations.ts';
import { WithoutLease } from './fence.ts';

/** What they write is in rows of the fleet, or of authorities, which the hub knows by heart as it does identities. */
const OF_ROWS = /^(identities|authorities|twins|configurations|jobs|presence)\./;

export class LostAnswers {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #statementMs: number;
  readonly #listeners = new Set<() => void>();
  #again: Cancel = () => {};

  /** @param statementMs How long the database may take for a statement */
  constructor(clock: Pick<Clock, 'after'>, statementMs: number) {
    this.#clock = clock;
    this.#statementMs = statementMs;
  }

  /** Calls when a row may have changed without a word, and once more when the database is done with it. The returned function ends it. */
  watch(listener: () => void): () => void {
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Tells of `work`, a write, if it ends without an answer. */
  async watching<Result>(name: OperationName, work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      const isUnknown =
        error instanceof HubError && error.code === 'ServiceUnavailable' && !(error instanceof WithoutLease);
      if (isUnknown && OF_ROWS.test(name)) this.#lost();
      throw error;
    }
  }

  close(): void {
    this.#again();
    this.#listeners.clear();
  }

  #lost(): void {
    this.#again();
    this.#again = this.#clock.after(this.#statementMs, () => this.#tell());
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/**
 * When a node compares its connections with their places: behind a claim or release whose outcome nobody knows, at the renewal of the lease
 * that follows it, and once more when the database can carry out nothing of it any more.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { PlaceOutcome, Places } from '../../core/presence/places.ts';

export class Comparing {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #compare: () => Promise<void>;
  /** Monotonic: at the first renewal behind each. */
  #dueAt: readonly number[] = [];

  constructor(parts: { readonly clock: Clock; readonly log: Log; compare(): Promise<void> }) {
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#compare = parts.compare;
  }

  /** Some claim or release has an outcome that nobody knows. It may still come: the database has until then to carry it out. */
  soon(): void {
    const now = this.#clock.monotonic();
    this.#dueAt = [now, now + limits.postgresStatementMs];
  }

  /** The lease was renewed: the database is there. */
  async renewed(): Promise<void> {
    const now = this.#clock.monotonic();
    const before = this.#dueAt;
    if (!before.some((at) => at <= now)) return;
    this.#dueAt = before.filter((at) => at > now);
    try {
      await this.#compare();
    } catch (error) {
      this.#log.warn({ error }, 'connections could not be compared with their places; it is tried again');
      this.#dueAt = [...this.#dueAt, now];
    }
  }
}

/** @param unsure called where it is not known what has become of a claim or a release */
export function watchedPlaces(places: Places, unsure: () => void): Places {
  return {
    ...places,
    async claim(claims): Promise<readonly PlaceOutcome[]> {
      const outcomes = await places.claim(claims);
      if (outcomes.some(({ kind }) => kind === 'unknown')) unsure();
      return outcomes;
    },
    async release(holders) {
      try {
        await places.release(holders);
      } catch (error) {
        unsure();
        throw error;
      }
    },
  };
}

import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { identityName } from '../identity/permissions.ts';
import type { Holder, PlaceOutcome, Places } from './places.ts';

interface Waiting {
  readonly claim: Holder;
  resolve(outcome: PlaceOutcome): void;
}

/**
 * Claims on their way to the places: one batch at a time, and what comes meanwhile is the next, so that a store sees
 * the claims of a node in the order in which they were made, and pays for a batch what it would for one.
 */
export class ClaimQueue {
  readonly #places: Places;
  readonly #log: Log;
  #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(places: Places, log: Log) {
    this.#places = places;
    this.#log = log;
  }

  /** Never rejects. */
  claim(claim: Holder): Promise<PlaceOutcome> {
    return new Promise((resolve) => {
      this.#waiting.push({ claim, resolve });
      if (!this.#isRunning) void this.#run();
    });
  }

  /** Frees the place, if the connection still has it. */
  release(holder: Holder): void {
    this.#places.release([holder]).catch((error: unknown) => {
      this.#log.error({ identity: identityName(holder.key), error }, 'a place could not be freed');
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, limits.placeClaimsMax);
      const outcomes = await this.#take(batch.map(({ claim }) => claim));
      batch.forEach(({ resolve }, at) => {
        resolve(outcomes[at]);
      });
    }
    this.#isRunning = false;
  }

  /** An implementation that breaks its word and rejects has said nothing of what it has done. */
  async #take(claims: readonly Holder[]): Promise<readonly PlaceOutcome[]> {
    try {
      return await this.#places.claim(claims);
    } catch (error) {
      return claims.map(() => ({ kind: 'unknown', error }));
    }
  }
}

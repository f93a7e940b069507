import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { identityName } from '../identity/permissions.ts';
import type { Holder, PlaceOutcome, Places } from './places.ts';

interface Waiting {
  readonly name: string;
  readonly claim: Holder;
  resolve(outcome: PlaceOutcome): void;
}

/**
 * Claims on their way to the places. What comes while a batch is on its way is the next one, so a store pays for many what it
 * would for one. A batch that the store takes long to answer keeps nobody else: the next goes beside it. Claims of one
 * identity stay one behind the other, whatever happens, so that a store sees them in the order in which they were made.
 */
export class ClaimQueue {
  readonly #places: Places;
  readonly #clock: Clock;
  readonly #log: Log;
  #waiting: Waiting[] = [];
  /** Identities of which the store has not answered a claim. */
  readonly #asked = new Set<string>();
  /** Batches that the store has not answered. */
  #batches = 0;
  /** The one that the next waits for: the newest, until it has taken too long. */
  #awaited: object | undefined;
  #cancelPatience: Cancel | undefined;

  constructor(places: Places, clock: Clock, log: Log) {
    this.#places = places;
    this.#clock = clock;
    this.#log = log;
  }

  /** Never rejects. */
  claim(claim: Holder): Promise<PlaceOutcome> {
    return new Promise((resolve) => {
      this.#waiting.push({ name: identityName(claim.key), claim, resolve });
      this.#goOn();
    });
  }

  /** Frees the place, if the connection still has it. */
  release(holder: Holder): void {
    this.#places.release([holder]).catch((error: unknown) => {
      this.#log.error({ identity: identityName(holder.key), error }, 'a place could not be freed');
    });
  }

  #goOn(): void {
    if (this.#waiting.length === 0 || this.#batches >= limits.placeBatchesMax) return;
    if (this.#awaited === undefined) void this.#run(this.#takeBatch());
    else this.#cancelPatience ??= this.#clock.after(limits.placeClaimPatienceMs, () => this.#waitNoMore());
  }

  #waitNoMore(): void {
    this.#cancelPatience?.();
    this.#cancelPatience = undefined;
    this.#awaited = undefined;
    this.#goOn();
  }

  /** Of those that wait, in order: as many as a batch holds, and of each identity one. */
  #takeBatch(): readonly Waiting[] {
    const batch: Waiting[] = [];
    const rest: Waiting[] = [];
    for (const each of this.#waiting) {
      const isTaken = batch.length < limits.placeClaimsMax && !this.#asked.has(each.name);
      if (isTaken) this.#asked.add(each.name);
      (isTaken ? batch : rest).push(each);
    }
    this.#waiting = rest;
    return batch;
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    // All that wait are behind claims of their own identities, whose answers begin this again.
    if (batch.length === 0) return;
    this.#awaited = batch;
    this.#batches++;
    if (this.#waiting.length > 0) this.#goOn();
    const outcomes = await this.#take(batch.map(({ claim }) => claim));
    this.#batches--;
    for (const { name } of batch) this.#asked.delete(name);
    batch.forEach(({ resolve }, at) => {
      resolve(outcomes[at]);
    });
    if (this.#awaited === batch) this.#waitNoMore();
    else this.#goOn();
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

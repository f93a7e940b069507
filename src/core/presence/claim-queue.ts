import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { HubError } from '../errors.ts';
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
  /** Claims that are not answered, in order, by identity. Of each the first one is `#ready` or in a batch. */
  readonly #lines = new Map<string, Waiting[]>();
  /** The next batches. */
  readonly #ready: Waiting[] = [];
  /** Of all lines. */
  #unanswered = 0;
  /** Batches that the store has not answered. */
  #batches = 0;
  /** The one that the next waits for: the newest, until it has taken too long. */
  #awaited: object | undefined;
  #cancelPatience: Cancel | undefined;
  /** Connections that have ended and whose places the store has not freed: it says that they are connected. */
  readonly #unfreed = new Set<Holder>();
  #isFreeing = false;

  constructor(places: Places, clock: Clock, log: Log) {
    this.#places = places;
    this.#clock = clock;
    this.#log = log;
  }

  /** The promise never rejects. @throws HubError ServiceUnavailable at once, when too many wait: the store has not been asked */
  claim(claim: Holder): Promise<PlaceOutcome> {
    if (this.#unanswered >= limits.placeClaimsWaitingMax) {
      const fields = { scope: 'hub', current: this.#unanswered, max: limits.placeClaimsWaitingMax };
      throw new HubError('ServiceUnavailable', undefined, { limit: { name: 'placeClaimsWaitingMax', ...fields } });
    }
    this.#unanswered++;
    return new Promise((resolve) => {
      const name = identityName(claim.key);
      const each = { name, claim, resolve };
      const line = this.#lines.get(name);
      if (line !== undefined) {
        line.push(each);
        return;
      }
      this.#lines.set(name, [each]);
      this.#ready.push(each);
      this.#goOn();
    });
  }

  /** Frees the place, if the connection still has it; again and again where the store fails, because nobody else would. */
  release(holder: Holder): void {
    this.#places.release([holder]).catch((error: unknown) => {
      this.#log.error({ identity: identityName(holder.key), error }, 'a place could not be freed; it is tried again');
      if (this.#unfreed.size >= limits.placesUnfreedMax) return;
      this.#unfreed.add(holder);
      this.#freeAgainLater();
    });
  }

  #freeAgainLater(): void {
    if (this.#isFreeing || this.#unfreed.size === 0) return;
    this.#isFreeing = true;
    this.#clock.after(limits.placesFreeAgainMs, () => void this.#freeAgain());
  }

  async #freeAgain(): Promise<void> {
    try {
      for (let some = this.#someUnfreed(); some.length > 0; some = this.#someUnfreed()) {
        await this.#places.release(some);
        for (const holder of some) this.#unfreed.delete(holder);
      }
    } catch {
      // As was said of each when it failed first.
    }
    this.#isFreeing = false;
    this.#freeAgainLater();
  }

  #someUnfreed(): readonly Holder[] {
    return [...this.#unfreed].slice(0, limits.placeClaimsMax);
  }

  #goOn(): void {
    if (this.#ready.length === 0 || this.#batches >= limits.placeBatchesMax) return;
    if (this.#awaited === undefined) void this.#run(this.#ready.splice(0, limits.placeClaimsMax));
    else this.#cancelPatience ??= this.#clock.after(limits.placeClaimPatienceMs, () => this.#waitNoMore());
  }

  #waitNoMore(): void {
    this.#cancelPatience?.();
    this.#cancelPatience = undefined;
    this.#awaited = undefined;
    this.#goOn();
  }

  /** The first one of the line has its answer. */
  #answered(name: string): void {
    const line = this.#lines.get(name);
    line?.shift();
    this.#unanswered--;
    const next = line?.[0];
    if (next === undefined) this.#lines.delete(name);
    else this.#ready.push(next);
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    this.#awaited = batch;
    this.#batches++;
    this.#goOn();
    const outcomes = await this.#take(batch.map(({ claim }) => claim));
    this.#batches--;
    for (const { name } of batch) this.#answered(name);
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

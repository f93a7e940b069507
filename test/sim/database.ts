/**
 * PostgreSQL under the hub, as one run of its process sees it: calls are carried out side by side, each in a step of its own, so that a read
 * may see what was there before a write that is answered earlier; those that the store keeps in order stay so. An answer may be lost: what
 * was asked for has happened, or not, or happens later.
 */
import { limits } from '../../src/base/limits.ts';
import { HubError } from '../../src/core/errors.ts';
import type { PlaceOutcome, Places } from '../../src/core/presence/places.ts';
import { InOrder } from '../../src/stores/cluster/in-order.ts';
import { LOST } from './kafka/refusals.ts';
import type { Life } from './scheduler.ts';
import type { TableCalls } from './storage.ts';
import type { Dice, World } from './world.ts';

const WAY_MS = 1;
const STATEMENT_MS = 2;

export class SimulatedDatabase implements TableCalls {
  readonly #world: World;
  readonly #life: Life;
  readonly #dice: Dice;
  readonly #inOrder = new InOrder();
  #lost: () => void = () => {};

  constructor(world: World, life: Life, dice: Dice) {
    this.#world = world;
    this.#life = life;
    this.#dice = dice;
  }

  /** Calls when an answer was lost of which nobody else tells, as `Storage.watchLost`. */
  watchLost(listener: () => void): void {
    this.#lost = listener;
  }

  call<Value>(work: () => Promise<Value>, before: () => void = () => {}, keys: readonly string[] = []): Promise<Value> {
    return this.#inOrder.run(keys, async () => {
      await this.#life.pause(this.#dice.wait(WAY_MS + STATEMENT_MS));
      const isLost = this.#losesAnswer();
      if (isLost && this.#dice.chance(0.5)) throw lost();
      let told: () => Value;
      try {
        const value = await work();
        told = () => value;
      } catch (error) {
        told = () => {
          throw error;
        };
      }
      await this.#life.pause(this.#dice.wait(WAY_MS));
      if (isLost) {
        this.#lost();
        throw lost();
      }
      before();
      return told();
    });
  }

  /** Claims and releases whose answer is lost may be carried out later, until the server ends a statement that takes so long. */
  places(places: Places): Places {
    const perhapsLater = (work: () => Promise<unknown>): void => {
      if (this.#dice.chance(0.5)) return;
      const laterMs = Math.min(this.#dice.wait(2000), limits.postgresStatementMs / 2);
      this.#world.scheduler.after(laterMs, () => void work());
    };
    return {
      ...places,
      claim: async (claims) => {
        await this.#life.pause(this.#dice.wait(WAY_MS + STATEMENT_MS));
        if (this.#losesAnswer()) {
          perhapsLater(() => places.claim(claims));
          return claims.map((): PlaceOutcome => ({ kind: 'unknown', error: lost() }));
        }
        const outcomes = await places.claim(claims);
        await this.#life.pause(this.#dice.wait(WAY_MS));
        return outcomes;
      },
      release: async (holders) => {
        await this.#life.pause(this.#dice.wait(WAY_MS + STATEMENT_MS));
        if (this.#losesAnswer()) {
          perhapsLater(() => places.release(holders));
          throw lost();
        }
        await places.release(holders);
      },
      of: (node) => this.call(() => places.of(node)),
      find: (key) => this.call(() => places.find(key)),
    };
  }

  #losesAnswer(): boolean {
    const { calm, plan, counters } = this.#world;
    if (calm || !this.#dice.chance(plan.answerLossRate)) return false;
    counters.lostAnswers++;
    return true;
  }
}

/** As `src/stores/cluster/postgres.ts` says it. */
const lost = (): HubError => new HubError('ServiceUnavailable', undefined, { reason: LOST });

/**
 * What stands behind an endpoint of the hub's routes: a system elsewhere, which lives on when the hub ends. It takes events, and fails, hangs,
 * forgets to answer, takes a part or asks for time.
 */
import type { Delivered, DeliveryBatch, EndpointSink, RoutedEvent } from '../../src/core/routes/ports.ts';
import type { Life } from './scheduler.ts';
import type { Dice, World } from './world.ts';

/** Mean milliseconds that events, and answers, are on their way. */
const WAY_MS = 5;
/** When the hub's side of a request gives it up, as sinks do: nobody waits for ever. */
const GIVEN_UP_MS = 10_000;
/** Mean milliseconds behind which a request that hangs is carried out after all, if it is: mostly when it has been given up. */
const LATE_MS = 15_000;
const IN_FLIGHT_MAX = 2;

/** Events as they left the hub: its memory is its own again when it has an answer. */
export interface SentEvent {
  readonly sequence: number;
  readonly record: Buffer;
  readonly enrichments: RoutedEvent['enrichments'];
}

/** Told of what the endpoint takes. */
export type Taken = (endpoint: string, partition: number, events: readonly SentEvent[]) => void;

/** Undefined: the answer gets lost. */
type Answer = Delivered | undefined;

export class SimulatedEndpoint {
  readonly name: string;
  readonly #world: World;
  readonly #dice: Dice;
  readonly #taken: Taken;

  constructor(world: World, name: string, taken: Taken) {
    this.name = name;
    this.#world = world;
    this.#dice = world.dice(`endpoint ${name}`);
    this.#taken = taken;
  }

  /** The hub's way to it, in one run of the process. */
  sink(life: Life): EndpointSink {
    return {
      inFlightMax: IN_FLIGHT_MAX,
      deliver: (batch, signal) => this.#request(life, batch, signal),
      close: async () => {},
    };
  }

  #request(life: Life, { partition, events }: DeliveryBatch, signal: AbortSignal): Promise<Delivered> {
    const sent = events.map(({ sequence, bytes, start, end, enrichments }) => {
      return { sequence, record: Buffer.from(bytes.subarray(start, end)), enrichments };
    });
    return new Promise((resolve, reject) => {
      const over = (): void => {
        cancel();
        signal.removeEventListener('abort', stopped);
      };
      const stopped = (): void => {
        over();
        resolve({ kind: 'retry', reason: 'the hub does not wait any more' });
      };
      const cancel = life.clock.after(GIVEN_UP_MS, () => {
        over();
        resolve({ kind: 'retry', reason: 'no answer in time' });
      });
      signal.addEventListener('abort', stopped);
      this.#handle(partition, sent).then(
        (answer) => {
          // A process that has ended is answered nothing.
          if (answer === undefined || life.over) return;
          over();
          resolve(answer);
        },
        (error: unknown) => {
          if (life.over) return;
          over();
          reject(error);
        },
      );
    });
  }

  /** What is on its way arrives, also when the hub has ended meanwhile. @throws Error (rejection) the connection breaks */
  async #handle(partition: number, events: readonly SentEvent[]): Promise<Answer> {
    const { scheduler } = this.#world;
    await scheduler.sleep(this.#dice.wait(WAY_MS));
    const answer = await this.#answer(partition, events);
    await scheduler.sleep(this.#dice.wait(WAY_MS));
    return answer;
  }

  async #answer(partition: number, events: readonly SentEvent[]): Promise<Answer> {
    const { calm, plan, counters, scheduler } = this.#world;
    const dice = this.#dice;
    if (calm || !dice.chance(plan.endpointFaultRate)) return this.#take(partition, events, events.length);
    counters.endpointFaults++;
    const fault = dice.pick([
      'fails',
      'breaks',
      'hangs',
      'is late',
      'forgets',
      'takes a part',
      'asks for time',
    ] as const);
    this.#world.trace(this.name, `${fault}: ${events.length} events of partition ${partition}`);
    const some = dice.between(1, events.length);
    switch (fault) {
      case 'fails':
        return { kind: 'retry', reason: 'the endpoint is down' };
      case 'breaks':
        if (dice.chance(0.5)) this.#take(partition, events, some);
        throw new Error('the connection has broken');
      case 'hangs':
        return undefined;
      case 'is late':
        await scheduler.sleep(dice.wait(LATE_MS));
        return this.#take(partition, events, events.length);
      case 'forgets':
        this.#take(partition, events, some);
        return undefined;
      case 'takes a part':
        return this.#take(partition, events, some);
      case 'asks for time':
        return { kind: 'retry', reason: 'the endpoint has too much to do', afterMs: dice.wait(5000) };
    }
  }

  #take(partition: number, events: readonly SentEvent[], count: number): Delivered {
    this.#taken(this.name, partition, events.slice(0, count));
    return count === events.length ? { kind: 'done' } : { kind: 'done', count };
  }
}

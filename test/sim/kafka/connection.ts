/**
 * The hub's connection to a broker of the simulation. Requests are carried out in order, one at a time, as brokers do; what was sent before
 * the connection, or the hub's process, has ended arrives all the same.
 */
import { limits } from '../../../src/base/limits.ts';
import { type Broker, BrokerGone } from '../../../src/stores/kafka/broker-connection.ts';
import type { Api } from '../../../src/wire/kafka/apis.ts';
import type { FieldReader } from '../../../src/wire/kafka/fields.ts';
import type { Life } from '../scheduler.ts';
import type { Dice, World } from '../world.ts';
import type { SimulatedBroker, SimulatedBrokers } from './brokers.ts';

const WAY_MS = 0.5;
/** Of what the network holds up: it comes after what the hub has sent later over another connection. */
const LATE_MS = 4000;

export interface ConnectionParts {
  readonly world: World;
  readonly life: Life;
  readonly brokers: SimulatedBrokers;
  readonly dice: Dice;
}

/** @throws Error the broker is not there */
export async function connectToBroker(parts: ConnectionParts, host: string): Promise<Broker> {
  const broker = parts.brokers.brokers[Number(host.replace('broker-', ''))];
  await parts.life.pause(parts.dice.wait(WAY_MS));
  if (broker.isDown) throw new Error(`${host} refuses the connection`);
  return open(parts, broker);
}

function open({ world, life, brokers, dice }: ConnectionParts, broker: SimulatedBroker): Broker {
  const { scheduler, plan } = world;
  const address = `broker-${broker.id}:9092`;
  let gone: Error | undefined;
  const listeners: (() => void)[] = [];
  const rejects = new Set<(error: Error) => void>();
  const failure = (): BrokerGone => new BrokerGone(`${address}: ${gone?.message}`, { cause: gone });
  const close = (reason = new Error('the connection was closed')): void => {
    if (gone !== undefined) return;
    gone = reason;
    broker.connections.delete(die);
    if (life.over) return;
    for (const reject of rejects) reject(failure());
    for (const listener of listeners.splice(0)) listener();
  };
  const die = (): void => {
    scheduler.after(dice.wait(WAY_MS), () => close(new Error('the broker has closed the connection')));
  };
  broker.connections.add(die);
  let arrivesAt = 0;
  let before: Promise<unknown> = Promise.resolve();
  const isFaulty = (): boolean => !world.calm && dice.chance(plan.brokerFaultRate);

  const carriedOut = async (api: Api, bytes: Buffer): Promise<FieldReader | undefined> => {
    const last = before;
    const lateMs = isFaulty() ? dice.wait(LATE_MS) : 0;
    arrivesAt = Math.max(arrivesAt, scheduler.monotonic() + dice.wait(WAY_MS) + lateMs);
    await scheduler.sleep(arrivesAt - scheduler.monotonic());
    await last;
    if (broker.isDown) return undefined;
    const answer = await brokers.answer(broker, api, bytes);
    return broker.isDown ? undefined : answer;
  };

  return {
    address,
    get isGone() {
      return gone !== undefined;
    },
    whenGone: (listener) => {
      if (gone === undefined) listeners.push(listener);
      else queueMicrotask(listener);
    },
    request(api, body, brokerMs = 0) {
      if (gone !== undefined) return Promise.reject(failure());
      // On its way from now on: its memory may be filled with something else.
      const done = carriedOut(api, Buffer.concat(body));
      before = done.catch(() => {});
      return new Promise((resolve, reject) => {
        rejects.add(reject);
        const late = (): void => close(new Error(`no answer to ${api.name} in time`));
        const cancel = life.clock.after(brokerMs + limits.kafkaAnswerMs, late);
        const end = (): void => {
          rejects.delete(reject);
          cancel();
        };
        done.then(
          async (answer) => {
            if (answer === undefined) return;
            // Of what was done, the answer is lost.
            if (isFaulty()) close(new Error('the connection broke'));
            await life.pause(dice.wait(WAY_MS));
            if (gone !== undefined) return;
            end();
            resolve(answer);
          },
          (error) => world.find(`the brokers fail: ${(error as Error).stack}`),
        );
      });
    },
    giveBack: () => {},
    close,
  };
}

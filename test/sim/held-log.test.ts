/**
 * What the event log on Kafka says of itself, and takes, while brokers are away: for a while what it is given waits; then all is given up and
 * the doors refuse, until brokers can be reached again, which nobody but the log itself finds out.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { put } from '../../src/stores/contract/event-log.ts';
import { type Broker, BrokerGone } from '../../src/stores/kafka/broker-connection.ts';
import type { KafkaEventLog } from '../../src/stores/kafka/event-log.ts';
import { apis } from '../../src/wire/kafka/apis.ts';
import { SimulatedBrokers } from './kafka/brokers.ts';
import { openSimulatedKafkaLog } from './kafka/event-log.ts';
import { clusterPlanOf } from './plan.ts';
import { Life, type Scheduler } from './scheduler.ts';
import { World } from './world.ts';

interface Trial {
  readonly log: KafkaEventLog;
  readonly brokers: SimulatedBrokers;
  readonly scheduler: Scheduler;
  /** Resolves with whether the record has become durable. */
  append(): Promise<boolean>;
}

/** Three brokers that fail only where the trial has them fail. */
async function tried(
  work: (trial: Trial) => Promise<void>,
  seen?: (broker: Broker, world: World) => Broker,
): Promise<void> {
  const world = new World({ ...clusterPlanOf(1), partitions: 2, brokerFaultEveryMs: 0, brokerFaultRate: 0 });
  const { scheduler } = world;
  const brokers = new SimulatedBrokers(world);
  const life = new Life(scheduler);
  let isOver = false;
  const trial = async (): Promise<void> => {
    const log = await openSimulatedKafkaLog({
      ...{ world, life, brokers, dice: world.dice('hub'), log: silentLog },
      ...(seen && { seen: (broker) => seen(broker, world) }),
    });
    const append = (): Promise<boolean> => {
      put(log, 0, 'a record');
      return new Promise((resolve) => {
        log.writer.await({ batchDurable: () => resolve(true), batchFailed: () => resolve(false) });
      });
    };
    await work({ log, brokers, scheduler, append });
  };
  const outcome = trial().finally(() => {
    isOver = true;
  });
  outcome.catch(() => {});
  await scheduler.run(() => isOver, 10 * 60_000);
  life.end();
  await outcome;
}

test('a log whose brokers were away for long takes records again when they are back, though nobody tries to write', () =>
  tried(async ({ log, brokers, scheduler, append }) => {
    assert.equal(await append(), true);
    assert.deepEqual(log.health(), { ok: true });

    for (const broker of brokers.brokers) {
      broker.isDown = true;
      for (const end of [...broker.connections]) end();
    }
    const waiting = append();
    await scheduler.sleep(limits.kafkaDeliveryMs / 2);
    const held = log.health();
    assert.ok(!held.ok && held.isHeld === true, `what is given to it waits: ${JSON.stringify(held)}`);
    assert.equal(await waiting, false, 'until it is given up');
    await scheduler.sleep(1000);
    const refused = log.health();
    assert.ok(!refused.ok && refused.isHeld !== true, `nothing waits, so doors refuse: ${JSON.stringify(refused)}`);

    for (const broker of brokers.brokers) broker.isDown = false;
    await scheduler.sleep(2000);
    assert.deepEqual(log.health(), { ok: true });
    assert.equal(await append(), true);
  }));

test('that nobody says who leads, after all has been taken, is no reason to take nothing more', () => {
  let isSilent = false;
  /** Says after a while that it has gone when it is asked who leads, and takes batches as ever. */
  const seen = (broker: Broker, { scheduler }: World): Broker => ({
    ...broker,
    get isGone() {
      return broker.isGone;
    },
    async request(api, body, waitMs) {
      if (!isSilent || api !== apis.metadata) return broker.request(api, body, waitMs);
      await scheduler.sleep(3000);
      throw new BrokerGone('the connection broke');
    },
  });
  return tried(async ({ log, brokers, scheduler, append }) => {
    isSilent = true;
    // Slow enough that the hub asks who leads now.
    for (const broker of brokers.brokers) broker.heldUntil = scheduler.monotonic() + 2000;
    assert.equal(await append(), true);
    await scheduler.sleep(20_000);
    assert.deepEqual(log.health(), { ok: true });
  }, seen);
});

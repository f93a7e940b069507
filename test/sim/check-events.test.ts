/** What the checker of events lets pass, and what not, of messages that stand in the log in another order than they were sent in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { telemetryStamp } from '../../src/core/events/rules.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { durable } from '../../src/stores/contract/event-log.ts';
import { createMemoryEventLog } from '../../src/stores/memory/event-log.ts';
import { EventsChecker } from './check-events.ts';
import { clusterPlanOf, type Plan } from './plan.ts';
import { World } from './world.ts';

interface Actions {
  send(number: number): void;
  acknowledge(number: number): void;
  kill(): void;
}

/** @returns what is found where d0's messages are stored in that order */
async function found(happens: (actions: Actions) => void, stored: readonly number[], plan: Partial<Plan> = {}) {
  const world = new World({ ...clusterPlanOf(1), partitions: 1, ...plan });
  const checker = new EventsChecker(world);
  happens({
    send: (number) => checker.sent(`d0:${number}`, `d0:${number}|`, undefined, 'g'),
    acknowledge: (number) => checker.acknowledged(`d0:${number}`),
    kill: () => void world.counters.crashes++,
  });
  const clock = world.scheduler;
  const log = createMemoryEventLog({ name: 'mooring', partitionCount: 1, clock });
  const key = { deviceId: 'd0' };
  const who = { kind: 'device', key, generationId: 'g', expiresAt: clock.now() + 1000 } as const;
  const stamp = telemetryStamp({ ...who, authScope: 'device', authType: 'sas' }, key, undefined);
  for (const number of stored) {
    const message = { system: {}, properties: [], body: Buffer.from(`d0:${number}|`) };
    const record = recordCodec.encode(stamp, message, clock.now(), 0);
    const at = log.writer.reserve(0, record.length);
    record.copy(log.writer.bytes(0), at);
  }
  await durable(log);
  await checker.verify(log);
  return world.finding?.message;
}

const acrossAKill = ({ send, kill }: Actions): void => {
  send(0);
  kill();
  send(1);
};

test('on Kafka what was not acknowledged before the hub was killed may stand behind what came later', async () => {
  assert.equal(await found(acrossAKill, [1, 0]), undefined);
});

test('it may also stand behind what was sent with it, and then to the next hub again', async () => {
  const some = ({ send, kill }: Actions) => [send(0), send(1), kill(), send(1)];
  assert.equal(await found((actions) => void some(actions), [1, 0]), undefined);
});

test('a hub with a journal of its own has nothing that could come late', async () => {
  assert.match((await found(acrossAKill, [1, 0], { cluster: false })) ?? '', /d0:0 appears first behind d0:1/);
});

for (const [what, happens, stored] of [
  ['acknowledged', ({ send, acknowledge, kill }: Actions) => [send(0), acknowledge(0), kill(), send(1)], [1, 0]],
  ['sent again to the next hub', ({ send, kill }: Actions) => [send(0), kill(), send(0), send(1)], [1, 0]],
  ['sent to the same hub', ({ send, kill }: Actions) => [send(0), send(1), kill(), send(2)], [1, 0, 2]],
] as const) {
  test(`what was ${what} never comes late`, async () => {
    assert.match((await found((actions) => void happens(actions), stored)) ?? '', /d0:0 appears first behind d0:1/);
  });
}

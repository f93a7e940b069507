import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryRollouts } from '../../stores/memory/file-rollouts.ts';
import type { CommandMessage, CommandOutcome } from '../commands/types.ts';
import { HubError } from '../errors.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { IdentityKey, Principal } from '../identity/types.ts';
import type { RolloutPlan } from './rollout-types.ts';
import { createRollouts } from './rollouts.ts';
import type { FileGrant } from './types.ts';

const service: Principal = {
  kind: 'policy',
  policyName: 'service',
  permissions: new Set(['ServiceConnect']),
  scope: [],
  expiresAt: Number.POSITIVE_INFINITY,
};
const plan: RolloutPlan = { waveSize: 2, pauseMs: 1000, fetchMs: 60_000, failedShareMax: 0.5 };
const devices = (count: number): readonly IdentityKey[] =>
  Array.from({ length: count }, (_, nth) => ({ deviceId: `d${nth}` }));

/** A rollout over devices of which a test says what each does. */
function scene() {
  const clock = new VirtualClock();
  const grants = new Map<string, FileGrant>();
  const told: string[] = [];
  const outcomes = new Map<string, CommandOutcome>();
  const gone = new Set<string>();
  const full = new Set<string>();
  let found = 0;
  const room = createRollouts({
    guard: createGuard(clock, silentAudit),
    records: createMemoryRollouts(),
    grants: {
      async find(id) {
        found += 1;
        return grants.get(id);
      },
    },
    demandFile: async (name) => {
      if (name !== 'fw') throw new HubError('FileNotFound');
    },
    grantMs: 3_600_000,
    clock,
    random: seededRandom(1),
    log: silentLog,
  });
  const means = {
    async grant(name: string, keys: readonly IdentityKey[], expiresAt: number, grantedBy: string) {
      return keys.map((key) => {
        if (gone.has(key.deviceId)) return { key, error: 'DeviceNotFound' as const };
        const id = `grant of ${key.deviceId}`;
        grants.set(id, {
          id,
          key,
          generationId: 'g',
          path: `~hub/${name}`,
          name,
          createdTime: 0,
          expiresAt,
          grantedBy,
          fetched: undefined,
        });
        return { key, grant: { id, url: `https://hub/${key.deviceId}`, expiresAt } };
      });
    },
    async tell({ deviceId }: IdentityKey, message: CommandMessage) {
      if (full.has(deviceId)) throw new HubError('DeviceMaximumQueueDepthExceeded');
      assert.match(Buffer.from(message.body).toString(), new RegExp(`https://hub/${deviceId}`));
      told.push(deviceId);
    },
    outcome: async ({ deviceId }: IdentityKey) => outcomes.get(deviceId),
  };
  const fetch = (deviceId: string, sentBytes = 10) => {
    const grant = grants.get(`grant of ${deviceId}`);
    assert.ok(grant !== undefined);
    const completedTime = sentBytes === 10 ? clock.now() : undefined;
    const fetched = { etag: 'e', bytes: 10, sentBytes, firstTime: 0, lastTime: 0, completedTime };
    grants.set(grant.id, { ...grant, fetched });
  };
  return { clock, room, means, told, fetch, outcomes, gone, full, finds: () => found, step: () => room.step(means) };
}

test('waves follow each other, each when the one before is over, and a pause has passed', async () => {
  const { clock, room, told, fetch, step } = scene();
  const { id } = await room.rollouts.start(service, 'fw', devices(5), plan);
  await step();
  assert.deepEqual(told, ['d0', 'd1']);
  fetch('d0');
  await step();
  await step();
  assert.deepEqual(told, ['d0', 'd1'], 'd1 is still at it');
  fetch('d1');
  await step();
  await step();
  assert.equal(told.length, 2, 'the pause');
  clock.advance(1000);
  await step();
  assert.deepEqual(told, ['d0', 'd1', 'd2', 'd3']);
  for (const device of ['d2', 'd3']) fetch(device);
  await step();
  clock.advance(1000);
  await step();
  fetch('d4');
  await step();
  const { state, wave, counts } = await room.rollouts.get(service, id);
  assert.deepEqual(
    { state, wave, counts },
    { state: 'finished', wave: 3, counts: { waiting: 0, told: 0, fetched: 5, failed: 0 } },
  );
});

test('a wave in which too many fail is the last one, and each says why', async () => {
  const { clock, room, told, fetch, outcomes, gone, full, step } = scene();
  gone.add('d1');
  full.add('d2');
  const { id } = await room.rollouts.start(service, 'fw', devices(20), { ...plan, waveSize: 6, failedShareMax: 0.6 });
  await step();
  assert.deepEqual(told, ['d0', 'd3', 'd4', 'd5']);
  outcomes.set('d3', 'rejected');
  fetch('d0');
  fetch('d4', 5);
  fetch('d5');
  clock.advance(60_000);
  await step();
  const rollout = await room.rollouts.get(service, id);
  assert.deepEqual([rollout.state, rollout.reason], ['stopped', '4 of 6 devices have failed']);
  const failed = await room.rollouts.targets(service, id, { state: 'failed', limit: 10 });
  assert.deepEqual(
    failed.map(({ key, reason }) => `${key.deviceId}: ${reason}`),
    [
      'd1: DeviceNotFound',
      'd2: DeviceMaximumQueueDepthExceeded',
      'd3: the command ended as rejected',
      'd4: not fetched in time: 5 of 10 bytes',
    ],
  );
  clock.advance(100_000);
  await step();
  assert.equal(told.length, 4);
});

test('a large wave is looked at a part at a time, round and round until each device is over', async () => {
  const { clock, room, told, fetch, finds, step } = scene();
  const count = 2 * limits.rolloutLooksMax + 50;
  const { id } = await room.rollouts.start(service, 'fw', devices(count + 1), { ...plan, waveSize: count });
  await step();
  assert.equal(told.length, count);
  for (let nth = 0; nth < count; nth++) if (nth !== 1) fetch(`d${nth}`);
  for (let steps = 0; steps < 3; steps++) {
    const before = finds();
    await step();
    assert.ok(finds() - before <= limits.rolloutLooksMax);
  }
  assert.deepEqual((await room.rollouts.get(service, id)).counts, {
    waiting: 1,
    told: 1,
    fetched: count - 1,
    failed: 0,
  });
  fetch('d1');
  await step();
  clock.advance(1000);
  await step();
  assert.equal(told.length, count + 1, 'the next wave has begun');
});

test('one that is stopped begins no further wave, and what was told may still be fetched', async () => {
  const { room, told, step } = scene();
  const { id } = await room.rollouts.start(service, 'fw', devices(5), plan);
  await step();
  const stopped = await room.rollouts.stop(service, id);
  assert.deepEqual([stopped.state, stopped.reason], ['stopped', 'stopped by policy service']);
  await step();
  assert.equal(told.length, 2);
});

test('a device is named once, a file is there, and so many run at a time', async () => {
  const { room } = scene();
  const refused = (code: string) => (error: unknown) => error instanceof HubError && error.code === code;
  const twice = [...devices(2), { deviceId: 'd0' }];
  await assert.rejects(room.rollouts.start(service, 'fw', twice, plan), refused('ArgumentInvalid'));
  await assert.rejects(room.rollouts.start(service, 'none', devices(1), plan), refused('FileNotFound'));
  const longer = { ...plan, fetchMs: 3_600_001 };
  await assert.rejects(room.rollouts.start(service, 'fw', devices(1), longer), refused('ArgumentInvalid'));
  for (let nth = 0; nth < 20; nth++) await room.rollouts.start(service, 'fw', devices(1), plan);
  await assert.rejects(room.rollouts.start(service, 'fw', devices(1), plan), refused('IotHubQuotaExceeded'));
});

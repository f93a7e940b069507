/** Who waits for whom: queries of one policy for each other, and nobody for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { createMemoryFleetStore } from '../../stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../stores/memory/twins.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { PolicyPrincipal } from '../identity/types.ts';
import { LiveQueries } from './live-queries.ts';
import { createQueries } from './queries.ts';
import type { QueryPage } from './room.ts';
import { RowChanges } from './row-changes.ts';

const policy = (policyName: string): PolicyPrincipal => ({
  kind: 'policy',
  policyName,
  permissions: new Set(['ServiceConnect']),
  expiresAt: Number.MAX_SAFE_INTEGER,
  scope: [],
});

/** Pages of an empty fleet that are answered when they are let go. */
function house() {
  const identities = createMemoryIdentityStore();
  const inner = createMemoryFleetStore(identities, createMemoryTwinStore(identities), {
    state: async () => ({ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 }),
    commandDepths: async (keys) => keys.map(() => 0),
  });
  const held: (() => void)[] = [];
  let settled = 0;
  const clock = new VirtualClock();
  const twins = createMemoryTwinStore(identities);
  const changes = new RowChanges({ identities, twins, presence: { watch: () => {} } });
  const queries = createQueries({
    guard: createGuard(clock, silentAudit),
    live: new LiveQueries({ matcher: inner.matcher, changes, clock, random: systemRandom, log: silentLog }),
    fleet: {
      matcher: inner.matcher,
      explain: inner.explain,
      async page(request, signal) {
        await new Promise<void>((resolve) => held.push(resolve));
        return inner.page(request, signal);
      },
    },
    settlePresence: async () => void settled++,
  });
  const ask = (name: string, text = 'SELECT deviceId FROM devices', signal = new AbortController().signal) =>
    queries.page(policy(name), text, {}, signal);
  return { ask, held, settled: () => settled };
}

const turns = async (): Promise<void> => {
  for (let at = 0; at < 20; at++) await Promise.resolve();
};

test('a policy has its queries under way, the others wait, and too many are refused; another policy goes on', async () => {
  const { ask, held } = house();
  const waiting: Promise<QueryPage>[] = [];
  const all = limits.queriesPerPolicyMax + limits.queriesWaitingPerPolicyMax;
  for (let at = 0; at < all; at++) waiting.push(ask('busy'));
  await turns();
  assert.equal(held.length, limits.queriesPerPolicyMax);
  await assert.rejects(ask('busy'), {
    code: 'ThrottlingException',
    limit: { name: 'queriesWaitingPerPolicyMax', scope: 'policy busy', current: 64, max: 64 },
  });
  const other = ask('quiet');
  await turns();
  assert.equal(held.length, limits.queriesPerPolicyMax + 1);
  held.pop()?.();
  assert.equal((await other).text, '[]');
  const answered = Promise.all(waiting);
  for (let done = 0; done < all; ) {
    const some = held.splice(0);
    done += some.length;
    for (const release of some) release();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await answered).length, all);
});

test('who has gone while it waited is not asked for', async () => {
  const { ask, held } = house();
  const first = Array.from({ length: limits.queriesPerPolicyMax }, () => ask('p'));
  const gone = new AbortController();
  const late = ask('p', undefined, gone.signal);
  await turns();
  gone.abort(new Error('gone'));
  for (const release of held.splice(0)) release();
  await Promise.all(first);
  await assert.rejects(late, /gone/);
  assert.equal(held.length, 0);
});

test('presence is settled for those queries alone that show it', async () => {
  const { ask, held, settled } = house();
  const asked = async (text: string): Promise<number> => {
    const before = settled();
    const page = ask('p', text);
    await turns();
    held.pop()?.();
    await page;
    return settled() - before;
  };
  assert.equal(await asked('SELECT deviceId FROM devices WHERE tags.a = 1'), 0);
  assert.equal(await asked("SELECT COUNT() AS n FROM devices WHERE connectionState = 'Connected'"), 1);
  assert.equal(await asked('SELECT * FROM devices'), 1);
  assert.equal(await asked('SELECT MAX(lastActivityTime) AS t FROM devices.modules'), 1);
});

/** Whatever a registry holds: exported, and imported into an empty hub in any order of lines, it is there again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { seededRandom, systemRandom } from '../../src/base/random.ts';
import type { JobRequest } from '../../src/core/registry-jobs/types.ts';
import { blockId } from '../../src/core/registry-jobs/work.ts';
import { readReportedPatch } from '../../src/core/twins/rules.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';
import { owner } from '../drivers/owner.ts';
import { openPlainHub } from '../drivers/plain-hub.ts';
import { type FleetMember, keyOf, randomFleet } from '../drivers/random-fleet.ts';

const ROUNDS = Number(process.env.MOORING_TEST_ROUND_TRIPS ?? 25);
const seed = Number(process.env.MOORING_TEST_SEED ?? Date.now() % 1e9);

const base: JobRequest = {
  ...{ kind: 'export', inputUri: null, outputUri: null, inputName: 'devices.txt', outputName: 'devices.txt' },
  excludesKeys: false,
  configurationsName: null,
};

async function openHub() {
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const opened = await openPlainHub({
    ...{ name: 'testhub', hosts: ['localhost'], clock: systemClock, random: systemRandom, log: silentLog },
    ...{ identities, twins },
  });
  const { registryJobs, files } = opened;
  const run = async (request: Partial<JobRequest>) => {
    const { id, plan } = await registryJobs.jobs.create(owner, { ...base, ...request });
    await registryJobs.work(new AbortController().signal);
    const job = await registryJobs.jobs.get(owner, id);
    assert.equal(job.state, 'completed', job.reason);
    return { job, container: files.areas.open(plan.outputUri) ?? assert.fail('it is an area') };
  };
  return {
    ...opened,
    twins,
    identities,
    async lines(): Promise<readonly string[]> {
      const { container } = await run({});
      const pieces: Uint8Array[] = [];
      for await (const piece of (await container.read('devices.txt', 0))?.body ?? []) pieces.push(Buffer.from(piece));
      return Buffer.concat(pieces)
        .toString()
        .split('\n')
        .filter((line) => line !== '');
    },
    async take(lines: readonly string[]) {
      const { uri } = await registryJobs.jobs.openArea(owner, 600_000);
      const container = files.areas.open(uri) ?? assert.fail('it is an area');
      const bytes = Buffer.from(lines.join('\n'));
      const id = Buffer.from('one').toString('base64');
      await container.stage('devices.txt', id, bytes);
      await container.commit('devices.txt', [id], bytes.length);
      return (await run({ kind: 'import', inputUri: uri, outputUri: uri })).job.counts;
    },
  };
}

type OpenHub = Awaited<ReturnType<typeof openHub>>;

async function settle({ hub, twins, identities }: OpenHub, fleet: readonly FleetMember[]): Promise<void> {
  for (const { draft, parent, tags, desired, reported } of fleet) {
    const scope = parent === undefined ? undefined : (await identities.get({ deviceId: parent }))?.deviceScope;
    const { generationId } = await hub.registry.put(owner, {
      ...draft,
      ...(scope != null && { parentScopes: [scope] }),
    });
    const key = keyOf(draft);
    const change = { kind: 'merge', ...(tags && { tags }), ...(desired && { desired }) } as const;
    if (tags || desired) await hub.twins.change(owner, key, change);
    if (reported === undefined || Object.keys(reported).length === 0) continue;
    const patch = readReportedPatch(Buffer.from(JSON.stringify(reported)));
    const [outcome] = await twins.report([{ key, generationId, patch }], { time: Date.now(), withEvents: false });
    assert.equal(outcome.kind, 'done');
  }
}

/** Without what a hub gives by itself; a scope ends with the generation of its edge device. */
function compared(text: string): string {
  const { eTag: _eTag, twinETag: _twinETag, properties, ...others } = JSON.parse(text);
  for (const section of [properties.desired, properties.reported]) {
    delete section.$metadata;
    delete section.$version;
  }
  return JSON.stringify({ ...others, properties }).replace(/-\d{17,19}"/g, '"');
}

test('a random fleet goes out and comes in again, in any order, also twice', async (t) => {
  t.diagnostic(`seed ${seed}`);
  let identities = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const random = seededRandom(seed + round);
    const from = await openHub();
    await settle(from, randomFleet(random, 1 + Math.floor(random.next() * 30)));
    const out = await from.lines();
    identities += out.length;
    const to = await openHub();
    const order = out.map((line) => ({ line, at: random.next() })).sort((a, b) => a.at - b.at);
    const shuffled = order.map(({ line }) => line);
    const counts = await to.take(shuffled);
    const why = `round ${round} of seed ${seed}`;
    assert.deepEqual(counts, { total: out.length, done: out.length, unchanged: counts.unchanged, failed: 0 }, why);
    const back = await to.lines();
    assert.deepEqual(back.map(compared), out.map(compared), why);
    assert.equal((await to.take(shuffled)).unchanged, out.length, why);
    assert.deepEqual(await to.lines(), back, 'a second import changes nothing');
    // An export without keys leaves those that are there.
    const bare = out.map((line) => line.replace(/"(primary|secondary)Key":"[^"]*"/g, '"$1Key":null'));
    assert.equal((await to.take(bare)).unchanged, out.length, why);
    assert.deepEqual(await to.lines(), back);
  }
  t.diagnostic(`${identities} identities`);
});

test('an export that is refused because another is under way leaves the blocks of that one alone', async () => {
  const { registryJobs, files } = await openHub();
  const { uri } = await registryJobs.jobs.openArea(owner, 600_000);
  const container = files.areas.open(uri) ?? assert.fail('it is an area');
  await registryJobs.jobs.create(owner, { ...base, outputUri: uri });
  const first = blockId(0);
  await container.stage('devices.txt', first, Buffer.from('mine'));
  await assert.rejects(registryJobs.jobs.create(owner, { ...base, outputUri: uri }), { code: 'JobQuotaExceeded' });
  await container.commit('devices.txt', [first], 4);
  const found = await container.read('devices.txt', 0);
  for await (const piece of found?.body ?? []) assert.equal(Buffer.from(piece).toString(), 'mine');
  assert.equal(found?.bytes, 4);
});

/** kill -9 in the midst of imports and exports: each goes on where it was, nothing is lost, done twice, or told as an error. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { ApiClient } from '../../src/api/client.ts';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { endOf, fileOf, putFile } from '../drivers/registry-jobs.ts';

const KILLS = Number(process.env.MOORING_TEST_JOB_KILLS ?? 3);
const DEVICES = Number(process.env.MOORING_TEST_JOB_DEVICES ?? 2000);
const seed = Number(process.env.MOORING_TEST_SEED ?? Date.now() % 1e9);

const key = (nth: number): string => Buffer.from(`key of device ${nth}`.padEnd(32, '.')).toString('base64');
/** Created only: what was created before a kill must not be told as there already. Each twentieth line is wrong. */
const line = (nth: number) => ({
  id: nth % 20 === 7 ? `not an id ${nth}` : `d${String(nth).padStart(6, '0')}`,
  importMode: 'create',
  authentication: { type: 'sas', symmetricKey: { primaryKey: key(nth), secondaryKey: key(nth) } },
  tags: { nth },
  properties: { desired: { a: nth }, reported: { r: nth } },
});
const wrong = (nth: number): boolean => nth % 20 === 7;

/** Kills the hub in random moments of the job, and starts it again, so often; then waits for the end of the job. */
async function underKills(
  begin: (api: ApiClient) => Promise<string>,
  hub: Awaited<ReturnType<typeof startHub>>,
  random: () => number,
) {
  let current = hub;
  let jobId = '';
  let kills = 0;
  for (let nth = 0; nth <= KILLS; nth++) {
    const api = apiOf(current);
    if (nth === 0) jobId = await begin(api);
    if (nth === KILLS) {
      const job = await endOf(api, jobId);
      api.close();
      return { job, hub: current, kills };
    }
    await pause(random() * 250);
    const { status } = await api.registryJobs.get(jobId);
    api.close();
    if (status === 'running' || status === 'enqueued') kills++;
    await current.kill();
    current = await current.restart();
  }
  throw new Error('not reached');
}

test('an import over kills: each device once with its own key and twin, each wrong line once', async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  let hub = await startHub();
  try {
    const first = apiOf(hub);
    const { containerUri } = await first.registryJobs.openArea();
    await putFile(
      first,
      containerUri,
      'devices.txt',
      Array.from({ length: DEVICES }, (_, nth) => line(nth)),
    );
    first.close();
    const request = { type: 'import', inputBlobContainerUri: containerUri, outputBlobContainerUri: containerUri };
    const ended = await underKills(
      async (api) => (await api.registryJobs.create(request)).jobId,
      hub,
      () => random.next(),
    );
    hub = ended.hub;
    t.diagnostic(`${ended.kills} kills in its midst`);
    assert.ok(ended.kills > 0, 'it was killed in its midst');
    const failed = Math.floor((DEVICES - 8) / 20) + 1;
    assert.deepEqual(
      [ended.job.status, ended.job.counts.done, ended.job.counts.failed],
      ['completed', DEVICES, failed],
    );
    const api = apiOf(hub);
    const log = (await fileOf(api, containerUri, 'importErrors.log')) ?? '';
    const lines = log
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text).line);
    assert.deepEqual(
      lines,
      Array.from({ length: DEVICES }, (_, nth) => nth)
        .filter(wrong)
        .map((nth) => nth + 1),
    );

    // And out again, over kills as well.
    const area = await api.registryJobs.openArea();
    api.close();
    const exported = await underKills(
      async (client) =>
        (await client.registryJobs.create({ type: 'export', outputBlobContainerUri: area.containerUri })).jobId,
      hub,
      () => random.next() * 0.6,
    );
    hub = exported.hub;
    t.diagnostic(`${exported.kills} kills in the midst of the export`);
    assert.equal(exported.job.status, 'completed', exported.job.failureReason);
    const last = apiOf(hub);
    const text = (await fileOf(last, area.containerUri, 'devices.txt')) ?? '';
    const devices = text
      .trimEnd()
      .split('\n')
      .map((each) => JSON.parse(each));
    const expected = Array.from({ length: DEVICES }, (_, nth) => nth).filter((nth) => !wrong(nth));
    assert.deepEqual(
      devices.map(({ id, authentication, tags, properties }) => [
        ...[id, authentication.symmetricKey.primaryKey, tags, properties.desired.a, properties.desired.$version],
        ...[properties.reported.r, properties.reported.$version],
      ]),
      expected.map((nth) => [line(nth).id, key(nth), { nth }, nth, 2, nth, 2]),
    );
    last.close();
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

/** A node that is held while it imports or exports the registry, replaced under its own name by a process with another folder, and goes on then. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, startCluster } from '../drivers/cluster.ts';
import { endOf, fileOf, imported, putFile } from '../drivers/registry-jobs.ts';
import { until } from '../drivers/until.ts';

const missing = clusterMissing();
if (missing !== undefined)
  process.stderr.write(`NOT TESTED: imports and exports of a node that is replaced (${missing})\n`);

const COUNT = 1500;
const ATTEMPTS_MAX = 10;
const ids = Array.from({ length: COUNT }, (_, at) => `d${String(at).padStart(5, '0')}`);
const lines = (importMode: string, site: string) => ids.map((id) => ({ id, importMode, tags: { site } }));
/** What a change that nobody else makes is found by. */
const BEHIND = 'changed behind it';
/** That it has stood still, lost its lease and its name, and whatever was under way then: each once. */
const SAID_MAX = 12;

for (const kind of ['import', 'export'] as const) {
  test(`an ${kind} of a node that was held and replaced is carried on once, and that node does nothing more of it`, {
    skip: missing ?? false,
    timeout: 240_000,
  }, async (t) => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'replaced-registry-'));
    await using opened = new AsyncDisposableStack();
    opened.defer(() => rmSync(root, { recursive: true }));
    const cluster = opened.use(await startCluster({ nodes: 1, args: ['--files-folder', root] }));
    const [older] = cluster.nodes;
    const at = apiOf(older);
    opened.defer(() => at.close());
    if (kind === 'export') {
      const { job } = await imported(at, lines('create', 'first'));
      assert.deepEqual([job.status, job.counts.done], ['completed', COUNT]);
    }
    const { containerUri } = await at.registryJobs.openArea();
    await putFile(at, containerUri, 'in.txt', lines('createOrUpdate', 'imported'));
    const database = new pg.Client(cluster.database.url);
    await database.connect();
    opened.defer(() => database.end());
    const isRunning = async (jobId: string): Promise<boolean> => {
      const from = `${cluster.database.schema}.registry_jobs`;
      const { rows } = await database.query(`select state, holder from ${from} where id = $1`, [jobId]);
      return rows[0].state === 'running' && rows[0].holder.startsWith('node-1/');
    };
    /** Begins one, and holds its node while it is under way. */
    const heldJob = async (): Promise<string> => {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const { jobId } = await at.registryJobs.create(
          kind === 'import'
            ? {
                type: kind,
                inputBlobContainerUri: containerUri,
                inputBlobName: 'in.txt',
                outputBlobContainerUri: containerUri,
              }
            : { type: kind, outputBlobContainerUri: containerUri, outputBlobName: 'out.txt' },
        );
        const hasBegun = async (): Promise<boolean> => {
          const { status, progress } = await at.registryJobs.get(jobId);
          return kind === 'import' ? progress > 0 : status !== 'enqueued';
        };
        await until('it has begun', hasBegun, { everyMs: 1 });
        older.signal('SIGSTOP');
        // What was sent to the database by then is carried out.
        await sleep(500);
        if (await isRunning(jobId)) return jobId;
        older.signal('SIGCONT');
        await endOf(at, jobId);
      }
      return assert.fail(`${ATTEMPTS_MAX} jobs were over before their node was held`);
    };
    const jobId = await heldJob();

    const newer = await cluster.start({ args: ['--node-name', 'node-1'] });
    const api = apiOf(newer);
    opened.defer(() => api.close());
    const job = await endOf(api, jobId);
    assert.deepEqual([job.status, job.progress, job.failureReason ?? null], ['completed', 100, null]);
    assert.equal(await fileOf(api, containerUri, 'importErrors.log'), undefined);
    if (kind === 'export') {
      const exported = (await fileOf(api, containerUri, 'out.txt'))?.split('\n').filter((line) => line !== '') ?? [];
      assert.deepEqual(
        exported.map((line) => JSON.parse(line).id),
        ids,
        'each device once',
      );
      await putFile(api, containerUri, 'out.txt', BEHIND);
    }
    const touched = kind === 'import' ? ids.filter((_, nth) => nth % 25 === 0) : [];
    for (const deviceId of touched) await api.twins.update({ deviceId }, { tags: { site: BEHIND } });

    older.signal('SIGCONT');
    await until('it knows that it has no lease', () => /could not renew its lease/.test(older.stderr()));
    await sleep(2 * limits.registryJobLookMs);
    const said = saidIn(older.stderr());
    t.diagnostic(said.join(' | '));
    assert.ok(said.length <= SAID_MAX, `${said.length} lines in ${2 * limits.registryJobLookMs} ms`);
    assert.deepEqual(await api.registryJobs.get(jobId), job);
    if (kind === 'export') assert.equal(await fileOf(api, containerUri, 'out.txt'), BEHIND);
    const sites = new Map<unknown, string[]>();
    for await (const { deviceId, site } of api.queries.rows('SELECT deviceId, tags.site AS site FROM devices')) {
      sites.set(site, [...(sites.get(site) ?? []), String(deviceId)]);
    }
    assert.deepEqual((sites.get(BEHIND) ?? []).sort(), touched);
    assert.equal(sites.size, kind === 'import' ? 2 : 1);
  });
}

/** Of its log, what is a warning or worse. */
const saidIn = (log: string): readonly string[] =>
  [...log.matchAll(/^\{"level":"(?:warn|error)".*"message":"([^"]*)"\}$/gm)].map(([, message]) => message);

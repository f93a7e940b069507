/** What a process may write whose node another one is by now, though it believes to have a lease. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import type { NewJob } from '../../core/jobs/types.ts';
import type { Standing } from '../../core/nodes/processes.ts';
import { freshCursor, noCounts, type RegistryJob } from '../../core/registry-jobs/types.ts';
import { nextSet } from '../../core/routes/rules.ts';
import { noRoutes } from '../../core/routes/types.ts';
import { withPostgres } from '../contract/postgres.ts';
import type { PostgresTables } from './postgres.ts';

const LONG = 60_000;
const NOW = Date.UTC(2026, 0, 1);
const joined = (process: string, folder: string): Standing => ({ id: process, name: 'n', folder, hasJoined: true });
const endpoint = {
  kind: 'webhook',
  name: 'a',
  url: 'https://a.example/',
  format: 'cloudEvents',
  inFlight: 1,
  eventsPerRequest: 1,
} as const;
const job: NewJob = {
  ...{ id: 'j', condition: '*', createdTime: NOW, createdBy: '', startTime: NOW, maxExecutionMs: LONG },
  work: { kind: 'scheduleUpdateTwin', change: { kind: 'merge', desired: { a: 1 } } },
};
const registryJob: RegistryJob = {
  id: 'r',
  plan: {
    ...{ kind: 'export', inputUri: null, outputUri: 'https://a.example/c', inputName: 'i', outputName: 'o' },
    ...{ excludesKeys: false, configurationsName: null, withTwins: true, createdBy: '' },
  },
  ...{ state: 'enqueued', reason: '', counts: noCounts, cursor: freshCursor, createdTime: NOW },
  ...{ startedTime: undefined, endedTime: undefined },
};

/** What a process of the node gets of each kind of work. */
const claims: Readonly<Record<string, (tables: PostgresTables, process: string) => Promise<unknown>>> = {
  cursors: async ({ cursors }, node) =>
    cursors.claim({ endpoint: 'a', since: 1 }, { node, now: NOW, leaseMs: LONG, countMax: 9 }),
  jobs: async ({ jobs }, node) =>
    jobs.claim({ node, isFirst: false, now: NOW, leaseMs: LONG, runningMax: 9, withEvents: false }),
  'registry jobs': async ({ registryJobs }, holder) => registryJobs.claim(holder, LONG, NOW),
};
/** Whose it is. */
const kept: Readonly<Record<string, string>> = {
  cursors: 'select node as process, fence from route_cursors',
  jobs: 'select node as process, fence from jobs',
  'registry jobs': 'select holder as process, 0 as fence from registry_jobs',
};

withPostgres('fences of nodes', (open) => {
  for (const [work, claim] of Object.entries(claims)) {
    test(`postgres: ${work} are not taken by a process without a lease of its node, whatever it believes`, async () => {
      const { tables, another, read, query, close } = await open();
      const node = (folder: string) => ({ name: 'n', folder, address: '127.0.0.1', port: 1, version: '1' });
      const standing = { older: joined('n/1', 'one'), newer: joined('n/2', 'two') };
      const older = await another(systemClock, { mayWrite: () => true, standing: () => standing.older });
      const newer = await another(systemClock, { mayWrite: () => true, standing: () => standing.newer });
      try {
        await tables.routes.replace(nextSet(noRoutes, { ...noRoutes, endpoints: [endpoint] }, NOW), [0]);
        await tables.jobs.create(job, 9);
        await tables.registryJobs.create(registryJob);
        const refused = (of: PostgresTables, process: string) =>
          assert.rejects(claim(of, process), { code: 'ServiceUnavailable' });
        await tables.nodes.join({ ...node('one'), id: 'n/1' }, LONG);
        await claim(older, 'n/1');
        await refused(newer, 'n/2');
        standing.newer = { ...standing.newer, hasJoined: false };
        await refused(newer, 'n/2');
        // It is held, and its lease is over.
        await query(`update nodes set lease_until = 0 where id = 'n/1'`);
        await claim(newer, 'n/2');
        await tables.nodes.join({ ...node('two'), id: 'n/2' }, LONG);
        standing.newer = { ...standing.newer, hasJoined: true };
        await claim(newer, 'n/2');
        const before = await read(kept[work]);
        await refused(older, 'n/1');
        standing.older = { ...standing.older, hasJoined: false };
        await refused(older, 'n/1');
        assert.deepEqual(await read(kept[work]), before);
        assert.deepEqual(before, [{ process: 'n/2', fence: before[0].fence }]);
      } finally {
        await Promise.all([older.close(), newer.close()]);
        await close();
      }
    });
  }

  test('postgres: what has waited beyond the end of a lease is not written by the next one of its node', async () => {
    const { another, read, close } = await open();
    const standing = { ...joined('n/1', 'one') };
    const node = await another(systemClock, { mayWrite: () => true, standing: () => standing });
    try {
      // Asked for under one lease, and carried out under the next one.
      const refused = assert.rejects(node.presenceStates.end(), { code: 'ServiceUnavailable' });
      standing.id = 'n/2';
      await refused;
      assert.deepEqual(await read(`select name from facts where name like 'presence_running%'`), []);
      await node.presenceStates.end();
    } finally {
      await node.close();
      await close();
    }
  });

  test('postgres: what a process without a lease writes is refused, and nobody is told that it may have been done', async () => {
    const { tables, another, close } = await open();
    let mayWrite = true;
    const held = await another(systemClock, { mayWrite: () => mayWrite });
    let told = 0;
    held.watchLost(() => told++);
    try {
      await tables.jobs.create(job, 9);
      mayWrite = false;
      for (const write of [
        () => held.jobs.cancel('j', NOW),
        () => held.registryJobs.create(registryJob),
        () => held.identities.write([]),
        () => held.presenceStates.end(),
        () => held.presenceOf('gone').recover(10),
        () => held.begunTwinEvents.keep({ sequences: [1], places: { 0: 1 } }),
      ]) {
        await assert.rejects(async () => write(), { code: 'ServiceUnavailable' });
      }
      assert.equal((await held.jobs.find('j', NOW))?.status, 'queued');
      assert.equal(await tables.registryJobs.isOneOpen(), false);
      assert.equal(await tables.begunTwinEvents.load(), undefined);
      assert.equal(told, 0);
    } finally {
      await held.close();
      await close();
    }
  });
});

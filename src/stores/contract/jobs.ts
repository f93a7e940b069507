import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClaimTerms, Hold, JobStore } from '../../core/jobs/ports.ts';
import { outcomeUnknown, wasCancelled } from '../../core/jobs/rules.ts';
import type { FleetStore } from '../../core/query/ports.ts';
import { parseQuery } from '../../core/query/statement.ts';
import { jobRecordTrials } from './job-records.ts';
import {
  batch,
  create,
  type JobTrial,
  keys,
  method,
  never,
  newJob,
  patch,
  plenty,
  type RunTrial,
  records,
  taken,
  terms,
} from './job-trial.ts';

/** What every `JobStore` does. `open` gives a new, empty one, with what its jobs are about. */
export function jobStoreContract(name: string, open: () => Promise<JobTrial>): void {
  const trial: RunTrial = (title, body) => {
    test(`${name}: ${title}`, async () => {
      const parts = await open();
      try {
        await body(parts);
      } finally {
        await parts.close();
      }
    });
  };

  trial('a job is kept as it was asked for, once, while there is room', async ({ store, reopen }) => {
    assert.equal(await store.find('j1', 1), undefined);
    const later = newJob('j1', { startTime: 5000, work: method });
    assert.equal(await store.create(later, 2), 'created');
    assert.equal(await store.create(later, 2), 'exists');
    assert.equal(await store.create(newJob('j2'), 2), 'created');
    assert.equal(await store.create(newJob('j3'), 2), 'full');
    const kept = (await reopen?.()) ?? store;
    const job = await kept.find('j1', 4999);
    assert.deepEqual(JSON.parse(JSON.stringify(job)), {
      ...{ ...later, status: 'scheduled', reason: '' },
      counts: { waiting: 0, running: 0, completed: 0, failed: 0, cancelled: 0, unknown: 0 },
    });
    assert.equal((await kept.find('j1', 5000))?.status, 'queued');
    assert.equal(await kept.cancel('j2', 1500), 'cancelled');
    assert.equal(await kept.cancel('j2', 1500), 'ended');
    assert.equal(await kept.cancel('none', 1500), 'missing');
    assert.equal((await kept.find('j2', 9000))?.endedTime, 1500);
    assert.equal(await kept.create(newJob('j3'), 2), 'created', 'one that has ended takes no place');
    assert.deepEqual((await kept.totals(4000)).jobs, {
      ...{ scheduled: 1, queued: 1, running: 0, completed: 0, failed: 0, cancelled: 1 },
    });
  });

  trial('lists are newest first, by kind and status, and go on behind a place', async ({ store }) => {
    for (const [at, id] of ['c', 'a', 'b'].entries())
      await store.create(newJob(id, { createdTime: at < 2 ? 10 : 20 }), 9);
    await store.create(newJob('m', { createdTime: 5, work: method, startTime: 9000 }), 9);
    const ids = async (of: Partial<Parameters<JobStore['list']>[0]>) =>
      (await store.list({ limit: 10, charsMax: 1e6, ...of }, 3000)).jobs.map(({ id }) => id).join(' ');
    assert.equal(await ids({}), 'b c a m');
    assert.equal(await ids({ limit: 2 }), 'b c');
    assert.equal(await ids({ after: { createdTime: 10, id: 'c' } }), 'a m');
    assert.equal(await ids({ kind: 'scheduleDeviceMethod' }), 'm');
    assert.equal(await ids({ status: 'scheduled' }), 'm');
    assert.equal(await ids({ status: 'queued' }), 'b c a');
    assert.equal(await ids({ status: 'running' }), '');
    const goesOn = async (limit: number, charsMax: number) => {
      const { jobs, goesOn } = await store.list({ limit, charsMax }, 3000);
      return [jobs.length, goesOn];
    };
    assert.deepEqual(await goesOn(4, 1e6), [4, false]);
    assert.deepEqual(await goesOn(3, 1e6), [3, true]);
    assert.deepEqual(await goesOn(4, 1), [1, true], 'one at least');
    const chars = JSON.stringify(patch).length + 1;
    assert.deepEqual(await goesOn(4, 2 * chars), [2, true]);
  });

  trial('jobs begin in time, as many as may run, and belong to one node until its lease ends', async ({ store }) => {
    await store.create(newJob('j1'), 9);
    await store.create(newJob('j2', { startTime: 1500 }), 9);
    await store.create(newJob('j3', { startTime: 1400 }), 9);
    await store.create(newJob('late', { startTime: 9000 }), 9);
    const ids = async (node: string, change: Partial<ClaimTerms>) =>
      (await store.claim(terms(node, change))).map(({ hold }) => hold.id).join(' ');
    assert.equal(await ids('n1', { runningMax: 2 }), 'j1 j3');
    assert.equal(await ids('n2', { runningMax: 2 }), '', 'none is free, and no more may run');
    assert.equal(await ids('n2', { runningMax: 3 }), 'j2');
    assert.equal((await store.find('j1', 2000))?.status, 'running');
    assert.equal((await store.find('j1', 2000))?.startedTime, 2000);
    // n1 says something, n2 does not.
    assert.equal(await ids('n1', { now: 11_000, runningMax: 3 }), 'j1 j3');
    assert.equal(await ids('n1', { now: 12_500, runningMax: 3 }), 'j1 j3 j2');
    const [held] = await store.claim(terms('n1', { now: 13_000 }));
    assert.equal(await store.end(held.hold, 'completed', '', 13_500), true);
    assert.equal(await store.end(held.hold, 'completed', '', 13_500), false);
    const job = await store.find('j1', 14_000);
    assert.deepEqual([job?.status, job?.endedTime, job?.reason], ['completed', 13_500, '']);
  });

  trial('who has lost its hold does nothing more', async ({ store, identities, twins }) => {
    await create(identities, 'd1', 'd2');
    await store.create(newJob('j1'), 9);
    const first = await taken(store, 'n1');
    await store.select(first.hold, { keys: keys('d1', 'd2'), next: undefined }, 2100);
    const second = await taken(store, 'n2', { now: 13_000 });
    assert.equal(second.selection, undefined);
    assert.equal(await store.updateTwins(first.hold, batch), undefined);
    assert.equal(await store.select(first.hold, { keys: keys('d3'), next: undefined }, 13_100), false);
    assert.equal(await store.dismiss(first.hold, 'failed', wasCancelled, { ...records, countMax: 9 }), undefined);
    assert.equal(await store.end(first.hold, 'failed', 'x', 13_100), false);
    assert.equal(await store.settle(first.hold, [], records), false);
    assert.deepEqual((await twins.load({ deviceId: 'd1' }))?.twin.tags, {});
    // A restart of the same node loses the hold that it had.
    const again = await taken(store, 'n2', { now: 13_200, isFirst: true });
    assert.equal(await store.updateTwins(second.hold, batch), undefined);
    assert.deepEqual(await store.updateTwins(again.hold, batch), { completed: 2, failed: 0, goesOn: false });
  });

  trial('a newer process of a node has at once what an older one held, which does nothing more', async (parts) => {
    const { store, identities } = parts;
    await create(identities, 'd1', 'd2');
    await store.create(newJob('j1'), 9);
    const older = await taken(store, 'n/1');
    await store.select(older.hold, { keys: keys('d1', 'd2'), next: undefined }, 2100);
    assert.deepEqual(await store.claim(terms('nn/3')), []);
    const newer = await taken(store, 'n/2');
    assert.equal(newer.selection, undefined);
    assert.equal(await store.updateTwins(older.hold, batch), undefined);
    assert.equal(await store.settle(older.hold, [], records), false);
    assert.equal(await store.end(older.hold, 'failed', 'x', 2200), false);
    assert.equal((await taken(store, 'n/2')).hold.fence, newer.hold.fence);
    assert.deepEqual(await store.updateTwins(newer.hold, batch), { completed: 2, failed: 0, goesOn: false });
  });

  trial(
    'records are read page by page, of all jobs, and by what stands in them',
    async ({ store, identities, fleet }) => {
      await create(identities, 'd1', 'd2');
      for (const id of ['j1', 'j2', 'j3']) {
        await store.create(newJob(id, { createdTime: 1000, work: id === 'j2' ? method : patch }), 9);
      }
      for (const { hold } of await store.claim(terms('n1'))) {
        const all = [...keys('d1', 'd2'), { deviceId: 'd2', moduleId: 'm' }];
        await store.select(hold, { keys: all, next: undefined }, 2100);
      }
      const held = await store.claim(terms('n1', { now: 2100 }));
      const j1 = held.find(({ hold }) => hold.id === 'j1')?.hold as Hold;
      await store.updateTwins(j1, { ...batch, countMax: 1 });
      const j2 = held.find(({ hold }) => hold.id === 'j2')?.hold as Hold;
      await store.begin(j2, keys('d1'), 2200);
      await store.claim(terms('n1', { now: 2300, isFirst: true }));
      const rows = async (text: string, countMax = 2): Promise<string> => {
        const query = parseQuery(text);
        const found: string[] = [];
        for (let after: Parameters<FleetStore['page']>[0]['after']; ; ) {
          const page = await fleet.page({ query, countMax, ...(after && { after }) }, never);
          for (const row of JSON.parse(page.text)) found.push(Object.values(row).join('/'));
          after = page.next;
          if (after === undefined) return found.join(' ');
        }
      };
      const all = 'j1/d1 j1/d2 j1/d2/m j2/d1 j2/d2 j2/d2/m j3/d1 j3/d2 j3/d2/m';
      assert.equal(await rows('SELECT jobId, deviceId, moduleId FROM devices.jobs'), all);
      assert.equal(await rows("SELECT deviceId FROM devices.jobs WHERE jobId = 'j2' AND moduleId = 'm'"), 'd2');
      assert.equal(await rows("SELECT jobId FROM devices.jobs WHERE devices.jobs.Status = 'completed'"), 'j1');
      assert.equal(
        await rows(
          "SELECT jobId, error.code FROM devices.jobs WHERE status = 'unknown' AND jobType = 'scheduleDeviceMethod'",
        ),
        'j2/503001',
      );
      assert.equal(outcomeUnknown.code, 'ServiceUnavailable');
      // The name that the service's documentation has, and its rows do not.
      assert.equal(await rows("SELECT jobId FROM devices.jobs WHERE devices.jobs.createdTimeUtc > '2016-09-01'"), '');
      assert.equal(await rows('SELECT jobId, COUNT() AS n FROM devices.jobs GROUP BY jobId'), 'j1/3 j2/3 j3/3');
    },
  );

  trial('what has ended long ago is swept in pieces, records first', async ({ store, identities }) => {
    await create(identities, 'd1', 'd2', 'd3');
    await store.create(newJob('j1'), 9);
    await store.create(newJob('j2', { startTime: 9000 }), 9);
    const { hold } = await taken(store);
    await store.select(hold, { keys: keys('d1', 'd2', 'd3'), next: undefined }, 2100);
    await store.updateTwins(hold, batch);
    assert.equal(await store.sweep(9999, 10, plenty), 0, 'it runs');
    await store.end(hold, 'completed', '', 3000);
    assert.equal(await store.sweep(3000, 10, plenty), 0, 'not before');
    assert.equal(await store.sweep(3001, 2, plenty), 2);
    assert.ok(await store.find('j1', 4000));
    assert.equal(await store.sweep(3001, 10, plenty), 2);
    assert.equal(await store.find('j1', 4000), undefined);
    assert.ok(await store.find('j2', 4000));
  });

  trial('a name that no job can have is that of none', async ({ store, fleet }) => {
    await store.create(newJob('j1'), 9);
    assert.equal(await store.find('\u0000', 2000), undefined);
    assert.equal(await store.cancel('\u0000', 2000), 'missing');
    const query = parseQuery("SELECT * FROM devices.jobs WHERE jobId = '\\u0000'");
    assert.equal((await fleet.page({ query, countMax: 9 }, never)).text, '[]');
  });

  trial('as many jobs as are too many go at once', async ({ store }) => {
    for (const [at, id] of ['a', 'b', 'c', 'd', 'e'].entries()) {
      await store.create(newJob(id, { createdTime: 1000 + at }), 9);
      await store.cancel(id, 1500);
    }
    assert.equal(await store.sweep(0, 100, { jobsMax: 2, recordsMax: 0 }), 3);
    const left = await store.list({ limit: 9, charsMax: 1e6 }, 3000);
    assert.deepEqual(
      left.jobs.map(({ id }) => id),
      ['e', 'd'],
    );
  });

  trial(
    'beyond what may be kept the oldest that has ended goes before its time, and none that is carried on',
    async (parts) => {
      const { store } = parts;
      for (const [at, id] of ['a', 'b', 'c'].entries()) {
        await store.create(newJob(id, { createdTime: 1000 + at, work: method }), 9);
      }
      for (const { hold } of await store.claim(terms('n1'))) {
        await store.select(hold, { keys: keys('d1', 'd2'), next: undefined }, 2100);
        if (hold.id === 'b') continue;
        await store.dismiss(hold, 'failed', wasCancelled, { ...records, countMax: 9 });
        await store.end(hold, 'completed', '', 2200);
      }
      const left = async () => (await store.list({ limit: 9, charsMax: 1e6 }, 3000)).jobs.map(({ id }) => id).join(' ');
      assert.equal(await store.sweep(0, 100, { jobsMax: 3, recordsMax: 6 }), 0);
      assert.equal(await store.sweep(0, 100, { jobsMax: 3, recordsMax: 5 }), 3);
      assert.equal(await left(), 'c b');
      assert.equal(await store.sweep(0, 100, { jobsMax: 1, recordsMax: 100 }), 3);
      assert.equal(await store.sweep(0, 100, { jobsMax: 0, recordsMax: 0 }), 0);
      assert.equal(await left(), 'b');
    },
  );

  jobRecordTrials(trial);
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { ClaimTerms, HeldJob, Hold, JobStore, SettledDevice } from '../../core/jobs/ports.ts';
import { outcomeUnknown, wasCancelled } from '../../core/jobs/rules.ts';
import type { JobWork, NewJob } from '../../core/jobs/types.ts';
import type { FleetStore } from '../../core/query/ports.ts';
import { parseQuery } from '../../core/query/statement.ts';
import type { DesiredNote, TwinStore } from '../../core/twins/ports.ts';
import { exampleIdentity } from './identities.ts';

export interface JobTrial {
  readonly store: JobStore;
  readonly identities: IdentityStore;
  readonly twins: TwinStore;
  readonly fleet: FleetStore;
  /** The same jobs after a restart; absent where nothing outlives the store. */
  reopen?(): Promise<JobStore>;
  readonly close: () => Promise<void>;
}

const patch: JobWork = {
  kind: 'scheduleUpdateTwin',
  change: { kind: 'merge', tags: { a: 1 }, desired: { interval: 5 } },
};
const method: JobWork = {
  kind: 'scheduleDeviceMethod',
  method: { name: 'reboot', payload: '{"a":1.0}', responseMs: 5000, connectMs: 0 },
};
const newJob = (id: string, change: Partial<NewJob> = {}): NewJob => ({
  ...{ id, condition: '*', work: patch, createdTime: 1000, createdBy: 'service', startTime: 1000 },
  ...{ maxExecutionMs: 60_000, ...change },
});
const terms = (node: string, change: Partial<ClaimTerms> = {}): ClaimTerms => ({
  ...{ node, isFirst: false, now: 2000, leaseMs: 10_000, runningMax: 10, withEvents: false },
  ...change,
});
const keys = (...ids: readonly string[]): readonly IdentityKey[] => ids.map((deviceId) => ({ deviceId }));
const records = { now: 2500, withEvents: false };
const batch = { ...records, countMax: 100, msMax: 1000, withTwinEvents: false };
const answered = (deviceId: string): SettledDevice => ({
  ...{ key: { deviceId }, state: 'completed' },
  result: { kind: 'answer', status: 200, payload: '{"b":2.0}' },
});

async function create(identities: IdentityStore, ...ids: readonly string[]): Promise<void> {
  const writes = ids.map((deviceId) => {
    const identity = exampleIdentity({ deviceId }, { generationId: 'g1' });
    return { kind: 'create' as const, identity, countMax: 10_000 };
  });
  for (const { kind } of await identities.write(writes)) assert.equal(kind, 'done');
}

/** Takes and begins the one job that there is. */
async function taken(store: JobStore, node = 'n1', change: Partial<ClaimTerms> = {}): Promise<HeldJob> {
  const [held] = await store.claim(terms(node, change));
  assert.ok(held !== undefined, 'there is a job to take');
  return held;
}

async function countsOf(store: JobStore, id: string): Promise<string> {
  const job = await store.find(id, 3000);
  assert.ok(job !== undefined);
  return Object.entries(job.counts)
    .filter(([, count]) => count !== 0)
    .map(([state, count]) => `${state} ${count}`)
    .join(', ');
}

const never = new AbortController().signal;
const plenty = { jobsMax: 100, recordsMax: 1000 };

/** What every `JobStore` does. `open` gives a new, empty one, with what its jobs are about. */
export function jobStoreContract(name: string, open: () => Promise<JobTrial>): void {
  const trial = (title: string, body: (parts: JobTrial) => Promise<void>): void => {
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

  trial('twins are updated once each, with their records, in order', async (parts) => {
    const { store, identities, twins, reopen } = parts;
    await create(identities, 'd1', 'd2', 'd4', 'd5');
    const notes: DesiredNote[] = [];
    twins.watchOwnWrites((note) => void notes.push(note));
    await store.create(newJob('j1'), 9);
    const { hold, selection } = await taken(store);
    assert.equal(selection, '');
    assert.equal(await store.select(hold, { keys: keys('d1', 'd2'), next: 'x' }, 2100), true);
    assert.equal((await taken(store)).selection, 'x');
    assert.equal(await store.select(hold, { keys: keys('d3', 'd4', 'd5'), next: undefined }, 2200), true);
    assert.equal(await countsOf(store, 'j1'), 'waiting 5');
    assert.deepEqual(await store.updateTwins(hold, { ...batch, countMax: 2 }), {
      completed: 2,
      failed: 0,
      goesOn: true,
    });
    assert.equal(await countsOf(store, 'j1'), 'waiting 3, completed 2');
    assert.deepEqual(
      notes.map(({ key, version }) => [key.deviceId, version]),
      [
        ['d1', 2],
        ['d2', 2],
      ],
    );
    // As after a crash: what was done is not done again.
    const kept = (await reopen?.()) ?? store;
    const after = await taken(kept, 'n1', { isFirst: true });
    assert.deepEqual(await kept.updateTwins(after.hold, batch), { completed: 2, failed: 1, goesOn: false });
    assert.equal(await countsOf(kept, 'j1'), 'completed 4, failed 1');
    for (const deviceId of ['d1', 'd2', 'd4', 'd5']) {
      const twin = (await parts.twins.load({ deviceId }))?.twin;
      assert.equal(
        JSON.stringify([twin?.tags, twin?.desired.values, twin?.desired.version]),
        '[{"a":1},{"interval":5},2]',
      );
    }
    assert.deepEqual(await kept.updateTwins(after.hold, batch), { completed: 0, failed: 0, goesOn: false });
  });

  trial('a piece of the selection that comes again counts once', async ({ store, identities }) => {
    await create(identities, 'd1', 'd2', 'd3');
    await store.create(newJob('j1'), 9);
    const { hold } = await taken(store);
    for (const ids of [
      ['d1', 'd2'],
      ['d1', 'd2', 'd3'],
    ]) {
      assert.equal(await store.select(hold, { keys: keys(...ids), next: undefined }, 2100), true);
    }
    assert.equal(await countsOf(store, 'j1'), 'waiting 3');
    assert.deepEqual(await store.updateTwins(hold, batch), { completed: 3, failed: 0, goesOn: false });
    assert.equal(await countsOf(store, 'j1'), 'completed 3');
  });

  trial('a batch ends when it has taken its time, and goes on', async ({ store, identities }) => {
    await create(identities, 'd1', 'd2', 'd3');
    await store.create(newJob('j1'), 9);
    const { hold } = await taken(store);
    await store.select(hold, { keys: keys('d1', 'd2', 'd3'), next: undefined }, 2100);
    let done = 0;
    for (let turn = 0; turn < 3; turn++) {
      const next = await store.updateTwins(hold, { ...batch, msMax: 0, countMax: turn === 2 ? 9 : 1 });
      done += next?.completed ?? 0;
    }
    assert.equal(done, 3);
  });

  trial('events are kept with what they are of', async ({ store, identities, twins }) => {
    await create(identities, 'd1');
    await store.create(newJob('j1'), 9);
    const { hold } = await taken(store);
    await store.select(hold, { keys: keys('d1', 'none'), next: undefined }, 2100);
    let told = 0;
    twins.watchEvents(() => void told++);
    await store.updateTwins(hold, { ...batch, withTwinEvents: true, withEvents: true });
    assert.ok(told > 0);
    const events = await twins.events(100);
    assert.deepEqual(
      events.map(({ kind, key }) => [kind, key.deviceId]),
      [
        ['update', 'd1'],
        ['job', 'd1'],
        ['job', 'none'],
      ],
    );
    const [, completed, failed] = events.map(({ content }) => JSON.parse(content));
    assert.deepEqual([completed.jobId, completed.status, completed.deviceId], ['j1', 'completed', 'd1']);
    assert.deepEqual([failed.status, failed.error.code], ['failed', '404001']);
  });

  trial('that a device is asked is kept before, once, and what became of it after', async ({ store, reopen }) => {
    await store.create(newJob('j1', { work: method }), 9);
    const { hold } = await taken(store);
    await store.select(hold, { keys: keys('d1', 'd2', 'd3', 'd4'), next: undefined }, 2100);
    assert.deepEqual(await store.waiting('j1', undefined, 3), keys('d1', 'd2', 'd3'));
    assert.deepEqual(await store.waiting('j1', { deviceId: 'd3' }, 3), keys('d4'));
    assert.deepEqual(await store.begin(hold, keys('d1', 'd2', 'none'), 2200), keys('d1', 'd2'));
    assert.deepEqual(await store.begin(hold, keys('d2', 'd3'), 2300), keys('d3'), 'd2 is being asked already');
    assert.equal(await countsOf(store, 'j1'), 'waiting 1, running 3');
    const refused = { kind: 'error', code: 'GatewayTimeout', message: 'no answer' } as const;
    const results: readonly SettledDevice[] = [
      answered('d1'),
      { key: { deviceId: 'd2' }, state: 'waiting' },
      answered('none'),
      answered('d4'),
    ];
    assert.equal(await store.settle(hold, results, records), true);
    assert.equal(await countsOf(store, 'j1'), 'waiting 2, running 1, completed 1');
    assert.deepEqual(await store.waiting('j1', undefined, 9), keys('d2', 'd4'), 'one that was not asked may be asked');
    assert.deepEqual(await store.begin(hold, keys('d2'), 2600), keys('d2'));
    await store.settle(hold, [{ key: { deviceId: 'd2' }, state: 'failed', result: refused }], records);
    // The node goes while d3 is being asked.
    const kept = (await reopen?.()) ?? store;
    const after = await taken(kept, 'n1', { isFirst: true, now: 4000 });
    assert.equal(await countsOf(kept, 'j1'), 'waiting 1, completed 1, failed 1, unknown 1');
    assert.deepEqual(await kept.begin(after.hold, keys('d1', 'd2', 'd3'), 4100), []);
    await kept.settle(after.hold, [answered('d3')], records);
    assert.equal(await countsOf(kept, 'j1'), 'waiting 1, completed 1, failed 1, unknown 1', 'it stays unknown');
  });

  trial('records that become unknown have ended: each has its event', async ({ store, twins }) => {
    await store.create(newJob('j1', { work: method }), 9);
    const { hold } = await taken(store);
    await store.select(hold, { keys: keys('d1', 'd2', 'd3'), next: undefined }, 2100);
    await store.begin(hold, keys('d1', 'd2'), 2200);
    let told = 0;
    twins.watchEvents(() => void told++);
    assert.equal((await taken(store, 'n1', { now: 2300, withEvents: true })).lost, 0, 'it remembers');
    assert.deepEqual([told, await twins.events(9)], [0, []]);
    const other = await taken(store, 'n2', { now: 13_000, withEvents: true });
    assert.equal(other.lost, 2);
    assert.ok(told > 0);
    assert.equal((await taken(store, 'n2', { now: 13_100, withEvents: true, isFirst: true })).lost, 0);
    const kept = (await twins.events(9)).toSorted((a, b) => (a.key.deviceId < b.key.deviceId ? -1 : 1));
    const events = kept.map(({ kind, key, content }) => [kind, key.deviceId, JSON.parse(content)]);
    assert.deepEqual(
      events.map(([kind, id, { status, error, endTimeUtc }]) => [kind, id, status, error.code, Date.parse(endTimeUtc)]),
      ['d1', 'd2'].map((id) => ['job', id, 'unknown', '503001', 13_000]),
    );
  });

  trial(
    'a job that is cancelled begins nobody more; its records are dismissed',
    async ({ store, identities, fleet }) => {
      await create(identities, 'd1', 'd2', 'd3');
      await store.create(newJob('t'), 9);
      await store.create(newJob('m', { work: method, startTime: 1001 }), 9);
      const [twins, methods] = await store.claim(terms('n1'));
      for (const { hold } of [twins, methods]) {
        await store.select(hold, { keys: keys('d1', 'd2', 'd3'), next: undefined }, 2100);
      }
      await store.updateTwins(twins.hold, { ...batch, countMax: 1 });
      await store.begin(methods.hold, keys('d2'), 2200);
      for (const id of ['t', 'm']) assert.equal(await store.cancel(id, 2300), 'cancelled');
      assert.equal(await store.updateTwins(twins.hold, batch), undefined);
      assert.equal(await store.begin(methods.hold, keys('d1'), 2400), undefined);
      assert.equal(await store.select(methods.hold, { keys: keys('d9'), next: undefined }, 2400), false);
      const again = await store.claim(terms('n1', { now: 2500 }));
      assert.deepEqual(
        again.map(({ hold, job }) => [hold.id, job.status]),
        [
          ['t', 'cancelled'],
          ['m', 'cancelled'],
        ],
      );
      for (const { hold } of again) {
        const dismiss = () => store.dismiss(hold, 'cancelled', wasCancelled, { ...records, countMax: 1 });
        assert.deepEqual([await dismiss(), await dismiss(), await dismiss()], [1, 1, 0]);
      }
      assert.equal(await countsOf(store, 't'), 'completed 1, cancelled 2');
      assert.equal(await countsOf(store, 'm'), 'running 1, cancelled 2');
      await store.settle(methods.hold, [answered('d2')], records);
      for (const { hold } of again) assert.equal(await store.end(hold, 'completed', '', 2600), true);
      assert.deepEqual(await store.claim(terms('n1', { now: 2700 })), []);
      assert.equal((await store.find('m', 2700))?.status, 'cancelled');
      const query = parseQuery("SELECT deviceId, status, outcome FROM devices.jobs WHERE devices.jobs.jobId = 'm'");
      const page = await fleet.page({ query, countMax: 10 }, never);
      assert.deepEqual(JSON.parse(page.text), [
        { deviceId: 'd1', status: 'canceled', outcome: { deviceMethodResponse: null } },
        { deviceId: 'd2', status: 'completed', outcome: { deviceMethodResponse: { status: 200, payload: { b: 2 } } } },
        { deviceId: 'd3', status: 'canceled', outcome: { deviceMethodResponse: null } },
      ]);
    },
  );

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
}

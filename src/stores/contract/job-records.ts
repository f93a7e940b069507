import assert from 'node:assert/strict';
import type { SettledDevice } from '../../core/jobs/ports.ts';
import { wasCancelled } from '../../core/jobs/rules.ts';
import { parseQuery } from '../../core/query/statement.ts';
import type { DesiredNote } from '../../core/twins/ports.ts';
import {
  answered,
  batch,
  countsOf,
  create,
  keys,
  method,
  never,
  newJob,
  type RunTrial,
  records,
  taken,
  terms,
} from './job-trial.ts';

/** What becomes of the devices of a job: its records, in every `JobStore`. */
export function jobRecordTrials(trial: RunTrial): void {
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
}

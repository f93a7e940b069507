import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { until } from '../../../test/drivers/until.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { exampleIdentity } from '../contract/identities.ts';
import { type OpenedPostgres, withPostgres } from '../contract/postgres.ts';

/** The database writes down each statement that changes one of the tables, and the rows of it. */
async function watched(open: () => Promise<OpenedPostgres>, names: readonly string[]) {
  const opened = await open();
  await opened.query(`create table seen (nth serial, name text, device_id text);
    create function see_statement() returns trigger language plpgsql as
      $$begin insert into seen (name) values (tg_table_name); return null; end$$;
    create function see_row() returns trigger language plpgsql as
      $$begin insert into seen (name, device_id) values (tg_table_name, new.device_id); return null; end$$;`);
  for (const name of names) {
    await opened.query(`create trigger each_statement after insert or update or delete on ${name}
      for each statement execute function see_statement();
      create trigger each_row after insert or update on ${name} for each row execute function see_row();`);
  }
  const client = new pg.Client({ connectionString: opened.url, options: `-c search_path=${opened.schema}` });
  await client.connect();
  return {
    tables: opened.tables,
    /** Since the last time. */
    async seen(): Promise<{ readonly statements: number; readonly devices: readonly string[] }> {
      const { rows } = await client.query<{ device_id: string | null }>('select device_id from seen order by nth');
      await client.query('delete from seen');
      const devices = rows.flatMap(({ device_id: id }) => id ?? []);
      return { statements: rows.length - devices.length, devices };
    },
    async create(keys: readonly IdentityKey[]) {
      const writes = keys.map((key) => ({
        ...{ kind: 'create' as const, countMax: 10_000 },
        identity: exampleIdentity(key, { generationId: 'g1' }),
      }));
      for (const { kind } of await opened.tables.identities.write(writes)) assert.equal(kind, 'done');
    },
    async [Symbol.asyncDispose]() {
      await client.end();
      await opened.close();
    },
  };
}

const devices = (count: number): readonly IdentityKey[] =>
  Array.from({ length: count }, (_, nth) => ({ deviceId: `d${String(nth).padStart(3, '0')}` }));

/** Resolves when so many transactions that have come to twins wait for another. */
async function waitingFor(opened: OpenedPostgres, count: number): Promise<void> {
  const text = `select from pg_locks where relation = 'twins'::regclass and cardinality(pg_blocking_pids(pid)) > 0
    group by pid`;
  await until(`${count} wait`, async () => (await opened.read(text)).length >= count);
}

withPostgres('twins together', (open) => {
  test('a batch of a job takes as many statements for a hundred twins as for one', async () => {
    await using at = await watched(open, ['twins', 'twin_documents', 'twin_patches', 'twin_events', 'job_devices']);
    const keys = devices(100);
    await at.create(keys);
    const { jobs, twins } = at.tables;
    const counts: number[] = [];
    for (const count of [1, 100]) {
      const id = `job-of-${count}`;
      const change = { kind: 'merge' as const, tags: { count }, desired: { count } };
      await jobs.create(
        {
          ...{ id, condition: '*', work: { kind: 'scheduleUpdateTwin', change }, createdTime: 1, createdBy: 'x' },
          ...{ startTime: 1, maxExecutionMs: 60_000 },
        },
        9,
      );
      const held = await jobs.claim({
        ...{ node: 'n1', isFirst: false, now: 2, leaseMs: 1000, runningMax: 9, withEvents: true },
      });
      const hold = held.find(({ hold }) => hold.id === id)?.hold;
      assert.ok(hold !== undefined);
      // Of some that are not there as well.
      const chosen = [...keys.slice(0, count), { deviceId: 'gone' }, { deviceId: 'gone-too' }];
      await at.seen();
      await jobs.select(hold, { keys: chosen, next: undefined }, 3);
      const terms = { now: 4, countMax: 200, msMax: 60_000, withEvents: true, withTwinEvents: true };
      assert.deepEqual(await jobs.updateTwins(hold, terms), { completed: count, failed: 2, goesOn: false });
      const { statements } = await at.seen();
      counts.push(statements);
    }
    // The twin of the first has its row since.
    assert.ok(counts[1] <= counts[0] + 1, `${counts}`);
    const last = await twins.load(keys[99]);
    assert.deepEqual([last?.twin.tags, last?.twin.desired.version], [{ count: 100 }, 2]);
    const first = await twins.load(keys[0]);
    assert.deepEqual([first?.twin.tags, first?.twin.desired.version], [{ count: 100 }, 3]);
  });

  test('methods of a job are begun and settled by as many statements for a hundred devices as for one', async () => {
    await using at = await watched(open, ['job_devices', 'twin_events']);
    const { jobs } = at.tables;
    const counts: number[] = [];
    for (const count of [1, 100]) {
      const id = `methods-of-${count}`;
      const method = { name: 'reboot', payload: 'null', connectMs: 0, responseMs: 5000 };
      await jobs.create(
        {
          ...{ id, condition: '*', work: { kind: 'scheduleDeviceMethod', method }, createdTime: 1, createdBy: 'x' },
          ...{ startTime: 1, maxExecutionMs: 60_000 },
        },
        9,
      );
      const held = await jobs.claim({
        ...{ node: 'n1', isFirst: false, now: 2, leaseMs: 1000, runningMax: 9, withEvents: true },
      });
      const hold = held.find(({ hold }) => hold.id === id)?.hold;
      assert.ok(hold !== undefined);
      // Backwards: what is asked is asked in this order.
      const keys = devices(count).toReversed();
      await jobs.select(hold, { keys, next: undefined }, 3);
      await at.seen();
      assert.deepEqual(await jobs.begin(hold, [...keys, { deviceId: 'other' }, keys[0]], 4), keys);
      assert.deepEqual(await jobs.begin(hold, keys, 4), [], 'they have been asked');
      const [first, ...others] = keys;
      const answer = { kind: 'answer' as const, status: 200, payload: '1' };
      const results = [
        ...others.map((key) => ({ key, state: 'completed' as const, result: answer })),
        // Nobody has taken it: its turn comes again, whatever is said of it behind that.
        { key: first, state: 'waiting' as const },
        { key: first, state: 'completed' as const, result: answer },
        { key: { deviceId: 'other' }, state: 'completed' as const, result: answer },
      ];
      assert.ok(await jobs.settle(hold, results, { now: 5, withEvents: true }));
      counts.push((await at.seen()).statements);
      const left = { completed: count - 1, waiting: 1, running: 0, failed: 0, cancelled: 0, unknown: 0 };
      assert.deepEqual((await jobs.find(id, 6))?.counts, left);
      assert.deepEqual(await jobs.waiting(id, undefined, 9), [first]);
      assert.deepEqual(await jobs.begin(hold, [first], 6), [first]);
    }
    // Events of those that have ended; the first time none has.
    assert.ok(counts[1] <= counts[0] + 1, `${counts}`);
  });

  test('a step of a job reads the rows of its own devices alone, also of a job that the database has no statistics of', async () => {
    const opened = await open();
    await opened.query(`alter table job_devices set (autovacuum_enabled = off);
      insert into job_devices (job, device_id, module_id, state, asks, created_time, start_time, end_time, result)
        select 'old-' || nth % 20, 'd' || nth, '', 2, 0, 1, 1, 1, '' from generate_series(1, 20000) nth;
      analyze job_devices`);
    const { jobs } = opened.tables;
    const method = { name: 'reboot', payload: 'null', connectMs: 0, responseMs: 5000 };
    const change = { kind: 'merge' as const, tags: { a: 1 } };
    for (const work of [
      { kind: 'scheduleDeviceMethod' as const, method },
      { kind: 'scheduleUpdateTwin' as const, change },
    ]) {
      const id = work.kind;
      await jobs.create(
        { ...{ id, condition: '*', work, createdTime: 1, createdBy: 'x', startTime: 1 }, maxExecutionMs: 60_000 },
        9,
      );
      const held = await jobs.claim({
        ...{ node: 'n1', isFirst: false, now: 2, leaseMs: 1000, runningMax: 9, withEvents: false },
      });
      const hold = held.find((each) => each.hold.id === id)?.hold;
      assert.ok(hold !== undefined);
      const keys = Array.from({ length: 20_000 }, (_, nth) => ({ deviceId: `d${nth}` }));
      await jobs.select(hold, { keys, next: undefined }, 3);
      // What connections have read is counted when they end.
      const read = async (): Promise<number> => {
        const name = `where schemaname = '${opened.schema}' and relname = 'job_devices'`;
        const [row] = await opened.read(`select idx_tup_fetch + seq_tup_read as rows from pg_stat_user_tables ${name}`);
        return Number(row.rows);
      };
      const before = await read();
      const node = await opened.another();
      const some = keys.filter((_, nth) => nth % 500 === 0);
      if (id === 'scheduleDeviceMethod') {
        assert.deepEqual(await node.jobs.begin(hold, some, 4), some);
        const results = some.map((key) => ({ key, state: 'completed' as const }));
        assert.ok(await node.jobs.settle(hold, results, { now: 5, withEvents: false }));
      } else {
        const terms = { now: 4, countMax: 40, msMax: 60_000, withEvents: false, withTwinEvents: false };
        // None of them is there, so that a record of each is kept.
        assert.deepEqual(await node.jobs.updateTwins(hold, terms), { completed: 0, failed: 40, goesOn: true });
      }
      await node.close();
      await until('what was read is counted', async () => (await read()) > before);
      assert.ok((await read()) - before < 1000, `${(await read()) - before} rows for ${some.length} devices`);
    }
    await opened.close();
  });

  test('reports of several twins hold these in the order of their keys, as a job does', async () => {
    await using at = await watched(open, ['twins']);
    const keys = devices(5);
    await at.create(keys);
    const { twins } = at.tables;
    const report = async () => {
      const patch = { text: '{"a":1}', sizeMax: 7 };
      await twins.report(
        keys.toReversed().map((key) => ({ key, generationId: 'g1', patch })),
        { time: 5, withEvents: false },
      );
    };
    await report();
    await at.seen();
    await report();
    const { devices: order } = await at.seen();
    assert.deepEqual(
      order,
      keys.map(({ deviceId }) => deviceId),
    );
  });

  test('reports of several twins that a configuration asks for are marked by one statement', async () => {
    await using at = await watched(open, ['configuration_marks']);
    const keys = devices(5);
    await at.create(keys);
    const { configurations, twins } = at.tables;
    await configurations.create(
      {
        ...{ id: 'c', schemaVersion: '1.0', labels: {}, priority: 1, metrics: {}, etag: '1' },
        ...{ targetCondition: 'properties.reported.a = 1', createdTime: 1, lastUpdatedTime: 1 },
        content: { deviceContent: { 'properties.desired.b': 1 } },
      },
      10,
    );
    await at.seen();
    const patch = { text: '{"a":1}', sizeMax: 7 };
    const seenOf = async (some: readonly IdentityKey[]) => {
      const reports = some.map((key) => ({ key, generationId: 'g1', patch }));
      await twins.report(reports, { time: 5, withEvents: false });
      return at.seen();
    };
    const { statements } = await seenOf(keys.slice(0, 1));
    assert.deepEqual(await seenOf(keys), { statements, devices: keys.map(({ deviceId }) => deviceId) });
    const { marked, changed } = await configurations.step({ countMax: 10, time: 6, withEvents: false });
    assert.deepEqual([marked, changed], [5, 5]);
  });

  test('a job and reports that make the same twin do not wait for each other in a circle', async () => {
    const opened = await open();
    const other = new pg.Client({ connectionString: opened.url, options: `-c search_path=${opened.schema}` });
    await other.connect();
    try {
      const { identities, jobs, twins } = opened.tables;
      const [fresh, old] = devices(2);
      const created = [fresh, old].map((key) => ({
        ...{ kind: 'create' as const, countMax: 10 },
        identity: exampleIdentity(key, { generationId: 'g1' }),
      }));
      await identities.write(created);
      const patch = { text: '{"a":1}', sizeMax: 7 };
      const report = (keys: readonly IdentityKey[]) =>
        twins.report(
          keys.map((key) => ({ key, generationId: 'g1', patch })),
          { time: 5, withEvents: false },
        );
      await report([old]);
      const change = { kind: 'merge' as const, tags: { a: 1 } };
      const plan = { id: 'j', condition: '*', work: { kind: 'scheduleUpdateTwin' as const, change }, createdTime: 1 };
      await jobs.create({ ...plan, createdBy: 'x', startTime: 1, maxExecutionMs: 60_000 }, 9);
      const claim = { node: 'n1', isFirst: false, now: 2, leaseMs: 1000, runningMax: 9, withEvents: false };
      const [{ hold }] = await jobs.claim(claim);
      await jobs.select(hold, { keys: [fresh, old], next: undefined }, 3);

      // A number that was taken stays so, whatever becomes of the transaction.
      await other.query(`create sequence tries;
        create function try() returns trigger language plpgsql as $$begin perform nextval('tries'); return null; end$$;
        create trigger each before insert on twins for each statement execute function try()`);
      await other.query(`begin; select from twins where device_id = '${old.deviceId}' for update`);
      const terms = { now: 4, countMax: 200, msMax: 60_000, withEvents: false, withTwinEvents: false };
      const updated = jobs.updateTwins(hold, terms);
      await waitingFor(opened, 1);
      const reported = report([fresh, old]);
      await waitingFor(opened, 2);
      await other.query('commit');
      assert.deepEqual(await updated, { completed: 2, failed: 0, goesOn: false });
      const { rows } = await other.query('select last_value::int as count from tries');
      assert.deepEqual([(await reported).length, rows[0].count], [2, 2]);
    } finally {
      await other.end();
      await opened.close();
    }
  });

  test('a step of configurations holds twins in the order of their keys, and lets others hold their identities', async () => {
    const opened = await open();
    const other = new pg.Client({ connectionString: opened.url, options: `-c search_path=${opened.schema}` });
    await other.connect();
    try {
      const { identities, configurations, twins } = opened.tables;
      const [walked, marked] = devices(2);
      const created = [walked, marked].map((key) => ({
        ...{ kind: 'create' as const, countMax: 10 },
        identity: exampleIdentity(key, { generationId: 'g1' }),
      }));
      await identities.write(created);
      const tag = { kind: 'merge' as const, tags: { a: 1 } };
      const terms = { ifMatch: '*', time: 4, withEvents: false };
      await twins.change(walked, tag, terms);
      const times = { createdTime: 1, lastUpdatedTime: 1 };
      const wish = {
        id: 'c',
        schemaVersion: '1.0',
        labels: {},
        priority: 1,
        targetCondition: '*',
        metrics: {},
        etag: '1',
      };
      const content = { deviceContent: { 'properties.desired.a': 1 } };
      await configurations.create({ ...wish, ...times, content }, 10);
      await twins.change(marked, tag, terms);

      // As a job that has come to the first of them.
      await other.query('begin; select from identities for key share');
      const hold = (key: IdentityKey) =>
        other.query(`select from twins where device_id = '${key.deviceId}' for update nowait`);
      await hold(walked);
      const step = configurations.step({ countMax: 10, time: 5, withEvents: false });
      await waitingFor(opened, 1);
      await hold(marked);
      await other.query('commit');
      const { marked: marks, walked: walks, changed } = await step;
      assert.deepEqual([marks, walks, changed], [1, 2, 2]);
    } finally {
      await other.end();
      await opened.close();
    }
  });
});

/** The contracts of the table stores over PostgreSQL, and what only several nodes can do to each other. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import { fieldOf } from '../../core/query/fields.ts';
import { parseQuery } from '../../core/query/statement.ts';
import { authorityStoreContract } from '../contract/authorities.ts';
import { commandQueueContract } from '../contract/command-queue.ts';
import { commandQueueModelTest } from '../contract/command-queue-model.ts';
import { configurationStoreContract } from '../contract/configurations.ts';
import { consumerGroupStoreContract } from '../contract/consumer-groups.ts';
import { fileGrantsContract } from '../contract/file-grants.ts';
import { fileRecordsContract } from '../contract/file-records.ts';
import { type FleetTrial, fleetStoreContract } from '../contract/fleet.ts';
import { fleetMatcherContract } from '../contract/fleet-matcher.ts';
import { admitIdentities, newCommand, type OpenedQueue } from '../contract/fresh-queue.ts';
import { exampleIdentity, identityStoreContract } from '../contract/identities.ts';
import { jobRunnersContract } from '../contract/job-runners.ts';
import { jobStoreContract } from '../contract/jobs.ts';
import { liveQueriesContract } from '../contract/live-queries.ts';
import { policyStoreContract } from '../contract/policies.ts';
import { type OpenedPostgres, withPostgres } from '../contract/postgres.ts';
import { presenceStateStoreContract } from '../contract/presence-states.ts';
import { registryJobContract } from '../contract/registry-jobs.ts';
import { routesContract } from '../contract/routes.ts';
import { subscriptionStoreContract } from '../contract/subscriptions.ts';
import { twinStoreContract } from '../contract/twins.ts';
import type { TableStores } from '../tables/stores.ts';

withPostgres('the contracts of all table stores', (open) => {
  const store =
    <Name extends keyof TableStores>(name: Name) =>
    async (): Promise<{ store: TableStores[Name]; close: () => Promise<void> }> => {
      const { tables, close } = await open();
      return { store: tables[name], close };
    };
  identityStoreContract('postgres', store('identities'), 'device');
  authorityStoreContract('postgres', store('authorities'));
  policyStoreContract('postgres', store('policies'));
  consumerGroupStoreContract('postgres', store('consumerGroups'));
  subscriptionStoreContract('postgres', store('subscriptions'));

  presenceStateStoreContract('postgres', async () => {
    const opened = await open();
    const another = await opened.another(systemClock, { node: 'another' });
    const { identities, presenceStates } = opened.tables;
    return {
      store: presenceStates,
      another: another.presenceStates,
      register: async (deviceId, moduleId, generationId) => {
        const identity = exampleIdentity({ deviceId, ...(moduleId !== undefined && { moduleId }) }, { generationId });
        await identities.write([{ kind: 'create', identity, countMax: 1000 }]);
      },
      unregister: async (deviceId) =>
        void (await identities.write([{ kind: 'delete', key: { deviceId }, ifMatch: '*' }])),
      close: async () => {
        await another.close();
        await opened.close();
      },
    };
  });

  fileGrantsContract('postgres', async () => {
    const { tables, close } = await open();
    return { grants: tables.fileGrants, identities: tables.identities, close };
  });
  fileRecordsContract('postgres', async () => {
    const { tables, close } = await open();
    return { records: tables.fileRecords, identities: tables.identities, close };
  });

  const openFleet = async (): Promise<FleetTrial> => {
    const { tables, close } = await open();
    return { ...tables, close };
  };
  configurationStoreContract('postgres', async () => {
    const opened = await open();
    const another = await opened.another();
    const { configurations: store, twins, identities } = opened.tables;
    return {
      ...{ store, twins, identities, another: another.configurations },
      close: async () => {
        await another.close();
        await opened.close();
      },
    };
  });
  registryJobContract('postgres', async () => {
    const { tables, close } = await open();
    const { registryJobs: jobs, registryPages: pages, identities, twins } = tables;
    return { jobs, pages, identities, twins, close };
  });

  routesContract('postgres', async () => {
    const { tables, close } = await open();
    return { routes: tables.routes, cursors: tables.cursors, close };
  });

  fleetStoreContract('postgres', openFleet);
  fleetMatcherContract('postgres', openFleet);
  liveQueriesContract('postgres', openFleet);
  const indexed = [
    ['tags', 'p'],
    ['tags', 'site'],
    ['tags', 'r-s', 'q'],
    ['properties', 'desired', 'q'],
  ].map((path) => fieldOf(path, 'devices') ?? assert.fail('it is a field'));
  const openIndexed = async (): Promise<FleetTrial> => {
    const opened = await open();
    const tables = await opened.another(systemClock, { queryIndexes: indexed });
    return {
      ...tables,
      async close() {
        await tables.close();
        await opened.close();
      },
    };
  };
  fleetStoreContract('postgres with indexes', openIndexed);
  fleetMatcherContract('postgres with indexes', openIndexed);

  jobStoreContract('postgres', async () => {
    const opened = await open();
    const { jobs: store, identities, twins, fleet } = opened.tables;
    return { store, identities, twins, fleet, close: opened.close };
  });
  jobRunnersContract('postgres', async () => {
    const opened = await open();
    const another = await opened.another();
    const { jobs: store, identities, twins, fleet } = opened.tables;
    return {
      ...{ store, another: another.jobs, identities, twins, fleet },
      async close() {
        await another.close();
        await opened.close();
      },
    };
  });

  twinStoreContract('postgres', async () => {
    const opened = await open();
    let again: Awaited<ReturnType<OpenedPostgres['another']>> | undefined;
    return {
      store: opened.tables.twins,
      identities: opened.tables.identities,
      async reopen() {
        await again?.close();
        again = await opened.another();
        return again.twins;
      },
      async close() {
        await again?.close();
        await opened.close();
      },
    };
  });

  commandQueueContract('postgres', async (): Promise<OpenedQueue> => {
    const opened = await open();
    let again: Awaited<ReturnType<OpenedPostgres['another']>> | undefined;
    return {
      queue: opened.tables.commandQueue,
      identities: opened.tables.identities,
      async reopen() {
        again = await opened.another();
        return again.commandQueue;
      },
      async close() {
        await again?.close();
        await opened.close();
      },
    };
  });
  let shared: Promise<OpenedPostgres> | undefined;
  after(async () => (await shared)?.close());
  commandQueueModelTest('postgres', 30, async () => {
    shared ??= open();
    const { commandQueue: queue, identities } = (await shared).tables;
    return { queue, identities, close: () => queue.forget({ deviceId: 'd1' }) };
  });

  test('postgres: two nodes at work on the same queues end every command once, and keep the counts', async () => {
    const opened = await open();
    const other = await opened.another();
    try {
      const queues = [opened.tables.commandQueue, other.commandQueue];
      const devices = Array.from({ length: 4 }, (_, nth) => ({ deviceId: `d${nth}` }));
      await admitIdentities(opened.tables.identities, devices);
      const now = Date.UTC(2026, 0, 1);
      const limits = { ...defaultCommandLimits, queueDepthMax: 1000 };
      const sequences = new Map<string, number[]>(devices.map(({ deviceId }) => [deviceId, []]));
      const handedOver = new Set<string>();
      let ended = 0;
      const COMMANDS = 25;
      await Promise.all(
        queues.flatMap((queue, node) =>
          devices.flatMap((target) => [
            (async () => {
              for (let nth = 0; nth < COMMANDS; nth++) {
                const command = newCommand(`${node}-${nth}`, { target, expiresAt: now + 60_000 });
                const outcome = await queue.enqueue(command, limits, now);
                assert.ok(outcome.kind === 'enqueued');
                sequences.get(target.deviceId)?.push(outcome.sequence);
              }
            })(),
            (async () => {
              for (let round = 0; round < COMMANDS; round++) {
                const tokens = [0, 1, 2].map((at) => `${node} ${target.deviceId} ${round} ${at}`);
                const taken = await queue.lockNext(target, 'g1', { tokens, holder: 'c', lockMs: 60_000 }, now);
                for (const command of taken) {
                  const place = `${target.deviceId} ${command.sequence}`;
                  assert.ok(!handedOver.has(place), `${place} is under one lock at a time`);
                  handedOver.add(place);
                  assert.ok(command.state.kind === 'locked');
                  const settled = await queue.settle(target, command.state.lockToken, 'complete', limits, now);
                  assert.deepEqual(settled, { kind: 'ended', outcome: 'completed' });
                  ended++;
                }
                await queue.sweep(now, 100);
              }
            })(),
          ]),
        ),
      );
      for (const list of sequences.values()) {
        const expected = Array.from({ length: 2 * COMMANDS }, (_, nth) => nth + 1);
        assert.deepEqual(
          list.toSorted((a, b) => a - b),
          expected,
        );
      }
      const totals = await queues[0].totals(now);
      assert.deepEqual([totals.waiting, totals.locked, totals.receipts], [8 * COMMANDS - ended, 0, ended]);
      // Receipts go to one back end each, also when two nodes ask at the same time.
      const seen: number[] = [];
      await Promise.all(
        queues.map(async (queue, node) => {
          for (let round = 0; ; round++) {
            const lockToken = `${node} ${round}`;
            const request = { lockToken, count: 7, lockMs: 60_000, notAfter: now, reader: '', endedBefore: 0 };
            const batch = await queue.lockReceipts(request, now);
            if (batch === undefined) break;
            seen.push(...batch.receipts.map((receipt) => receipt.sequence));
            assert.equal(await queue.settleReceipts(lockToken, 'complete', now), true);
          }
        }),
      );
      assert.equal(new Set(seen).size, seen.length);
      const swept = await Promise.all(queues.map((queue) => queue.sweep(now + 60_000, 1000)));
      const rest = swept.reduce((sum, outcome) => sum + outcome.ended, 0);
      const later = await queues[0].sweep(now + 60_000, 1000);
      assert.equal(rest + later.ended, 8 * COMMANDS - ended);
      assert.equal((await queues[1].totals(now)).waiting, 0);
    } finally {
      await other.close();
      await opened.close();
    }
  });

  test('postgres: a statement that waits too long is refused, and the connection serves the next', async () => {
    const opened = await open();
    const node = await opened.another(systemClock, { statementMs: 2000 });
    const unlock = await opened.lock('policies');
    try {
      await assert.rejects(node.policies.load(), { code: 'ServiceUnavailable' });
    } finally {
      await unlock();
    }
    assert.deepEqual(await node.policies.load(), []);
    await node.close();
    await opened.close();
  });

  test('postgres: a text that it cannot have is refused as such, and not as a fault of the hub', async () => {
    const opened = await open();
    const group = { name: 'a\0b', createdTime: 0 };
    await assert.rejects(opened.tables.consumerGroups.create('hub', group, 10), { code: 'ArgumentInvalid' });
    await opened.close();
  });

  test('postgres: a server that is silent is given up, and the next call goes by a new connection', async () => {
    const opened = await open();
    let isSilent = false;
    const proxy = net.createServer((client) => {
      const { hostname, port } = new URL(opened.url);
      const server = net.connect(Number(port), hostname);
      client.on('data', (bytes) => isSilent || server.write(bytes));
      server.on('data', (bytes) => client.write(bytes));
      for (const [one, other] of [
        [client, server],
        [server, client],
      ]) {
        one.on('error', () => {});
        one.on('close', () => other.destroy());
      }
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const url = new URL(opened.url);
    url.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const node = await opened.another(systemClock, { url: url.href, statementMs: 2000 });
    isSilent = true;
    await assert.rejects(node.policies.load(), { code: 'ServiceUnavailable' });
    isSilent = false;
    assert.deepEqual(await node.policies.load(), []);
    await node.close();
    proxy.close();
    await opened.close();
  });

  test('postgres: a node whose clock is an hour ahead does not end the locks of another', async () => {
    const opened = await open();
    const ahead = await opened.another({ ...systemClock, now: () => Date.now() + 3_600_000 });
    try {
      const { clock, commandQueue } = opened.tables;
      assert.ok(Math.abs(clock.now() - ahead.clock.now()) < 1000);
      const target = { deviceId: 'd1' };
      await admitIdentities(opened.tables.identities, [target]);
      const expiresAt = clock.now() + 600_000;
      await commandQueue.enqueue(newCommand('m', { target, expiresAt }), defaultCommandLimits, clock.now());
      // Nor does it count as ended, in a query, what has its time.
      const query = parseQuery('SELECT cloudToDeviceMessageCount AS count FROM devices');
      const page = await ahead.fleet.page({ query, countMax: 10 }, new AbortController().signal);
      assert.deepEqual(JSON.parse(page.text), [{ count: 1 }]);
      const lock = (token: string) => ({ tokens: [token], holder: 'c', lockMs: 60_000 });
      assert.equal((await commandQueue.lockNext(target, 'g1', lock('a'), clock.now())).length, 1);
      assert.equal((await ahead.commandQueue.lockNext(target, 'g1', lock('b'), ahead.clock.now())).length, 0);
      const outcome = await ahead.commandQueue.settle(target, 'a', 'complete', defaultCommandLimits, ahead.clock.now());
      assert.deepEqual(outcome, { kind: 'ended', outcome: 'completed' });
    } finally {
      await ahead.close();
      await opened.close();
    }
  });

  test('postgres: identities that are asked for at the same time are answered each by itself', async () => {
    const opened = await open();
    const { identities, subscriptions } = opened.tables;
    const keys = Array.from({ length: 700 }, (_, nth) => ({ deviceId: `d${nth}` }));
    const some = keys.filter((_, nth) => nth % 3 > 0);
    await admitIdentities(identities, some);
    await subscriptions.save(some[0], 'g1', [{ filter: 'f', qos: 1 }]);
    await subscriptions.save(some[1], 'g0', [{ filter: 'f', qos: 1 }]);
    const found = await Promise.all(keys.map((key) => identities.get(key)));
    assert.deepEqual(
      found.map((identity) => identity?.deviceId),
      keys.map(({ deviceId }, nth) => (nth % 3 > 0 ? deviceId : undefined)),
    );
    const sessions = await Promise.all(some.map((key) => subscriptions.load(key, 'g1')));
    assert.deepEqual(sessions.map((session) => session?.length).slice(0, 3), [1, undefined, undefined]);
    await opened.close();
  });

  test('postgres: an identity that cannot be read is refused to who asks for it, and to nobody beside', async () => {
    const opened = await open();
    const { identities } = opened.tables;
    const keys = ['d1', 'd2', 'd3'].map((deviceId) => ({ deviceId }));
    await admitIdentities(identities, keys);
    await opened.query(
      `update identities set primary_key = 'damaged', secondary_key = 'damaged' where device_id = 'd2'`,
    );
    const found = await Promise.allSettled(keys.map((key) => identities.get(key)));
    assert.deepEqual(
      found.map((each) => (each.status === 'fulfilled' ? each.value?.deviceId : each.reason.code)),
      ['d1', 'ServiceUnavailable', 'd3'],
    );
    await opened.close();
  });

  test('postgres: an id with a NUL, which no text of PostgreSQL has, is that of nobody, and nothing to who asks beside', async () => {
    const opened = await open();
    const { identities, subscriptions, places } = opened.tables;
    const keys = ['d1', 'd\u0000', 'd3'].map((deviceId) => ({ deviceId }));
    await admitIdentities(identities, [keys[0], keys[2]]);
    const found = await Promise.all(keys.map((key) => identities.get(key)));
    assert.deepEqual(
      found.map((identity) => identity?.deviceId),
      ['d1', undefined, 'd3'],
    );
    assert.deepEqual(await Promise.all(keys.map((key) => subscriptions.load(key, 'g1'))), new Array(3).fill(undefined));
    assert.deepEqual(await Promise.all(keys.map((key) => places.find(key))), new Array(3).fill(undefined));
    await opened.close();
  });

  test('postgres: a table that a newer node changes is read on', async () => {
    const opened = await open();
    const { identities, consumerGroups } = opened.tables;
    await admitIdentities(identities, [{ deviceId: 'd1' }]);
    // Often enough to be parsed once, and the plan to be kept.
    for (let time = 0; time < 12; time++) await identities.get({ deviceId: 'd1' });
    await opened.query(
      `alter table identities add column later text; alter table consumer_groups add column later text`,
    );
    assert.equal((await identities.get({ deviceId: 'd1' }))?.deviceId, 'd1');
    const group = { name: 'g', createdTime: 1 };
    assert.equal(await consumerGroups.create('e', group, 10), 'created');
    assert.equal((await consumerGroups.list('e')).length, 1);
    await opened.close();
  });

  test('postgres: devices that nodes create, change and delete beside each other are counted', async () => {
    const opened = await open();
    const node = await opened.another();
    const nodes = [opened.tables.identities, node.identities];
    const of = (at: number, nth: number) => ({ deviceId: `${at}-${nth}` });
    const nths = Array.from({ length: 40 }, (_, nth) => nth);
    const all = <Result>(work: (at: number, nth: number) => Promise<Result>): Promise<Result[]> =>
      Promise.all(nths.flatMap((nth) => [0, 1].map((at) => work(at, nth))));
    await all((at, nth) =>
      nodes[at].write([{ kind: 'create', identity: exampleIdentity(of(at, nth)), countMax: 1000 }]),
    );
    assert.deepEqual(await nodes[0].counts(), { devices: 80, enabled: 80, disabled: 0 });
    // Each by the other node, whose connections count in parts of their own.
    await all(async (at, nth) => {
      if (nth % 4 === 0) await nodes[1 - at].write([{ kind: 'delete', key: of(at, nth), ifMatch: '*' }]);
      if (nth % 4 !== 1) return;
      const identity = { ...exampleIdentity(of(at, nth)), status: 'disabled' as const };
      await nodes[1 - at].write([{ kind: 'replace', identity, ifMatch: '*' }]);
    });
    assert.deepEqual(await nodes[1].counts(), { devices: 60, enabled: 40, disabled: 20 });
    const more = { kind: 'create', identity: exampleIdentity({ deviceId: 'more' }), countMax: 60 } as const;
    assert.deepEqual(await nodes[0].write([more]), [{ kind: 'full' }]);
    await node.close();
    await opened.close();
  });
});

/** The contracts of the table stores over PostgreSQL, and what only several nodes can do to each other. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import { fieldOf } from '../../core/query/fields.ts';
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
});

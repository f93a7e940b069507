import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { HubError } from '../../src/core/errors.ts';
import type { PolicyPrincipal } from '../../src/core/identity/types.ts';
import { createBulkChanges } from '../../src/server/bulk-changes/bulk-changes.ts';
import { createMemoryHub } from '../drivers/http.ts';

const principal: PolicyPrincipal = {
  kind: 'policy',
  policyName: 'iothubowner',
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};

test('so many changes of many devices go on at once and no more, and so many are told after their end', async () => {
  const { hub } = await createMemoryHub();
  const changes = createBulkChanges({ hub, clock: hub.clock, random: systemRandom, log: silentLog });
  const start = (condition = '*', policyName = 'iothubowner') =>
    changes.start({ ...principal, policyName }, { action: 'disable', condition });
  const refusals = async (policyName: string) => {
    const asked = await Promise.allSettled(
      Array.from({ length: limits.bulkChangesMax + 3 }, () => start('*', policyName)),
    );
    const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    for (const error of refused) assert.ok(error instanceof HubError && error.code === 'ThrottlingException', error);
    return refused.map((error) => error.limit?.name);
  };
  // The holders of one policy leave room for those of another.
  assert.deepEqual(await refusals('iothubowner'), new Array(4).fill('bulkChangesPerPolicyMax'));
  assert.deepEqual(await refusals('registryReadWrite'), new Array(6).fill('bulkChangesMax'));
  await changes.close();
  await assert.rejects(start(), { code: 'ServiceUnavailable' });

  const others = createBulkChanges({ hub, clock: hub.clock, random: systemRandom, log: silentLog });
  // A condition that cannot be read holds no place.
  for (let at = 0; at <= limits.bulkChangesMax; at++) {
    await assert.rejects(
      others.start(principal, { action: 'disable', condition: 'status =' }),
      ({ code }: HubError) => code !== 'ThrottlingException',
    );
  }
  const ids: string[] = [];
  for (let at = 0; at < limits.bulkChangesKeptMax + 2; at++) {
    const { id } = await others.start(principal, { action: 'delete', ids: [`none-${at}`] });
    ids.push(id);
    while (others.get(id).status === 'running') await new Promise(setImmediate);
  }
  assert.deepEqual(
    others
      .list()
      .map(({ id }) => id)
      .toSorted(),
    ids.slice(2).toSorted(),
  );
});

test('one that two ask to go on with at once goes on once', async () => {
  const { hub } = await createMemoryHub();
  const changes = createBulkChanges({ hub, clock: hub.clock, random: systemRandom, log: silentLog });
  const { id } = await changes.start(principal, { action: 'disable', condition: '*' });
  assert.equal((await changes.cancel(id)).status, 'cancelled');
  const asked = await Promise.allSettled([changes.resume(principal, id), changes.resume(principal, id)]);
  assert.deepEqual(asked.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  assert.equal(changes.list().length, 1);
  await changes.close();
});

test('more than a condition is refused before anything is done', async () => {
  const { hub } = await createMemoryHub();
  const changes = createBulkChanges({ hub, clock: hub.clock, random: systemRandom, log: silentLog });
  const condition = "status = 'enabled' GROUP BY status";
  await assert.rejects(changes.start(principal, { action: 'disable', condition }), { code: 'ArgumentInvalid' });
  assert.deepEqual(changes.list(), []);
});

test('a hub that is busy, or whose tables are away, is asked again until it is given up', async () => {
  const clock = new VirtualClock();
  const { hub } = await createMemoryHub();
  let refusals = 0;
  const refuse = (): void => {
    if (refusals-- > 0) throw new HubError('ServiceUnavailable', 'The tables are away.');
  };
  const away = {
    queries: {
      ...hub.queries,
      page: async (...asked: Parameters<typeof hub.queries.page>) => {
        refuse();
        return hub.queries.page(...asked);
      },
    },
    registry: {
      ...hub.registry,
      bulk: async (...asked: Parameters<typeof hub.registry.bulk>) => {
        const told = await hub.registry.bulk(...asked);
        // It is done, and whoever asked does not hear of it.
        refuse();
        return told;
      },
    },
  };
  const changes = createBulkChanges({ hub: away, clock, random: systemRandom, log: silentLog });
  const ended = async (id: string) => {
    while (changes.get(id).status === 'running') {
      await new Promise(setImmediate);
      clock.advance(1000);
    }
    const { status, done, failed, code } = changes.get(id);
    return [status, done, failed, code];
  };
  const ids = Array.from({ length: 150 }, (_, n) => `d-${n}`);
  const made = await changes.start(principal, { action: 'create', ids });
  refusals = 3;
  assert.deepEqual(await ended(made.id), ['completed', 150, 0, undefined]);
  const deleted = await changes.start(principal, { action: 'delete', condition: '*' });
  refusals = 1000;
  assert.deepEqual(await ended(deleted.id), ['failed', 0, 0, 'ServiceUnavailable']);
  refusals = 0;
  const again = await changes.resume(principal, deleted.id);
  refusals = 2;
  // Those of the first page had gone, unheard of.
  assert.deepEqual(await ended(again.id), ['completed', 50, 0, undefined]);
  const stopped = await changes.start(principal, { action: 'create', ids: ['last'] });
  refusals = 1000;
  // It waits for the next try, and does not keep who cancels it waiting.
  await new Promise(setImmediate);
  assert.equal((await changes.cancel(stopped.id)).status, 'cancelled');
});

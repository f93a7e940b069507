import assert from 'node:assert/strict';
import { test } from 'node:test';
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
  const start = (condition = '*') => changes.start(principal, { action: 'disable', condition });
  const asked = await Promise.allSettled(Array.from({ length: limits.bulkChangesMax + 3 }, () => start()));
  const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  assert.equal(refused.length, 3);
  for (const error of refused) assert.ok(error instanceof HubError && error.code === 'ThrottlingException', error);
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

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { HubError } from '../../src/core/errors.ts';
import type { PolicyPrincipal } from '../../src/core/identity/types.ts';
import { deviceBulkRoutes } from '../../src/protocols/http/device-bulk-routes.ts';
import { createMemoryHub } from '../drivers/http.ts';

const principal: PolicyPrincipal = {
  kind: 'policy',
  policyName: 'iothubowner',
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};

test('so many changes of many devices go on at once and no more, and a client that has gone leaves its place', async () => {
  const { hub } = await createMemoryHub();
  const [route] = deviceBulkRoutes(hub);
  const ask = async (signal: AbortSignal, condition = '*') => {
    const request = { principal, body: { action: 'disable', condition }, signal };
    const { stream } = (await route.handle(request as unknown as Parameters<typeof route.handle>[0])) as unknown as {
      stream: AsyncIterable<Uint8Array>;
    };
    return stream;
  };
  const client = new AbortController();
  const asked = await Promise.allSettled(Array.from({ length: limits.bulkChangesMax + 3 }, () => ask(client.signal)));
  const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  assert.equal(refused.length, 3);
  for (const error of refused) assert.ok(error instanceof HubError && error.code === 'ThrottlingException', error);

  const later = new AbortController();
  const [first] = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  for await (const line of first) assert.ok(line.length > 0);
  await ask(later.signal);
  await assert.rejects(ask(later.signal), { code: 'ThrottlingException' });
  client.abort();
  // A condition that cannot be read holds no place.
  for (let at = 0; at <= limits.bulkChangesMax; at++) {
    await assert.rejects(ask(later.signal, 'status ='), ({ code }: HubError) => code !== 'ThrottlingException');
  }
  await ask(later.signal);
});

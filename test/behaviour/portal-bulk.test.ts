/** One change for all devices that a condition is true of, with its progress. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { BulkProgress } from '../../src/api/bulk-change.ts';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { type PortalSession, signIn } from '../drivers/portal.ts';

let hub: TestHub;
let api: ApiClient;
let owner: PortalSession;
const COUNT = 230;

before(async () => {
  hub = await startHub();
  api = apiOf(hub);
  owner = await signIn(hub);
  for (let at = 0; at < COUNT; at += 100) {
    const items = Array.from({ length: Math.min(100, COUNT - at) }, (_, one) => ({
      id: `bulk-${String(at + one).padStart(3, '0')}`,
      importMode: 'create',
      tags: { half: (at + one) % 2 },
    }));
    const made = await owner.fetch('/portal/api/devices', { method: 'POST', json: items });
    assert.equal(made.status, 200, await made.clone().text());
  }
});
after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

async function bulk(json: object): Promise<readonly BulkProgress[]> {
  const answer = await owner.fetch('/portal/api/mooring/v1/devices/bulk', { method: 'POST', json });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as BulkProgress);
}

async function count(where: string): Promise<number> {
  const query = `SELECT COUNT() AS n FROM devices WHERE ${where}`;
  const answer = await owner.fetch('/portal/api/devices/query', { method: 'POST', json: { query } });
  return ((await answer.json()) as { n: number }[])[0].n;
}

test('all devices of a condition are disabled, enabled and deleted, page by page, also while the condition changes', async () => {
  const disabled = await bulk({ action: 'disable', condition: "status = 'enabled'", statusReason: 'on holiday' });
  assert.deepEqual(disabled[0], { total: COUNT, done: 0, failed: 0, failures: [] });
  assert.ok(disabled.length >= 4, 'progress is told page by page');
  assert.deepEqual(disabled.at(-1), { total: COUNT, done: COUNT, failed: 0, failures: [], ended: true });
  assert.equal(await count("status = 'disabled'"), COUNT);
  const one = await api.devices.get('bulk-000');
  assert.equal(one.statusReason, 'on holiday');
  assert.ok((one.authentication.symmetricKey.primaryKey ?? '').length > 10, 'its keys stay');
  const before = one.authentication.symmetricKey.primaryKey;

  await bulk({ action: 'enable', condition: 'tags.half = 0' });
  assert.equal(await count("status = 'enabled'"), COUNT / 2);
  assert.equal((await api.devices.get('bulk-000')).authentication.symmetricKey.primaryKey, before);

  const named = await bulk({ action: 'enable', ids: ['bulk-001', 'none-1', 'bulk-001'] });
  const [, page] = named;
  assert.deepEqual([page.done, page.failed], [1, 1]);
  assert.deepEqual(
    page.failures.map(({ deviceId, code }) => [deviceId, code]),
    [['none-1', 'DeviceNotFound']],
  );

  const absent = await bulk({ action: 'delete', ids: ['none-1'] });
  assert.deepEqual(
    absent.flatMap(({ failures }) => failures.map(({ code }) => code)),
    ['DeviceNotFound'],
  );
  const gone = await bulk({ action: 'delete', condition: '*' });
  assert.equal(gone.at(-1)?.done, COUNT);
  assert.equal(await count('is_defined(deviceId)'), 0);
});

test('what cannot be read is refused before anything is done, and so is who may not', async () => {
  const ask = async (session: PortalSession, json: object) =>
    (await session.fetch('/portal/api/mooring/v1/devices/bulk', { method: 'POST', json })).status;
  for (const json of [
    {},
    { action: 'delete' },
    { action: 'delete', condition: '*', ids: ['x'] },
    { action: 'format', condition: '*' },
    { action: 'delete', ids: [] },
    { action: 'delete', condition: 'deviceId = ' },
    { action: 'delete', condition: '' },
  ]) {
    assert.equal(await ask(owner, json), 400, JSON.stringify(json));
  }
  const reader = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryRead });
  assert.equal(await ask(reader, { action: 'delete', condition: '*' }), 401);
  // It may write, but not look for devices by a query.
  const writer = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryReadWrite });
  assert.equal(await ask(writer, { action: 'delete', condition: '*' }), 401);
  assert.equal(await ask(writer, { action: 'delete', ids: ['none-2'] }), 200);
});

/** One change for all devices that a condition is true of, with its progress. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { BulkProgress } from '../../src/api/bulk-change.ts';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { type PortalSession, signIn } from '../drivers/portal.ts';
import { until } from '../drivers/until.ts';

let hub: TestHub;
let api: ApiClient;
let owner: PortalSession;
const COUNT = 230;
/** Thousands of devices, each on the disk. */
const LONG = { withinMs: 120_000 };

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

const PLACE = '/portal/api/mooring/v1/bulk-changes';

async function begun(json: object): Promise<BulkProgress> {
  const answer = await owner.fetch(PLACE, { method: 'POST', json });
  const text = await answer.text();
  assert.equal(answer.status, 202, text);
  return JSON.parse(text) as BulkProgress;
}

async function of(id: string): Promise<BulkProgress> {
  return (await (await owner.fetch(`${PLACE}/${id}`)).json()) as BulkProgress;
}

/** Asks for a change, looks away, and comes back when it has ended. */
async function bulk(json: object): Promise<BulkProgress> {
  const { id } = await begun(json);
  await until('the change has ended', async () => (await of(id)).status !== 'running', LONG);
  return of(id);
}

async function count(where: string): Promise<number> {
  const query = `SELECT COUNT() AS n FROM devices WHERE ${where}`;
  const answer = await owner.fetch('/portal/api/devices/query', { method: 'POST', json: { query } });
  return ((await answer.json()) as { n: number }[])[0].n;
}

test('all devices of a condition are disabled, enabled, tagged and deleted, also while the condition changes', async () => {
  const disabled = await bulk({ action: 'disable', condition: "status = 'enabled'", statusReason: 'on holiday' });
  const { id: _, startTime, endTime, ...told } = disabled;
  assert.ok(Date.parse(startTime) <= Date.parse(endTime ?? ''));
  assert.deepEqual(told, {
    ...{ action: 'disable', condition: "status = 'enabled'", policyName: 'iothubowner', status: 'completed' },
    ...{ total: COUNT, done: COUNT, failed: 0, failures: [] },
  });
  assert.equal(await count("status = 'disabled'"), COUNT);
  const one = await api.devices.get('bulk-000');
  assert.equal(one.statusReason, 'on holiday');
  assert.ok((one.authentication.symmetricKey.primaryKey ?? '').length > 10, 'its keys stay');
  const before = one.authentication.symmetricKey.primaryKey;

  await bulk({ action: 'enable', condition: 'tags.half = 0' });
  assert.equal(await count("status = 'enabled'"), COUNT / 2);
  const enabled = await api.devices.get('bulk-000');
  assert.equal(enabled.authentication.symmetricKey.primaryKey, before);
  assert.equal(enabled.statusReason, 'on holiday', 'a reason stays where none is given');
  await bulk({ action: 'disable', ids: ['bulk-000'] });
  assert.equal((await api.devices.get('bulk-000')).statusReason, 'on holiday');

  const named = await bulk({ action: 'enable', ids: ['bulk-001', 'none-1', 'bulk-001'] });
  assert.deepEqual([named.total, named.done, named.failed], [2, 1, 1]);
  assert.deepEqual(
    named.failures.map(({ deviceId, code }) => [deviceId, code]),
    [['none-1', 'DeviceNotFound']],
  );

  const tagged = await bulk({ action: 'tag', condition: 'tags.half = 1', tags: { site: 'north', half: null } });
  assert.equal(tagged.done, COUNT / 2);
  assert.equal(await count("tags.site = 'north'"), COUNT / 2);
  assert.equal(await count('tags.half = 1'), 0);

  const made = await bulk({ action: 'create', ids: ['bulk-000', 'new-1'] });
  assert.deepEqual([made.done, made.failures.map(({ code }) => code)], [1, ['DeviceAlreadyExists']]);

  const absent = await bulk({ action: 'delete', ids: ['none-1'] });
  assert.deepEqual(
    absent.failures.map(({ code }) => code),
    ['DeviceNotFound'],
  );
  const gone = await bulk({ action: 'delete', condition: '*' });
  assert.equal(gone.done, COUNT + 1);
  assert.equal(await count('is_defined(deviceId)'), 0);
});

test('what cannot be read is refused before anything is done, and so is who may not', async () => {
  const ask = async (session: PortalSession, json: object) =>
    (await session.fetch(PLACE, { method: 'POST', json })).status;
  for (const json of [
    {},
    { action: 'delete' },
    { action: 'delete', condition: '*', ids: ['x'] },
    { action: 'format', condition: '*' },
    { action: 'delete', ids: [] },
    { action: 'delete', condition: 'deviceId = ' },
    { action: 'delete', condition: '' },
    { action: 'create', condition: '*' },
    { action: 'tag', condition: '*' },
    { action: 'tag', condition: '*', tags: 'north' },
    { action: 'tag', condition: '*', tags: { 'a.b': 1 } },
    { action: 'enable', condition: '*', tags: { a: 1 } },
  ]) {
    assert.equal(await ask(owner, json), 400, JSON.stringify(json));
  }
  const reader = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryRead });
  assert.equal(await ask(reader, { action: 'delete', condition: '*' }), 401);
  assert.equal((await reader.fetch(PLACE)).status, 200);
  // It may write, but not look for devices by a query.
  const writer = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryReadWrite });
  assert.equal(await ask(writer, { action: 'delete', condition: '*' }), 401);
  assert.equal(await ask(writer, { action: 'delete', ids: ['none-2'] }), 202);
  assert.equal((await owner.fetch(`${PLACE}/none`)).status, 404);
});

test('one that is cancelled, or whose hub is killed, says how far it has come and goes on when it is asked to', async () => {
  const ids = Array.from({ length: 2000 }, (_, n) => `many-${n}`);
  const first = await begun({ action: 'create', ids });
  const refused = await owner.fetch(`${PLACE}/${first.id}/resume`, { method: 'POST' });
  assert.equal(refused.status, 412, 'it is running');
  await until('some are made', async () => (await of(first.id)).done > 0);
  const cancelled = (await (
    await owner.fetch(`${PLACE}/${first.id}/cancel`, { method: 'POST' })
  ).json()) as BulkProgress;
  assert.equal(cancelled.status, 'cancelled');
  assert.ok(cancelled.done < ids.length);
  assert.equal(await count("STARTSWITH(deviceId, 'many-')"), cancelled.done);

  const resumed = await owner.fetch(`${PLACE}/${first.id}/resume`, { method: 'POST' });
  assert.equal(resumed.status, 202);
  const second = (await resumed.json()) as BulkProgress;
  assert.equal(second.total, ids.length - cancelled.done);
  await until('more are made', async () => (await of(second.id)).done > 0);
  await hub.kill();
  hub = await hub.restart();
  owner = await signIn(hub);
  const [interrupted, ...others] = (await (await owner.fetch(PLACE)).json()) as BulkProgress[];
  assert.deepEqual([interrupted.id, interrupted.status], [second.id, 'interrupted']);
  assert.ok(others.length > 3 && others.every(({ id }) => id !== first.id), 'those before it are told, too');
  const third = (await (await owner.fetch(`${PLACE}/${second.id}/resume`, { method: 'POST' })).json()) as BulkProgress;
  await until('all are made', async () => (await of(third.id)).status !== 'running', LONG);
  const { status, failed } = await of(third.id);
  assert.deepEqual([status, failed], ['completed', 0]);
  assert.equal(await count("STARTSWITH(deviceId, 'many-')"), ids.length);
  assert.equal((await bulk({ action: 'delete', condition: '*' })).done, ids.length);
});

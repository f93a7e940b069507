/** One file to many devices in waves over a running hub: told by commands, fetched by URL, stopped where too many fail. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { backEndOf } from '../drivers/back-end.ts';
import { type FileDevice, fileDevice, request } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';

interface Rollout {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
  readonly wave: number;
  readonly waiting: number;
  readonly told: number;
  readonly fetched: number;
  readonly failed: number;
}

const bytes = randomBytes(50_000);

/** Waits until the rollout is as wanted. */
async function until(hub: TestHub, id: string, wanted: (rollout: Rollout) => boolean): Promise<Rollout> {
  const ask = await backEndOf(hub);
  for (let tries = 0; ; tries++) {
    const rollout: Rollout = JSON.parse((await ask('GET', `/mooring/v1/file-rollouts/${id}`)).body.toString());
    if (wanted(rollout)) return rollout;
    assert.ok(tries < 600, `still ${JSON.stringify(rollout)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What a device does: takes its command, fetches what the URL in it names, completes the command. */
async function obey(hub: TestHub, device: FileDevice, settle: 'complete' | 'reject' = 'complete'): Promise<Buffer> {
  const command = await device.ask('GET', '/messages/devicebound?api-version=2021-04-12');
  assert.equal(command.status, 200, 'a command waits');
  const { url } = JSON.parse(command.body.toString());
  const lock = encodeURIComponent(String(command.headers.etag).replaceAll('"', ''));
  const reject = settle === 'reject' ? '&reject' : '';
  const settled = await device.ask('DELETE', `/messages/devicebound/${lock}?api-version=2021-04-12${reject}`);
  assert.equal(settled.status, 204);
  if (settle === 'reject') return Buffer.alloc(0);
  const { pathname, search } = new URL(url);
  const { status, body } = await request(hub, 'GET', pathname + search, {});
  assert.equal(status, 200);
  return body;
}

test('waves of a rollout follow each other, over a kill of the hub, until every device has the file', async () => {
  let hub = await startHub();
  try {
    const devices: FileDevice[] = [];
    for (let nth = 0; nth < 5; nth++) devices.push(await fileDevice(hub, `d${nth}`));
    const ask = await backEndOf(hub);
    assert.equal((await ask('PUT', '/mooring/v1/files/fw.bin', { body: bytes })).status, 201);
    const names = devices.map((_, nth) => ({ deviceId: `d${nth}` }));
    const started = await ask('POST', '/mooring/v1/file-rollouts', {
      body: { name: 'fw.bin', devices: names, waveSize: 2, fetchSeconds: 600 },
    });
    assert.equal(started.status, 201, started.body.toString());
    const { id } = JSON.parse(started.body.toString());
    await until(hub, id, ({ told }) => told === 2);
    assert.deepEqual(await obey(hub, devices[0]), bytes);
    await until(hub, id, ({ fetched }) => fetched === 1);
    await hub.kill();
    hub = await hub.restart();
    const before = await until(hub, id, ({ fetched }) => fetched === 1);
    assert.deepEqual([before.wave, before.told, before.waiting], [1, 1, 3], 'd1 keeps the next wave waiting');
    await obey(hub, devices[1]);
    await until(hub, id, ({ wave, told }) => wave === 2 && told === 2);
    for (const nth of [2, 3]) await obey(hub, devices[nth]);
    await until(hub, id, ({ wave, told }) => wave === 3 && told === 1);
    await obey(hub, devices[4]);
    const end = await until(hub, id, ({ state }) => state !== 'running');
    assert.deepEqual([end.state, end.fetched, end.failed], ['finished', 5, 0]);
    const seen = JSON.parse(
      (await (await backEndOf(hub))('GET', `/mooring/v1/file-rollouts/${id}/devices`)).body.toString(),
    );
    assert.deepEqual(
      seen.devices.map(({ state }: { state: string }) => state),
      Array.from({ length: 5 }, () => 'fetched'),
    );
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('a rollout stops where too many devices refuse or are not there', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd0');
  await fileDevice(hub, 'd1');
  const ask = await backEndOf(hub);
  await ask('PUT', '/mooring/v1/files/fw.bin', { body: bytes });
  const names = ['d0', 'none', 'd1'].map((deviceId) => ({ deviceId }));
  const body = { name: 'fw.bin', devices: names, waveSize: 2, failedShareMax: 0.5 };
  const { id } = JSON.parse((await ask('POST', '/mooring/v1/file-rollouts', { body })).body.toString());
  await until(hub, id, ({ told, failed }) => told === 1 && failed === 1);
  await obey(hub, device, 'reject');
  const end = await until(hub, id, ({ state }) => state !== 'running');
  assert.deepEqual([end.state, end.reason, end.waiting], ['stopped', '2 of 2 devices have failed', 1]);
  const api = apiOf(hub);
  const d1 = await api.devices.get('d1');
  assert.equal(d1.cloudToDeviceMessageCount, 0, 'the device of the next wave was not told');
  api.close();
});

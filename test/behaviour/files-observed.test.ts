/** What an operator and a back end see of files: monitoring events, metrics, caps of all transfers together. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { backEndOf } from '../drivers/back-end.ts';
import { fileDevice, request } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';

const asBlob = { 'x-ms-blob-type': 'BlockBlob' };
const KIB = 1024;

async function metricsOf(hub: TestHub): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  const lines = [...text.matchAll(/^mooring_(file\w*) (\S+)$/gm)];
  return Object.fromEntries(lines.map(([, name, value]) => [name, Number(value)]));
}

test('an upload and a download are told, and counted while they wait', async () => {
  await using hub = await startHub();
  await using reader = await MonitoringReader.open(hub);
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  const module = await fileDevice(hub, 'd1', 'm1');
  const before = { files: 0, files_bytes: 0, file_uploads_open: 0, file_notifications_waiting: 0 };
  assert.deepEqual(await metricsOf(hub), before);

  const ticket = await device.begin('log');
  const staged = await device.blob('PUT', ticket, { query: '&comp=block&blockid=QUFB', body: 'block' });
  assert.equal(staged.status, 201);
  assert.deepEqual(await metricsOf(hub), { ...before, files_bytes: 5, file_uploads_open: 1 });
  const list = '<BlockList><Latest>QUFB</Latest></BlockList>';
  assert.equal((await device.blob('PUT', ticket, { query: '&comp=blocklist', body: list })).status, 201);
  const { correlationId } = ticket;
  await device.ask('POST', '/files/notifications?api-version=2020-09-30', { correlationId, isSuccess: true });
  assert.deepEqual(await metricsOf(hub), { ...before, files: 1, files_bytes: 5, file_notifications_waiting: 1 });
  const {
    type,
    time: _,
    schemaVersion: __,
    sequenceNumber: ___,
    ...uploaded
  } = await reader.next((event) => event.type === 'fileUploaded');
  assert.equal(type, 'fileUploaded');
  assert.deepEqual(uploaded, { deviceId: 'd1', correlationId, file: 'd1/log', bytes: 5 });
  const notification = await ask('GET', '/mooring/v1/file-notifications');
  const lock = encodeURIComponent(String(notification.headers.etag).replaceAll('"', ''));
  assert.equal((await ask('DELETE', `/mooring/v1/file-notifications/${lock}`)).status, 204);
  assert.deepEqual(await metricsOf(hub), { ...before, files: 1, files_bytes: 5 });

  const bytes = randomBytes(1000);
  assert.equal((await ask('PUT', '/mooring/v1/files/fw', { body: bytes })).status, 201);
  const body = { name: 'fw', devices: [{ deviceId: 'd1', moduleId: 'm1' }], expiresInSeconds: 60 };
  const [{ id, url }] = JSON.parse((await ask('POST', '/mooring/v1/file-grants', { body })).body.toString()).grants;
  const { pathname, search } = new URL(url);
  assert.equal((await request(hub, 'GET', pathname + search, { range: 'bytes=0-399' })).status, 206);
  // Small ranges on the way are in the receipt, and do not fill the stream.
  for (let at = 400; at < 600; at += 20) {
    assert.equal((await request(hub, 'GET', pathname + search, { range: `bytes=${at}-${at + 19}` })).status, 206);
  }
  const receipt = async () =>
    JSON.parse((await ask('GET', '/mooring/v1/file-grants?name=fw')).body.toString()).grants[0].fetched;
  for (let fetched = await receipt(); fetched.sentBytes < 600; fetched = await receipt());
  assert.ok((await module.ask('GET', '/files/fw')).body.equals(bytes));
  for (const sentBytes of [400, 1000]) {
    const event = await reader.next((each) => each.type === 'fileFetched');
    assert.deepEqual(
      [event.deviceId, event.moduleId, event.correlationId, event.file, event.bytes, event.sentBytes],
      ['d1', 'm1', id, '~hub/fw', 1000, sentBytes],
    );
  }
  assert.equal(reader.all().filter((event) => event.type === 'fileFetched').length, 2);
  assert.deepEqual(await metricsOf(hub), { ...before, files: 2, files_bytes: 1005 });
});

test('the cap of the hub is that of all devices together, in both directions', async () => {
  const rate = 128 * KIB;
  await using hub = await startHub({ args: ['--file-bytes-per-second', '128KiB'] });
  const devices = await Promise.all(['d1', 'd2', 'd3', 'd4'].map((deviceId) => fileDevice(hub, deviceId)));
  const tickets = await Promise.all(devices.map((device) => device.begin('x')));
  const body = randomBytes(rate);
  const timed = async (work: Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await work;
    return performance.now() - start;
  };
  // Four seconds' worth, of which one may come at once; each alone would be done by then.
  const putMs = await timed(
    Promise.all(
      devices.map(async (device, nth) => {
        const put = await device.blob('PUT', tickets[nth], { headers: asBlob, body });
        assert.equal(put.status, 201);
      }),
    ),
  );
  assert.ok(putMs > 2500, `${putMs} ms`);
  const getMs = await timed(
    Promise.all(
      devices.map(async (device, nth) => assert.ok((await device.blob('GET', tickets[nth])).body.equals(body))),
    ),
  );
  assert.ok(getMs > 2500, `${getMs} ms`);
});

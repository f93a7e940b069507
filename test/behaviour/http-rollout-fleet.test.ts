/** One firmware to a hundred devices in waves, of which one goes wrong: what is known of each of them then. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { backEndOf } from '../drivers/back-end.ts';
import { type FileDevice, fileDevice, request } from '../drivers/file-device.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';

const DEVICES = 100;
const WAVE = 20;
/** Devices of the third wave of which the first ones do not take the firmware. */
const BAD_WAVE = 3;
const REFUSING = 6;
const bytes = randomBytes(64 * 1024);
const idOf = (nth: number): string => `dev-${String(nth).padStart(3, '0')}`;

/** What a device does with the command that it finds. @returns false = none waits */
async function play(hub: TestHub, device: FileDevice, does: 'fetch' | 'refuse'): Promise<boolean> {
  const command = await device.ask('GET', '/messages/devicebound?api-version=2021-04-12');
  if (command.status === 204) return false;
  assert.equal(command.headers['iothub-app-mooring-file'], 'fw-7.bin');
  const { url, file } = JSON.parse(command.body.toString());
  assert.equal(file, 'fw-7.bin');
  const { pathname, search } = new URL(url);
  if (does === 'fetch') assert.ok((await request(hub, 'GET', pathname + search, {})).body.equals(bytes));
  const lock = encodeURIComponent(String(command.headers.etag).replaceAll('"', ''));
  const how = does === 'refuse' ? '&reject' : '';
  assert.equal((await device.ask('DELETE', `/messages/devicebound/${lock}?api-version=2021-04-12${how}`)).status, 204);
  return true;
}

test('a hundred devices in waves of twenty: the third fails, the rest are not told, and each has its trail', async (t) => {
  await using hub = await startHub();
  await using reader = await MonitoringReader.open(hub);
  const ask = await backEndOf(hub);
  const json = async (path: string) => JSON.parse((await ask('GET', path)).body.toString());
  const devices: FileDevice[] = [];
  for (let nth = 0; nth < DEVICES; nth++) devices.push(await fileDevice(hub, idOf(nth)));
  assert.equal((await ask('PUT', '/mooring/v1/files/fw-7.bin', { body: bytes })).status, 201);
  const start = {
    name: 'fw-7.bin',
    devices: devices.map((_, nth) => ({ deviceId: idOf(nth) })),
    waveSize: WAVE,
    pauseSeconds: 1,
    fetchSeconds: 600,
    failedShareMax: 0.1,
  };
  const { id } = JSON.parse((await ask('POST', '/mooring/v1/file-rollouts', { body: start })).body.toString());
  const rollout = () => json(`/mooring/v1/file-rollouts/${id}`);
  for (let wave = 1; wave <= BAD_WAVE; wave++) {
    const first = (wave - 1) * WAVE;
    for (let seen = await rollout(); seen.wave < wave || seen.told < WAVE; seen = await rollout()) {
      assert.equal(seen.state, 'running');
    }
    for (let nth = first; nth < first + WAVE; nth++) {
      const isBad = wave === BAD_WAVE && nth < first + REFUSING;
      assert.equal(await play(hub, devices[nth], isBad ? 'refuse' : 'fetch'), true, idOf(nth));
    }
    // Nobody of the next wave is told before this one is over.
    assert.equal(await play(hub, devices[first + WAVE], 'fetch'), false);
  }
  let end = await rollout();
  while (end.state === 'running') end = await rollout();
  assert.deepEqual(
    {
      state: end.state,
      wave: end.wave,
      fetched: end.fetched,
      failed: end.failed,
      told: end.told,
      waiting: end.waiting,
    },
    { state: 'stopped', wave: 3, fetched: 54, failed: REFUSING, told: 0, waiting: 40 },
  );
  assert.equal(end.reason, '6 of 60 devices have failed');

  const { devices: trail } = await json(`/mooring/v1/file-rollouts/${id}/devices?limit=1000`);
  const statesOf = (from: number, to: number): readonly string[] =>
    trail.slice(from, to).map(({ state, reason }: { state: string; reason: string }) => `${state} ${reason}`.trim());
  assert.deepEqual(statesOf(0, 40), Array(40).fill('fetched'));
  assert.deepEqual(statesOf(40, 46), Array(REFUSING).fill('failed the command ended as rejected'));
  assert.deepEqual(statesOf(46, 60), Array(14).fill('fetched'));
  assert.deepEqual(statesOf(60, 100), Array(40).fill('waiting'));

  // The receipts of those who were told, and of nobody else; the stream says the same.
  const { grants } = await json('/mooring/v1/file-grants?name=fw-7.bin&limit=1000');
  const whole = grants.filter(
    (grant: { fetched: { sentBytes: number } | null }) => grant.fetched?.sentBytes === bytes.length,
  );
  assert.deepEqual([grants.length, whole.length], [60, 54]);
  for (let nth = 0; nth < 54; nth++) await reader.next(({ type }) => type === 'fileFetched');
  const fetched = reader.all().filter(({ type }) => type === 'fileFetched');
  assert.deepEqual(
    new Set(fetched.map(({ deviceId }) => deviceId)),
    new Set(
      trail
        .filter(({ state }: { state: string }) => state === 'fetched')
        .map((each: { deviceId: string }) => each.deviceId),
    ),
  );
  assert.equal(await play(hub, devices[60], 'fetch'), false, 'the fourth wave was never told');

  const shown = await runMooring(['file', 'rollout', 'show', id, '--data-dir', hub.dataDir]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /stopped: 6 of 60 devices have failed/);
  assert.match(shown.stdout, /^dev-045 +the command ended as rejected$/m);
  t.diagnostic(`\n${shown.stdout}`);
});

/** Many devices played by the CLI over the real protocol. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCli } from '../drivers/cli.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';

let hub: TestHub;
before(async () => {
  hub = await startHub();
});
after(() => hub[Symbol.asyncDispose]());

const login = (): readonly string[] => ['--data-dir', hub.dataDir, '--json'];
const simulate = (...args: readonly string[]) => runMooring(['simulate', ...login(), ...args]);

async function deviceIds(prefix: string): Promise<readonly string[]> {
  const { stdout } = await runMooring(['device', 'list', ...login()]);
  const devices: { deviceId: string }[] = JSON.parse(stdout);
  return devices.map(({ deviceId }) => deviceId).filter((id) => id.startsWith(prefix));
}

/**
 * All events of devices whose id begins with `prefix`, once `count` different ones are there: what was sent again over a
 * crash may stand there twice.
 */
async function eventsOf(prefix: string, count: number): Promise<readonly { device: string; sequence: number }[]> {
  await using reader = startCli(['monitor', 'events', ...login(), '--from', 'start']);
  const own = (): { device: string; sequence: number }[] =>
    reader
      .lines()
      .map((line) => JSON.parse(line))
      .filter(({ device }) => device.startsWith(prefix))
      .map(({ device, body }) => ({ device, sequence: body.sequence }));
  const different = (): number => new Set(own().map(({ device, sequence }) => `${device} ${sequence}`)).size;
  for (let lines = count; different() < count; lines = reader.lines().length + 1) await reader.printed(lines);
  return own();
}

test('each device sends its messages, the hub has them all, and the devices are gone afterwards', async () => {
  const { code, stdout, stderr } = await simulate(
    '--devices',
    '20',
    '--count',
    '10',
    '--rate',
    '50',
    '--payload',
    '200',
  );
  assert.deepEqual([code, stderr], [0, '']);
  const summary = JSON.parse(stdout);
  assert.deepEqual(
    [summary.devices, summary.connected, summary.sent, summary.acknowledged, summary.unacknowledged, summary.errors],
    [20, 20, 200, 200, 0, 0],
  );
  const { p50, p99, max } = summary.latencyMs;
  assert.ok(p50 > 0 && p50 <= p99 && p99 <= max);
  assert.equal(new Set((await eventsOf('sim-', 200)).map(({ device, sequence }) => `${device} ${sequence}`)).size, 200);
  assert.deepEqual(await deviceIds('sim-'), []);
});

test('a rate is kept, per device or in all', async () => {
  for (const [flag, value] of [
    ['--rate', '10'],
    ['--total-rate', '50'],
  ]) {
    const { stdout } = await simulate('--devices', '5', flag, value, '--duration', '2s');
    const { sent, durationMs } = JSON.parse(stdout);
    const wanted = (50 * durationMs) / 1000;
    // Never more than is due; on a busy machine the last ones may still be owed when the time is over.
    assert.ok(sent <= wanted + 1 && sent >= 0.7 * wanted, `${flag}: ${sent} of ${wanted}`);
  }
});

test('devices that exist already are used with the keys they have, and not deleted', async () => {
  await runMooring(['device', 'create', 'own-1', ...login()]);
  const { code, stdout } = await simulate('--devices', '3', '--count', '2', '--rate', 'max', '--prefix', 'own-');
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).acknowledged, 6);
  assert.deepEqual(await deviceIds('own-'), ['own-1']);
  const kept = await simulate('--devices', '2', '--count', '1', '--rate', 'max', '--prefix', 'own-', '--keep');
  assert.equal(kept.code, 0);
  assert.deepEqual(await deviceIds('own-'), ['own-1', 'own-2']);
});

test('quality of service 0 knows no acknowledgement', async () => {
  const { code, stdout } = await simulate(
    '--devices',
    '2',
    '--count',
    '5',
    '--rate',
    'max',
    '--qos',
    '0',
    '--prefix',
    'q-',
  );
  assert.equal(code, 0);
  const summary = JSON.parse(stdout);
  assert.deepEqual([summary.sent, 'acknowledged' in summary, 'latencyMs' in summary], [10, false, false]);
  assert.equal((await eventsOf('q-', 10)).length, 10);
});

test('Ctrl-C ends it in an orderly way: the summary comes, the devices go', async () => {
  await using run = startCli(['simulate', ...login(), '--devices', '5', '--rate', '20', '--prefix', 'stop-']);
  await eventsOf('stop-', 5);
  run.signal('SIGINT');
  assert.deepEqual(await run.end(), { code: 0, signal: null });
  const summary = JSON.parse(run.stdout());
  assert.ok(summary.sent >= 5);
  assert.equal(summary.acknowledged, summary.sent);
  assert.deepEqual(await deviceIds('stop-'), []);
});

test('devices report and answer methods, beside their telemetry', async () => {
  const args = ['--devices', '3', '--report', '5', '--methods', '--rate', '1', '--prefix', 'twin-'];
  await using run = startCli(['simulate', ...login(), ...args]);
  await eventsOf('twin-', 3);
  const invoked = await runMooring(['method', 'invoke', 'twin-2', 'echo', '--payload', '{"a":[1,null]}', ...login()]);
  assert.equal(invoked.code, 0, invoked.stderr);
  assert.deepEqual(JSON.parse(invoked.stdout), { status: 200, payload: { a: [1, null] } });
  const reported = async (): Promise<number> => {
    const { stdout } = await runMooring(['twin', 'show', 'twin-1', ...login()]);
    return JSON.parse(stdout).properties.reported.reports ?? 0;
  };
  while ((await reported()) < 2);
  run.signal('SIGINT');
  assert.deepEqual(await run.end(), { code: 0, signal: null });
  const { reported: sent, reportsAccepted, reportsRefused, methodsAnswered } = JSON.parse(run.stdout());
  assert.ok(sent >= 6, `${sent}`);
  assert.deepEqual([reportsAccepted, reportsRefused, methodsAnswered], [sent, 0, 1]);
});

test('a disabled device is told with its refusal', async () => {
  await runMooring(['device', 'create', 'shut-1', '--disabled', ...login()]);
  const { code, stdout, stderr } = await simulate('--devices', '1', '--count', '1', '--prefix', 'shut-');
  assert.deepEqual([code, stdout], [1, '']);
  assert.equal(JSON.parse(stderr).code, 'CONNACK5');
});

test('over a crash of the hub every message is acknowledged in the end, and none is missing', async () => {
  await using run = startCli([
    ...['simulate', ...login(), '--devices', '10', '--rate', '20', '--count', '60', '--prefix', 'crash-'],
  ]);
  await eventsOf('crash-', 100);
  await hub.kill();
  hub = await hub.restart();
  assert.deepEqual(await run.end(), { code: 0, signal: null });
  const summary = JSON.parse(run.stdout());
  assert.deepEqual([summary.sent, summary.acknowledged, summary.unacknowledged], [600, 600, 0]);
  assert.ok(summary.errors >= 10);
  const events = await eventsOf('crash-', 600);
  for (const [device, own] of Map.groupBy(events, (event) => event.device)) {
    // At least once: what was not acknowledged before the crash may stand there twice, but nothing may be missing.
    assert.equal(new Set(own.map(({ sequence }) => sequence)).size, 60, device);
  }
});

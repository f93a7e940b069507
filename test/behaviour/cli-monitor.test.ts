/** Events as a person at a terminal sees them come in. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCli } from '../drivers/cli.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';

let hub: TestHub;
before(async () => {
  hub = await startHub();
});
after(() => hub[Symbol.asyncDispose]());

interface Line {
  readonly device: string;
  readonly partition: string;
  readonly sequence: number;
  readonly enqueuedTime: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly system: Readonly<Record<string, string>>;
  readonly bodyEncoding: string;
  readonly body: { readonly device: string; readonly sequence: number };
}

const parsed = (lines: readonly string[]): readonly Line[] => lines.map((line) => JSON.parse(line));
const monitor = (...args: readonly string[]) => startCli(['monitor', 'events', '--data-dir', hub.dataDir, ...args]);
const reading = /Reading \S+, 4 partitions/;

/** Sends `count` messages from each of `devices` devices, and fails when one is not acknowledged. */
async function send(prefix: string, devices: number, count: number, ...more: readonly string[]): Promise<void> {
  const size = ['--devices', String(devices), '--count', String(count), '--rate', 'max'];
  const run = await runMooring(['simulate', '--data-dir', hub.dataDir, '--prefix', prefix, ...size, ...more]);
  assert.equal(run.code, 0, run.stderr);
}

/** Each device’s messages from 1 to `count`, in order, each once. */
function assertComplete(events: readonly Line[], devices: number, count: number): void {
  const byDevice = Map.groupBy(events, (event) => event.device);
  assert.equal(byDevice.size, devices);
  const all = Array.from({ length: count }, (_, at) => at + 1);
  for (const [device, own] of byDevice) {
    assert.deepEqual(
      own.map((event) => event.body.sequence),
      all,
      device,
    );
    assert.equal(new Set(own.map((event) => event.partition)).size, 1);
  }
}

test('what comes in from now on is shown, each event once and in its device’s order, until Ctrl-C', async () => {
  await send('earlier-', 2, 3);
  await using live = monitor();
  await live.noted(reading);
  await send('live-', 10, 20, '--property', 'room=attic', 'floor=2');
  await live.printed(200);
  live.signal('SIGINT');
  assert.deepEqual(await live.end(), { code: 0, signal: null });
  assert.match(live.stderr(), /^200 events in /m);
  assert.equal(live.lines().length, 200);
  assert.doesNotMatch(live.stdout(), /earlier-/);
  assert.match(live.lines()[0], /^\d\d:\d\d:\d\d\.\d{3} {2}live-\d\d {2}\d:\d+ {2}room=attic floor=2 {2}\{"device":/);
});

test('from the start, as JSON lines, with everything that the hub says of an event', async () => {
  await using all = monitor('--json', '--from', 'start');
  await all.printed(206);
  all.signal('SIGTERM');
  assert.deepEqual(await all.end(), { code: 0, signal: null });
  assert.equal(all.stderr(), '');
  const events = parsed(all.lines());
  assertComplete(
    events.filter(({ device }) => device.startsWith('live-')),
    10,
    20,
  );
  assertComplete(
    events.filter(({ device }) => device.startsWith('earlier-')),
    2,
    3,
  );
  const event = events.find(({ device }) => device === 'live-03');
  assert.ok(event !== undefined);
  assert.deepEqual(event.properties, { room: 'attic', floor: '2' });
  assert.equal(event.bodyEncoding, 'json');
  assert.equal(event.system.contentType, 'application/json');
  assert.equal(event.system['iothub-message-source'], 'Telemetry');
  assert.equal(JSON.parse(event.system['iothub-connection-auth-method']).scope, 'device');
  assert.ok(Math.abs(Date.parse(event.enqueuedTime) - Date.now()) < 60_000);
});

test('of one device, and only so many', async () => {
  const args = ['monitor', 'events', '--data-dir', hub.dataDir, '--json', '--from', '1h'];
  const one = await runMooring([...args, '--device', 'live-05', '--count', '20']);
  assert.equal(one.code, 0, one.stderr);
  assertComplete(parsed(one.stdout.trim().split('\n')), 1, 20);
  const two = await runMooring([...args, '--device', 'live-05', 'live-06', '--count', '7']);
  const devices = parsed(two.stdout.trim().split('\n')).map((event) => event.device);
  assert.equal(devices.length, 7);
  assert.ok(devices.every((device) => device === 'live-05' || device === 'live-06'));
});

test('from a time on', async () => {
  const everything = await runMooring([
    ...['monitor', 'events', '--data-dir', hub.dataDir, '--json', '--from', 'start', '--count', '206'],
  ]);
  const times = parsed(everything.stdout.trim().split('\n')).map((event) => Date.parse(event.enqueuedTime));
  const from = times.toSorted((a, b) => a - b)[100];
  const expected = times.filter((time) => time >= from).length;
  await using later = monitor('--json', '--from', new Date(from).toISOString());
  await later.printed(expected);
  // The next event comes behind all of these: when it is here, nothing else was on its way.
  await send('marker-', 1, 1);
  await later.printed(expected + 1);
  const seen = parsed(later.lines());
  assert.equal(seen.length, expected + 1);
  assert.ok(seen.every((event) => Date.parse(event.enqueuedTime) >= from));
});

test('a consumer group that does not exist ends it, with what to do', async () => {
  const { code, stdout, stderr } = await runMooring([
    ...['monitor', 'events', '--data-dir', hub.dataDir, '--consumer-group', 'nobody'],
  ]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /could not be found[\s\S]*mooring consumer-group list/);
});

test('with a lone connection string that may only read, the hub is asked for its event hub', async () => {
  const { connectionStrings, caFile, ports } = hub.endpoints;
  const env = {
    MOORING_CONNECTION_STRING: connectionStrings.service,
    MOORING_CA_FILE: caFile,
    MOORING_AMQPS_PORT: String(ports.amqps),
  };
  const { code, stdout, stderr } = await runMooring(['monitor', 'events', '--from', 'start', '--count', '3'], env);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trim().split('\n').length, 3);
});

test('over a crash of the hub the reading goes on: nothing is left out, nothing comes twice', async () => {
  await using live = monitor('--json');
  await using person = monitor();
  await person.noted(reading);
  await send('before-', 4, 25);
  await live.printed(100);
  await hub.kill();
  await person.noted(/Trying again\./);
  hub = await hub.restart();
  await person.noted(/Reading \S+ again/);
  await send('after-', 4, 25);
  await live.printed(200);
  await send('last-', 1, 1);
  await live.printed(201);
  live.signal('SIGINT');
  assert.deepEqual(await live.end(), { code: 0, signal: null });
  const events = parsed(live.lines());
  assert.equal(events.length, 201);
  assertComplete(
    events.filter(({ device }) => !device.startsWith('last-')),
    8,
    25,
  );
});

/** Commands and receipts as a person at a terminal works with them; the device polls by HTTP. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { DeadLetters, PurgeResult, SentCommand, TrackedCommands } from '../../src/api/commands.ts';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { startCli } from '../drivers/cli.ts';
import { type HttpHub, openHttpHub } from '../drivers/http.ts';
import { type HttpDevice, registerDevice } from '../drivers/http-device.ts';
import { type Finished, runMooring } from '../drivers/hub.ts';

const inbox = '/messages/devicebound';

interface Scene extends AsyncDisposable {
  readonly http: HttpHub;
  readonly clock: VirtualClock;
  readonly device: HttpDevice;
  readonly folder: string;
  /** Where the CLI finds the hub. */
  readonly loginFlags: readonly string[];
  mooring(...args: readonly string[]): Promise<Finished>;
  /** The result under `--json`. */
  json<Result>(...args: readonly string[]): Promise<Result>;
  /** The device takes its next command, waiting for it, and says what becomes of it. */
  settle(settlement: 'complete' | 'reject' | 'leave'): Promise<void>;
}

async function scene(): Promise<Scene> {
  const clock = new VirtualClock(Date.now());
  const http = await openHttpHub({ clock });
  const device = await registerDevice(http, 'd1');
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-cli-'));
  const caFile = path.join(folder, 'ca.pem');
  writeFileSync(caFile, http.tls.ca);
  const login = path.join(folder, 'login.txt');
  writeFileSync(
    login,
    http.connectionString('service').replace('HostName=localhost', `HostName=localhost:${http.door.port}`),
  );
  const loginFlags = ['--login-file', login, '--ca-file', caFile];
  const mooring = (...args: readonly string[]) => runMooring([...args, ...loginFlags]);
  return {
    http,
    clock,
    device,
    folder,
    loginFlags,
    mooring,
    async json(...args) {
      const run = await mooring(...args, '--json');
      assert.equal(run.code, 0, run.stderr);
      return JSON.parse(run.stdout);
    },
    async settle(settlement) {
      let taken = await device.request('GET', inbox);
      while (taken.status !== 200) taken = await device.request('GET', inbox);
      const token = taken.headers.etag.replaceAll('"', '');
      const query = settlement === 'reject' ? '?reject' : '';
      if (settlement !== 'leave') {
        assert.equal((await device.request('DELETE', `${inbox}/${token}${query}`)).status, 204);
      }
    },
    async [Symbol.asyncDispose]() {
      await http[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

test('a command is sent with what the flags say, and the device gets just that', async () => {
  await using stage = await scene();
  const sent = await stage.json<SentCommand>(
    ...['command', 'send', 'd1', '--json-body', '{"interval": 10}', '--ack', 'full', '--ttl', '90s'],
    ...['--message-id', 'm-1', '--correlation-id', 'c-1', '--property', 'a=b=c', '--property', 'empty='],
  );
  assert.deepEqual(sent, { deviceId: 'd1', sequence: 1, messageId: 'm-1' });
  const taken = await stage.device.request('GET', inbox);
  assert.equal(taken.body, '{"interval":10}');
  const { headers } = taken;
  assert.deepEqual(
    ['messageid', 'correlationid', 'ack', 'contenttype', 'app-a', 'app-empty'].map((name) => headers[`iothub-${name}`]),
    ['m-1', 'c-1', 'full', 'application/json', 'b=c', ''],
  );
  assert.equal(Date.parse(headers['iothub-expiry']), stage.clock.now() + 90_000);

  const file = path.join(stage.folder, 'body.bin');
  writeFileSync(file, Buffer.from([1, 2, 255]));
  const fromFile = await stage.mooring('command', 'send', 'd1', '--body-file', file);
  assert.match(fromFile.stderr, /^The command [0-9a-f-]{36} waits for the device, number 2\.\n$/);
  const found = await stage.http.client().commands.find({ deviceId: 'd1' }, { sequence: 2 });
  assert.equal(found.commands[0].bodyBase64, Buffer.from([1, 2, 255]).toString('base64'));
});

test('--wait shows each step as it happens and ends well when the device completes', async () => {
  await using stage = await scene();
  await using cli = startCli([
    'command',
    'send',
    'd1',
    '--body',
    'reboot',
    '--wait',
    '--ack',
    'full',
    ...stage.loginFlags,
  ]);
  await cli.printed(1);
  assert.match(cli.lines()[0], / enqueued$/);
  await stage.settle('complete');
  assert.deepEqual(await cli.end(), { code: 0, signal: null });
  assert.deepEqual(
    cli.lines().map((line) => line.split('  ')[1]),
    ['enqueued', 'handed-over', 'completed'],
  );
  assert.match(cli.stderr(), /receipt waits .* mooring monitor feedback/);
});

test('--wait fails when the device rejects, when nobody takes it in time, and ends on Ctrl-C', async () => {
  await using stage = await scene();
  await using rejected = startCli(['command', 'send', 'd1', '--wait', '--json', ...stage.loginFlags]);
  await stage.settle('reject');
  assert.equal((await rejected.end()).code, 1);
  const result = JSON.parse(rejected.stdout());
  assert.deepEqual([result.state, result.outcome], ['ended', 'rejected']);
  assert.equal(JSON.parse(rejected.stderr()).code, 'rejected');

  const late = await stage.mooring('command', 'send', 'd1', '--message-id', 'late', '--wait', '--timeout', '300ms');
  assert.equal(late.code, 1);
  assert.match(late.stderr, /not ended within 300 ms; it is enqueued\.\n +It waits on: mooring command trail d1 late/);

  await using stopped = startCli(['command', 'send', 'd1', '--wait', ...stage.loginFlags]);
  await stopped.printed(1);
  stopped.signal('SIGINT');
  assert.equal((await stopped.end()).code, 0);
});

test('dead letters are listed, followed and sent again; a queue is purged', async () => {
  await using stage = await scene();
  assert.match((await stage.mooring('command', 'dead-letters', 'd1')).stderr, /^There are none\.\n$/);
  await stage.mooring('command', 'send', 'd1', '--body', 'tä\u0007', '--message-id', 'x', '--property', 'k=v');
  await stage.settle('reject');
  const list = await stage.mooring('command', 'dead-letters', 'd1');
  assert.match(list.stdout, /^SEQUENCE +OUTCOME +ENDED +MESSAGE ID +BODY\n +1 +rejected +\d{4}-\S+ \S+ +x +tä\\x07\n$/);
  const trail = await stage.mooring('command', 'trail', 'd1', 'x');
  assert.match(trail.stdout, /^state +rejected$/m);
  assert.deepEqual(trail.stdout.match(/enqueued|handed-over|rejected$/gm), [
    'rejected',
    'enqueued',
    'handed-over',
    'rejected',
  ]);
  const again = await stage.json<SentCommand>('command', 'send-again', 'd1', '1');
  assert.deepEqual(again, { deviceId: 'd1', sequence: 2, messageId: 'x' });
  const { commands } = await stage.json<TrackedCommands>('command', 'trail', 'd1', 'x');
  assert.deepEqual(
    commands.map(({ sequence, state, properties }) => [sequence, state, properties]),
    [
      [2, 'enqueued', { k: 'v' }],
      [1, 'ended', { k: 'v' }],
    ],
  );
  assert.match((await stage.mooring('command', 'trail', 'd1', 'x')).stdout, / {2}sent-again {2}as command 2$/m);
  assert.deepEqual(await stage.json<PurgeResult>('command', 'purge', 'd1'), { deviceId: 'd1', totalMessagesPurged: 1 });
  assert.match((await stage.mooring('command', 'purge', 'd1')).stderr, /^Purged 0 commands\.\n$/);
  const { commands: dead, isComplete } = await stage.json<DeadLetters>('command', 'dead-letters', 'd1', '--top', '1');
  assert.deepEqual([dead[0].outcome, dead.length, isComplete], ['purged', 1, false]);
  await stage.mooring('command', 'send', 'd1', '--body', 'third', '--message-id', 'y');
  assert.match(
    (await stage.mooring('command', 'list', 'd1', '--top', '3')).stdout,
    /^SEQUENCE +STATE +SENT +MESSAGE ID +BODY\n +3 +enqueued +\d{4}-\S+ \S+ +y +third\n +2 +purged .* x +.*\n +1 +rejected .* x +tä\\x07\n$/,
  );
  const newest = await stage.mooring('command', 'list', 'd1', '--top', '1');
  assert.match(newest.stdout, / third\n$/);
  assert.match(newest.stderr, /^These are the newest 1; there are more\.\n$/);
});

test('receipts are looked at and left, then taken', async () => {
  await using stage = await scene();
  for (const id of ['good', 'bad']) {
    await stage.mooring('command', 'send', 'd1', '--ack', 'full', '--message-id', id);
    await stage.settle(id === 'good' ? 'complete' : 'reject');
  }
  stage.clock.advance(limits.receiptBatchMs);
  const status = (run: Finished): unknown[] =>
    run.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map(({ originalMessageId, statusCode }) => [originalMessageId, statusCode]);
  const both = [
    ['good', 'Success'],
    ['bad', 'Rejected'],
  ];
  assert.deepEqual(status(await stage.mooring('monitor', 'feedback', '--peek', '--json')), both);
  assert.match(
    (await stage.mooring('monitor', 'feedback', '--peek')).stdout,
    / {2}d1 {2}Success {2}good\n.* {2}d1 {2}Rejected {2}bad\n$/,
  );
  assert.deepEqual(status(await stage.mooring('monitor', 'feedback', '--count', '2', '--json')), both);
  const none = await stage.mooring('monitor', 'feedback', '--peek');
  assert.deepEqual([none.code, none.stdout], [0, '']);
});

test('what the hub or the command line refuses is told with what to do', async () => {
  await using stage = await scene();
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['send', 'nobody', '--body', 'x'], 1, /There is no device nobody\.\n +mooring device list/],
    [['send', 'd1', '--ttl', '3d'], 1, /expiry time .* more than 172800 seconds away/],
    [['send', 'd1', '--body', 'x'.repeat(limits.commandBytesMax + 1)], 1, /holds at most 65536 bytes/],
    [['send', 'd1', '--message-id', 'a b'], 1, /message id has at most 128 characters/],
    [['send', 'd1', '--body', 'x', '--json-body', '1'], 2, /cannot be used with option/],
    [['send', 'd1', '--json-body', '{'], 2, /not JSON/],
    [['send', 'd1', '--body-file', 'no-such-file'], 1, /no-such-file cannot be read \(ENOENT\)/],
    [['send', 'd1', '--property', 'x'], 2, /name=value/],
    [['send', 'd1', '--ack', 'maybe'], 2, /Allowed choices are none, positive, negative, full/],
    [['send-again', 'd1', '7'], 1, /Command 7 of d1 is not a dead letter/],
    [['trail', 'd1', 'unheard-of'], 1, /no command with the message id unheard-of/],
  ];
  for (const [args, code, text] of cases) {
    const run = await stage.mooring('command', ...args);
    assert.equal(run.code, code, `${args.join(' ').slice(0, 60)}: ${run.stderr}`);
    assert.match(run.stderr, text);
  }
  for (let at = 0; at < limits.commandQueueDepthMax; at++) {
    await stage.http.client('service').commands.send({ deviceId: 'd1' }, {});
  }
  const full = await stage.mooring('command', 'send', 'd1');
  assert.match(full.stderr, /queue of the device is full.*50 of 50.*\n +The device must take some first/);
});

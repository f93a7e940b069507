import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { runCli } from './main.ts';
import type { Terminal } from './terminal.ts';

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the CLI in a folder without a hub, and gathers what it writes. */
async function run(argv: readonly string[], env: Terminal['env'] = {}): Promise<Run> {
  const texts = { out: '', err: '' };
  const output = (name: 'out' | 'err') => ({
    stream: new Writable({
      write(chunk, _, done) {
        texts[name] += chunk;
        done();
      },
    }),
    isTerminal: false,
    columns: () => 80,
  });
  const code = await runCli(argv, {
    out: output('out'),
    err: output('err'),
    env,
    cwd: import.meta.dirname,
    json: false,
    untilStopped: (work) => work(new AbortController().signal),
  });
  return { code, ...texts };
}

test('help is a result, and names every command', async () => {
  for (const argv of [[], ['--help'], ['help']]) {
    const { code, out, err } = await run(argv);
    assert.deepEqual([code, err], [0, '']);
    for (const name of ['device', 'consumer-group', 'monitor', 'simulate', 'sas', 'ca', 'serve', 'config']) {
      assert.match(out, new RegExp(`^ {2}${name}\\b`, 'm'), name);
    }
  }
  assert.match((await run(['device', 'create', '--help'])).out, /--count.*\n[\s\S]*Login:[\s\S]*Examples:/);
});

test('the version is that of the package', async () => {
  const { code, out } = await run(['--version']);
  assert.equal(code, 0);
  assert.match(out, /^\d+\.\d+\.\d+\n$/);
});

test('no option takes a secret: arguments are seen by everybody on the machine', async () => {
  const pages = ['sas', 'device create', 'device show', 'simulate', 'monitor events', 'ca show'];
  for (const page of pages) {
    const { out } = await run([...page.split(' '), '--help']);
    assert.doesNotMatch(out, /--\S*(key|secret|password|token|connection-string)\S* </, page);
  }
});

test('a wrong command line ends with 2 and says what is wrong', async () => {
  const wrong: readonly (readonly [argv: string, says: RegExp])[] = [
    ['bogus', /unknown command 'bogus'/],
    ['device', /Usage: mooring device/],
    ['device list --bogus', /unknown option '--bogus'/],
    ['device show', /missing required argument 'id'/],
    ['device show a b', /too many arguments/],
    ['device create', /Name the devices/],
    ['device create a --count 3', /not both/],
    ['device create --prefix a', /--prefix goes with --count/],
    ['device create --count 0', /from 1 to/],
    ['device list --status broken', /Allowed choices are enabled, disabled/],
    ['sas --ttl soon', /30s, 10m/],
    ['sas --policy a --device b', /cannot be used with/],
    ['monitor events --from yesterday', /now, start, a time/],
    ['simulate --rate 0', /30\/m or max/],
    ['simulate --qos 2', /It is 0 or 1/],
    ['simulate --rate 1 --total-rate 2', /cannot be used with/],
    ['simulate --property a', /name=value/],
  ];
  for (const [argv, says] of wrong) {
    const { code, out, err } = await run(argv.split(' '));
    assert.deepEqual([code, out], [2, ''], argv);
    assert.match(err, says, argv);
  }
});

test('without a hub the message says where it was looked for and how to name one', async () => {
  const { code, out, err } = await run(['device', 'list']);
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /^error: No hub to log in to: .*endpoints\.json\.\n.*--login-file.*MOORING_CONNECTION_STRING/);
});

test('with --json errors are JSON too', async () => {
  const failed = JSON.parse((await run(['device', 'list', '--json'])).err);
  assert.match(failed.error, /No hub to log in to/);
  assert.match(failed.hint, /mooring serve/);
  const wrong = await run(['device', 'list', '--json', '--bogus']);
  assert.equal(wrong.code, 2);
  assert.deepEqual(JSON.parse(wrong.err), { error: "unknown option '--bogus'" });
});

const key = Buffer.alloc(32, 5).toString('base64');

test('sas signs what the login is for, for as long as asked', async () => {
  const policy = {
    MOORING_CONNECTION_STRING: `HostName=hub.example;SharedAccessKeyName=service;SharedAccessKey=${key}`,
  };
  const before = Math.floor(Date.now() / 1000);
  const token = JSON.parse((await run(['sas', '--json', '--ttl', '10m'], policy)).out);
  const [, seconds] = /&se=(\d+)&skn=service$/.exec(token.token) ?? [];
  assert.match(token.token, /^SharedAccessSignature sr=hub\.example&sig=/);
  assert.ok(Math.abs(Number(seconds) - before - 600) <= 60, seconds);
  assert.deepEqual([token.resource, token.policy], ['hub.example', 'service']);

  const device = { MOORING_CONNECTION_STRING: `HostName=hub.example;DeviceId=d1;SharedAccessKey=${key}` };
  const { code, out } = await run(['sas'], device);
  assert.equal(code, 0);
  assert.match(out, /^SharedAccessSignature sr=hub\.example%2Fdevices%2Fd1&sig=[^&]+&se=\d+\n$/);

  const confined = await run(['sas', '--resource', 'hub.example/devices/d2'], policy);
  assert.match(confined.out, /sr=hub\.example%2Fdevices%2Fd2&/);
});

test('a hub that does not answer is told as such', async () => {
  const env = {
    MOORING_CONNECTION_STRING: `HostName=127.0.0.1:1;SharedAccessKeyName=iothubowner;SharedAccessKey=${key}`,
  };
  const { code, err } = await run(['device', 'list'], env);
  assert.equal(code, 1);
  assert.match(err, /127\.0\.0\.1:1/);
  assert.match(err, /mooring serve/);
  assert.ok(!err.includes(key));
});

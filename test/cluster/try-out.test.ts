/** `npm run cluster`, as somebody who tries it would: a device and a reader at the balancer, and a node that is killed. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Endpoints } from '../../src/api/endpoints.ts';
import { type ClusterDevice, clusterMissing, connectDevice, makeDevice } from '../drivers/cluster.ts';
import { postgresMissing } from '../drivers/postgres.ts';
import { until } from '../drivers/until.ts';

const skip = clusterMissing() ?? false;
const main = path.join(import.meta.dirname, '..', '..', 'scripts', 'cluster', 'main.ts');

async function cluster(context: TestContext, ...args: readonly string[]) {
  const child = spawn(process.execPath, [main, '--free-ports', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  const says = (pattern: RegExp): Promise<void> =>
    until(`it says ${pattern}`, () => pattern.test(output) || child.exitCode !== null, { withinMs: 120_000 });
  const type = async (line: string, answer: RegExp): Promise<string> => {
    const from = output.length;
    child.stdin.write(`${line}\n`);
    await until(`'${line}' is answered by ${answer}`, () => answer.test(output.slice(from)), { withinMs: 60_000 });
    return output.slice(from);
  };
  await says(/^ready$/m);
  const file = /MOORING_LOGIN_FILE=(\S+)/.exec(output)?.[1] ?? '';
  const endpoints = JSON.parse(readFileSync(file, 'utf8')) as Endpoints;
  return { child, says, type, file, endpoints };
}

test('a hub of two nodes to try: a node is killed, and its device comes back through the balancer', {
  skip,
}, async (context) => {
  const { child, says, type, file, endpoints } = await cluster(context, '--nodes', '2');
  assert.match(await type('frobnicate', /none of/), /status, kill/);
  assert.match(await type('kill 7', /which node/), /1 to 2/);
  const lines = await type('status', /node-2 .*pid/);
  assert.equal(lines.match(/ ready /g)?.length, 2, lines);
  await type('hold 1', /is held/);
  const login = (): Endpoints => JSON.parse(readFileSync(file, 'utf8')) as Endpoints;
  assert.match(lines, new RegExp(`node-2 .*:${login().ports.admin}\\b`), 'the login leads to a node that answers');
  await type('go 1', /goes on/);
  assert.match(await type('log 1', /the hub is ready/), /"level":"info"/);

  await makeDevice({ endpoints, ca: readFileSync(endpoints.caFile, 'utf8') }, 'truck-7');
  const send = async ({ client }: ClusterDevice, text: string): Promise<void> => {
    client.publish({ topic: 'devices/truck-7/messages/events/', payload: text, qos: 1, messageId: 1 });
    await client.next('puback');
  };
  const first = await connectDevice({ endpoints }, 'truck-7');
  await send(first, 'before');
  const counts = await type('status', /node-2 .*pid/);
  const at = /node-(\d)\s+ready\s+1 connections/.exec(counts)?.[1];
  assert.ok(at !== undefined, counts);
  await type(`kill ${at}`, /is killed/);
  await first.client.untilClosed();
  const isBack = async (): Promise<boolean> => {
    const again = await connectDevice({ endpoints }, 'truck-7').catch(() => undefined);
    if (again?.returnCode !== 0) return false;
    await send(again, 'after');
    await again.client.disconnect();
    return true;
  };
  await until('the device is let in by the other node', isBack, { everyMs: 500, withinMs: 40_000 });
  const other = at === '1' ? '2' : '1';
  const after = await type('status', /broker-1 .*\n/);
  assert.match(after, new RegExp(`node-${at}\\s+ended`));
  assert.match(await type(`hold ${at}`, /see status/), new RegExp(`node ${at} has ended`));
  assert.match(await type(`go ${other}`, /see status/), /runs/);
  assert.match(await type('start-broker 1', /see status/), /broker 1 runs/, 'no second process on its folder');
  const left = login();
  assert.match(after, new RegExp(`node-${other} .*:${left.ports.admin}\\b`), 'the login leads to a node that runs');

  await type('hold-broker 1', /broker 1 is held/);
  assert.match(await type('status', /broker-1 .*\n/), /broker-1 +held/);
  await type('go-broker 1', /broker 1 goes on/);
  const run = processes().find(({ parent }) => parent === child.pid)?.pid;
  const broker = processes().find(({ parent, args }) => parent === run && args.includes('kafka.Kafka'));
  process.kill(broker?.pid ?? 0, 'SIGKILL');
  await says(/broker 1 has ended by itself \(SIGKILL\)/);
  assert.match(await type('status', /broker-1 .*\n/), /broker-1 +ended/);
  process.kill(Number(/pid (\d+)/.exec(after)?.[1]), 'SIGKILL');
  await says(new RegExp(`node ${other} has ended by itself \\(SIGKILL\\)`));

  const ended = once(child, 'exit');
  child.stdin.write('quit\n');
  assert.deepEqual(await ended, [0, null]);
  assert.ok(!existsSync(file));
});

const endings: Readonly<Record<string, (parts: { front: ChildProcess; run: number }) => void>> = {
  'a signal': ({ front }) => void front.kill('SIGTERM'),
  'a terminal that is closed': ({ front }) => {
    front.stdout?.destroy();
    front.kill('SIGHUP');
  },
  'kill -9 of what runs it': ({ run }) => void process.kill(run, 'SIGKILL'),
  'kill -9 of what clears up behind that': ({ front }) => void front.kill('SIGKILL'),
};
for (const [name, end] of Object.entries(endings)) {
  test(`${name} ends what has been started, at any time, and leaves nothing`, { skip }, async (context) => {
    const front = spawn(process.execPath, [main, '--free-ports', '--nodes', '1'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    context.after(() => front.kill('SIGKILL'));
    let output = '';
    front.stdout.on('data', (chunk) => (output += chunk));
    await until('Kafka is there', () => output.includes('Starting 1 node'), { withinMs: 120_000 });
    const { pid: run, args } = processes().find(({ parent }) => parent === front.pid) ?? assert.fail('it runs');
    const folder = /--folder (\S+)/.exec(args)?.[1] ?? assert.fail(args);
    const started = processes().filter(({ parent }) => parent === run);
    assert.ok(
      started.some((each) => each.args.includes('kafka.Kafka')),
      'a broker runs',
    );
    end({ front, run });
    const isThere = (pid: number): boolean => processes().some((each) => each.pid === pid);
    await until('all of it has ended', () => ![run, ...started.map(({ pid }) => pid)].some(isThere), {
      everyMs: 250,
      withinMs: 60_000,
    });
    await until('its folder is gone', () => !existsSync(folder), { withinMs: 20_000 });
  });
}

test('what it does not know is said in one line, and nothing is left', { skip }, () => {
  for (const [args, said] of [
    [['--frob'], /^cluster: Unknown option '--frob'.*\n$/],
    [['--nodes', '0'], /^cluster: --nodes takes a number from 1 to 9\n$/],
  ] as const) {
    const place = mkdtempSync(path.join(tmpdir(), 'mooring-try-out-'));
    const env = { ...process.env, TMPDIR: place };
    const { status, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env, input: '' });
    assert.equal(status, 2);
    assert.match(stderr, said);
    assert.deepEqual(readdirSync(place), []);
    rmSync(place, { recursive: true });
  }
});

test('the database of tests ends with the script that started it, also where that is killed', {
  skip: postgresMissing() ?? false,
}, async (context) => {
  const script = path.join(main, '..', '..', 'postgres-for-tests.sh');
  const shell = spawn('bash', [script, 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] });
  context.after(() => shell.kill('SIGKILL'));
  const children = () => processes().filter(({ parent }) => parent === shell.pid);
  await until('the command runs', () => children().some(({ args }) => args === 'cat'), {
    everyMs: 250,
    withinMs: 60_000,
  });
  const server = children().find(({ args }) => args.includes('unix_socket_directories')) ?? assert.fail();
  const folder = /unix_socket_directories=(\S+)/.exec(server.args)?.[1] ?? assert.fail(server.args);
  shell.kill('SIGKILL');
  await until('server and folder are gone', () => !existsSync(folder), { withinMs: 30_000 });
  assert.throws(() => process.kill(server.pid, 0), { code: 'ESRCH' });
});

function processes(): readonly { readonly pid: number; readonly parent: number; readonly args: string }[] {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8', maxBuffer: 16 * 2 ** 20 });
  return stdout.split('\n').flatMap((line) => {
    const [, pid, parent, args] = /^ *(\d+) +(\d+) (.*)$/.exec(line) ?? [];
    return args === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), args }];
  });
}

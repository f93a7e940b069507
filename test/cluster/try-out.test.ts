/** `npm run cluster`, as somebody who tries it would: a device and a reader at the balancer, and a node that is killed. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Endpoints } from '../../src/api/endpoints.ts';
import { type ClusterDevice, clusterMissing, connectDevice, makeDevice } from '../drivers/cluster.ts';
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
  const left = JSON.parse(readFileSync(file, 'utf8')) as Endpoints;
  assert.match(after, new RegExp(`node-${other} .*:${left.ports.admin}\\b`), 'the login leads to a node that runs');

  await type('hold-broker 1', /broker 1 is held/);
  assert.match(await type('status', /broker-1 .*\n/), /broker-1 +held/);
  await type('go-broker 1', /broker 1 goes on/);
  process.kill(Number(/pid (\d+)/.exec(after)?.[1]), 'SIGKILL');
  await says(new RegExp(`node ${other} has ended by itself \\(SIGKILL\\)`));

  const ended = once(child, 'exit');
  child.stdin.write('quit\n');
  assert.deepEqual(await ended, [0, null]);
  assert.ok(!existsSync(file));
});

test('a signal at any time ends what has been started and leaves nothing', { skip }, async (context) => {
  const child = spawn(process.execPath, [main, '--free-ports', '--nodes', '1'], { stdio: ['pipe', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  const folders = (): readonly string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('mooring-'));
  await until('Kafka is there', () => output.includes('Starting 1 node'), { withinMs: 120_000 });
  const brokers = brokersOf(child.pid as number);
  assert.equal(brokers.length, 1);
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
  assert.match(output, /Ending everything/);
  for (const { pid, folder } of brokers) {
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    assert.ok(!folders().includes(folder), folder);
  }
});

/** Brokers that a process has started, with their folders. */
function brokersOf(parent: number): readonly { readonly pid: number; readonly folder: string }[] {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' });
  return stdout.split('\n').flatMap((line) => {
    const [, pid, ppid, folder] = /^ *(\d+) +(\d+) .*kafka\.Kafka \S*(mooring-kafka-[^/]+)\//.exec(line) ?? [];
    return Number(ppid) === parent ? [{ pid: Number(pid), folder }] : [];
  });
}

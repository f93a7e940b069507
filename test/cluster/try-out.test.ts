/** `npm run cluster`, as somebody who tries it would: a device and a reader at the balancer, and a node that is killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
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
  return { child, type, file, endpoints };
}

test('a hub of two nodes to try: a node is killed, and its device comes back through the balancer', {
  skip,
}, async (context) => {
  const { child, type, file, endpoints } = await cluster(context, '--nodes', '2');
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
  assert.match(await type('status', /node-2 .*pid/), new RegExp(`node-${at}\\s+ended`));

  const ended = once(child, 'exit');
  child.stdin.write('quit\n');
  assert.deepEqual(await ended, [0, null]);
  assert.ok(!existsSync(file));
});

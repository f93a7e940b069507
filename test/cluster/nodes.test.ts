/** Two nodes of one hub: what one is asked reaches devices of the other, and a device has one connection in all of them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ownerOf } from '../drivers/back-end.ts';
import {
  clusterMissing,
  connectDevice,
  makeDevice,
  startCluster,
  subscribeAll,
  type TestCluster,
} from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: nodes of a cluster (${missing})\n`);
const skip = missing ?? false;

let cluster: TestCluster;
let a: TestHub;
let b: TestHub;

before(async () => {
  if (skip) return;
  cluster = await startCluster({ nodes: 2 });
  [a, b] = cluster.nodes;
});
after(() => cluster?.[Symbol.asyncDispose]());

test('a command, a method and a twin change that one node is asked for reach a device of the other', {
  skip,
}, async () => {
  await makeDevice(b, 'd1');
  const { client } = await connectDevice(a, 'd1');
  await subscribeAll(client, 'd1');
  const ask = await ownerOf(b);

  const sent = await ask('POST', '/mooring/v1/devices/d1/commands', { body: { bodyText: 'hello' } });
  assert.ok(sent.status < 300, sent.body.toString());
  const command = await client.next('publish');
  assert.match(command.topic, /^devices\/d1\/messages\/devicebound\//);
  client.send({ cmd: 'puback', messageId: command.messageId });

  const asked = ask('POST', '/twins/d1/methods?api-version=2021-04-12', {
    body: { methodName: 'who', payload: 7, responseTimeoutInSeconds: 10 },
  });
  const method = await client.next('publish');
  const rid = method.topic.slice(method.topic.indexOf('?') + 1);
  client.publish({ topic: `$iothub/methods/res/200/?${rid}`, payload: '"me"' });
  const answer = await asked;
  assert.deepEqual(JSON.parse(answer.body.toString()), { status: 200, payload: 'me' });

  await ask('PATCH', '/twins/d1?api-version=2021-04-12', { body: { properties: { desired: { n: 1 } } } });
  const desired = await client.next('publish');
  assert.deepEqual(JSON.parse(desired.payload.toString()), { n: 1, $version: 2 });

  const twin = JSON.parse((await ask('GET', '/twins/d1?api-version=2021-04-12')).body.toString());
  assert.equal(twin.connectionState, 'Connected');
  client.destroy();
});

test('a device that connects at another node is taken over there, and is at one node only', { skip }, async () => {
  await makeDevice(a, 'd2');
  const first = await connectDevice(a, 'd2');
  assert.equal(first.returnCode, 0);
  const second = await connectDevice(b, 'd2');
  assert.equal(second.returnCode, 0);
  await first.client.untilClosed();
  await second.client.ping();
  const third = await connectDevice(a, 'd2');
  await second.client.untilClosed();
  await third.client.ping();
  third.client.destroy();
});

test('a device that one node disables is cut off at the other before the answer, and is not let in again', {
  skip,
}, async () => {
  await makeDevice(a, 'd3');
  const { client } = await connectDevice(a, 'd3');
  let isCut = false;
  void client.closed.then(() => {
    isCut = true;
  });
  const ask = await ownerOf(b);
  const device = JSON.parse((await ask('GET', '/devices/d3?api-version=2021-04-12')).body.toString());
  const { status } = await ask('PUT', '/devices/d3?api-version=2021-04-12', {
    headers: { 'if-match': '*' },
    body: { ...device, status: 'disabled' },
  });
  assert.equal(status, 200);
  await until('it is cut off', () => isCut, { withinMs: 1000 });
  for (const node of [a, b]) assert.notEqual((await connectDevice(node, 'd3')).returnCode, 0);
  await ask('PUT', '/devices/d3?api-version=2021-04-12', {
    headers: { 'if-match': '*' },
    body: { ...device, status: 'enabled' },
  });
  for (const node of [a, b]) {
    const again = await connectDevice(node, 'd3');
    assert.equal(again.returnCode, 0);
    again.client.destroy();
  }
});

/** Two nodes of one hub: what one is asked reaches devices of the other, and a device has one connection in all of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import rhea from 'rhea';
import { parseConnectionString } from '../../src/api/connection-string.ts';
import { limits } from '../../src/base/limits.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { apiOf } from '../drivers/api.ts';
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
import { readToEnd } from '../reliability/event-reader.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: nodes of a cluster (${missing})\n`);
const skip = missing ?? false;

let cluster: TestCluster;
let a: TestHub;
let b: TestHub;

before(async () => {
  if (skip) return;
  cluster = await startCluster({ nodes: 2, args: ['--event-sources', 'twinChangeEvents'] });
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

test('readers share a partition over both nodes, and an epoch at one displaces those of the other', {
  skip,
}, async () => {
  const parts = parseConnectionString(a.endpoints.connectionStrings.eventHubsEmulator);
  const address = `${parts.get('entitypath')}/ConsumerGroups/$Default/Partitions/0`;
  const [one, other] = await Promise.all(
    [a, b].map((node) =>
      AmqpDriver.connect(node.endpoints.ports.amqp ?? 0, {
        username: parts.get('sharedaccesskeyname') ?? '',
        password: parts.get('sharedaccesskey') ?? '',
      }),
    ),
  );
  const shared = Array.from({ length: 5 }, (_, at) => [one, other][at % 2].receive(address, named(`r${at}`)));
  await Promise.all(shared.map((each) => each.opened()));
  const sixth = await other.receive(address, named('r5')).ending();
  assert.match(sixth.description, /maximum number of allowed receivers/);
  const owner = other.receive(address, named('owner', 1));
  for (const each of shared) {
    assert.match((await each.ending()).description, /^New receiver 'owner' with higher epoch of '1'/);
  }
  await owner.opened();
  const lower = await one.receive(address, named('lower', 0)).ending();
  assert.match(lower.description, /^Receiver 'owner' with a higher epoch '1' already exists/);
  const equal = one.receive(address, named('equal', 1));
  assert.match((await owner.ending()).description, /^New receiver 'equal'/);
  await equal.opened();
  await Promise.all([one.close(), other.close()]);
});

test('both nodes show certificates of one authority, a session of one is resumed at the other, and a new authority is known to both', {
  skip,
}, async () => {
  assert.equal(a.ca, b.ca);
  const open = (node: TestHub, more: tls.ConnectionOptions): Promise<{ socket: tls.TLSSocket; session: Buffer }> =>
    new Promise((resolve, reject) => {
      const port = node.endpoints.ports.mqtts ?? 0;
      const socket = tls.connect({ port, host: 'localhost', ca: a.ca, maxVersion: 'TLSv1.2', ...more });
      socket.once('error', reject);
      let session: Buffer | undefined;
      socket.once('session', (given: Buffer) => {
        session = given;
      });
      socket.once('secureConnect', () => setImmediate(() => resolve({ socket, session: session ?? Buffer.alloc(0) })));
    });
  const first = await open(a, {});
  first.socket.destroy();
  const second = await open(b, { session: first.session });
  assert.equal(second.socket.isSessionReused(), true);
  second.socket.destroy();
  const ask = await ownerOf(a);
  const offered = await ask('POST', '/mooring/v1/server-authority/offer');
  assert.ok(offered.status < 300, offered.body.toString());
  const certificates = (node: TestHub): number =>
    readFileSync(node.endpoints.caFile, 'utf8').match(/BEGIN CERTIFICATE/g)?.length ?? 0;
  assert.equal(certificates(a), 2);
  await until('the other node has it', () => certificates(b) === 2);
  assert.equal(readFileSync(a.endpoints.caFile, 'utf8'), readFileSync(b.endpoints.caFile, 'utf8'));
});

test('events of twins are published once, whichever node has made the change', { skip }, async () => {
  for (const [at, node] of [a, b].entries()) {
    const ask = await ownerOf(node);
    for (let n = 0; n < 5; n++) {
      await ask('PATCH', '/twins/d1?api-version=2021-04-12', { body: { tags: { at, n } } });
    }
  }
  const told = async (): Promise<string[]> => {
    const bodies: string[] = [];
    const { ports, connectionStrings } = a.endpoints;
    const place = { port: ports.amqp ?? 0, connectionString: connectionStrings.eventHubsEmulator };
    await readToEnd(place, new Map(), (event) => {
      const { tags } = JSON.parse(event.body.toString() || '{}');
      if (tags !== undefined) bodies.push(`${tags.at ?? ''} ${tags.n}`);
    });
    return bodies;
  };
  await until('all are there', async () => (await told()).length >= 10, { everyMs: 200 });
  assert.equal((await told()).length, 10);
});

test('routes that are changed at one node are in force at the other at once', { skip }, async (t) => {
  const api = apiOf(a);
  const took: number[] = [];
  // By itself the other node looks once in `routesLookMs`: each change comes just behind a look, and would wait for the next one.
  while (took.length < 5) {
    const { number } = await api.routes.replace({ routes: [{ name: `all${took.length}`, endpoint: 'events' }] });
    const answered = performance.now();
    const isThere = (): boolean => b.stderr().includes(`"number":${number},"routes"`);
    await until('the other node has them', isThere, { everyMs: 5 });
    took.push(performance.now() - answered);
  }
  t.diagnostic(`in force at the other node after ${took.map(Math.round).join(', ')} ms`);
  const [middle] = took.sort((one, other) => one - other).slice(2);
  assert.ok(middle < limits.routesLookMs / 2, `${middle} ms`);
  await api.routes.replace({});
  api.close();
});

const named = (name: string, epoch?: number): Record<string, unknown> => {
  const { types } = rhea as unknown as { types: Record<string, (value: unknown) => unknown> };
  return {
    properties: {
      'com.microsoft:receiver-name': name,
      ...(epoch === undefined ? {} : { 'com.microsoft:epoch': types.wrap_long(epoch) }),
    },
  };
};

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { AmqpDriver, RawAmqp, within } from '../drivers/amqp.ts';
import { type AmqpTestHub, HUB_NAME, openAmqpTestHub } from '../drivers/amqp-door.ts';

const source = `${HUB_NAME}/ConsumerGroups/$Default/Partitions/0`;

/** Whether events can be read over this connection. */
async function reads(hub: AmqpTestHub, client: AmqpDriver, from = source): Promise<boolean> {
  await hub.append(0, ['event']);
  const receiver = client.receive(from);
  receiver.credit(1);
  return Promise.race([receiver.received(1).then(() => true), receiver.detached.then(() => false)]);
}

test('a connection opens without SASL, with ANONYMOUS and with MSSBCBS, and reads after a put-token', async () => {
  await using hub = await openAmqpTestHub();
  for (const options of [
    {},
    { username: 'anonymous' },
    { sasl_mechanisms: mechanism('MSSBCBS') },
    { sasl_mechanisms: mechanism('EXTERNAL') },
  ]) {
    const client = await AmqpDriver.connect(hub.port, options);
    const answer = await client.putToken(hub.token());
    assert.equal(answer.application_properties?.['status-code'], 202);
    assert.equal(await reads(hub, client), true);
    await client.close();
  }
});

test('PLAIN lets in a policy with its key and a policy with its token', async () => {
  await using hub = await openAmqpTestHub();
  const token = hub.token({ resource: 'localhost' });
  for (const [username, password] of [
    ['service', hub.key('service')],
    ['iothubowner', hub.key('iothubowner')],
    ['service@sas.root.localhost', token],
    [`service@sas.root.${HUB_NAME}`, token],
  ]) {
    const client = await AmqpDriver.connect(hub.port, { username, password });
    assert.equal(await reads(hub, client), true, username);
    await client.close();
  }
});

test('PLAIN refuses every wrong credential in the same way, and the log says why without it', async () => {
  await using hub = await openAmqpTestHub();
  const wrong = [
    ['service', hub.key('device')],
    ['nobody', hub.key('service')],
    ['service@sas.root.localhost', hub.token({ lifeMs: -3_600_000 })],
    ['service@sas.root.localhost', hub.token({ policyName: 'device', resource: 'localhost' })],
    ['service@sas.root.elsewhere', hub.token({ resource: 'localhost' })],
    ['service@sas.root.localhost', 'no token'],
    ['d1@sas.localhost', hub.token({ resource: 'localhost/devices/d1' })],
  ];
  const answers = new Set<string>();
  for (const [username, password] of wrong) {
    const raw = await RawAmqp.connect(hub.port);
    raw.write(Buffer.from('AMQP\x03\x01\x00\x00', 'latin1'), saslPlain(username, password));
    await raw.end();
    answers.add(raw.received.toString('hex'));
    assert.ok(!hub.lines.some((line) => line.includes(password)), 'the log does not hold what was tried');
  }
  assert.equal(answers.size, 1, 'all answers are the same bytes');
  assert.equal(hub.lines.filter((line) => line.includes('AMQP peer refused')).length, wrong.length);
});

test('a token that is wrong, expired or of a policy that may not read is refused, and nothing can be read', async () => {
  await using hub = await openAmqpTestHub();
  const client = await AmqpDriver.connect(hub.port);
  const refused = [
    hub.token({ key: 'bm90IHRoZSBrZXk=' }),
    hub.token({ lifeMs: -3_600_000 }),
    hub.token({ policyName: 'unknown', key: 'x' }),
    hub.token({ resource: 'sb://other.host/x' }),
    'SharedAccessSignature',
    '',
  ];
  const descriptions = new Set<unknown>();
  for (const token of refused) {
    const { application_properties: answer } = await client.putToken(token);
    assert.equal(answer?.['status-code'], 401);
    assert.equal(answer?.['error-condition'], 'amqp:unauthorized-access');
    descriptions.add(answer?.['status-description']);
  }
  assert.equal(descriptions.size, 1);
  const early = client.receive(source);
  assert.equal((await early.ending()).condition, 'amqp:unauthorized-access');
  const { application_properties: answer } = await client.putToken(hub.token({ policyName: 'device' }));
  assert.equal(answer?.['status-code'], 202);
  const notAllowed = client.receive(source);
  assert.equal((await notAllowed.ending()).condition, 'amqp:unauthorized-access');
  await client.putToken(hub.token());
  assert.equal(await reads(hub, client), true);
  await client.close();
});

for (const [client, resource] of [
  ['Java', `amqp://localhost/${HUB_NAME}/ConsumerGroups/$Default/Partitions/0`],
  ['Go, .NET', `amqps://localhost/${HUB_NAME}`],
  ['with a port', `amqps://localhost:5671/${HUB_NAME}/ConsumerGroups/$Default`],
  ['a whole namespace', 'amqps://localhost'],
  ['without a scheme', `localhost/${HUB_NAME}`],
]) {
  test(`an Event Hubs client signs with the key's text whatever it writes before the host: ${client}`, async () => {
    await using hub = await openAmqpTestHub();
    const driver = await AmqpDriver.connect(hub.port);
    const audience = `amqps://localhost/${source}`;
    const { application_properties: answer } = await driver.putToken(hub.token({ resource, form: 'text' }), audience);
    assert.equal(answer?.['status-code'], 202, 'what Rust takes, and all the others');
    assert.equal(await reads(hub, driver), true);
    await driver.close();
  });
}

test('an event hub whose name is a word of the REST API is an event hub to its clients', async () => {
  for (const name of ['twins', 'jobs', 'configurations', 'files', 'mooring', 'digitaltwins', 'statistics']) {
    await using hub = await openAmqpTestHub({ name });
    const partition = `${name}/ConsumerGroups/$Default/Partitions/0`;
    for (const prefix of ['sb://localhost/', 'amqps://localhost:5671/', 'localhost/']) {
      const client = await AmqpDriver.connect(hub.port);
      const token = hub.token({ resource: `${prefix}${name}`, form: 'text' });
      const { application_properties: answer } = await client.putToken(token, `${prefix}${partition}`);
      assert.equal(answer?.['status-code'], 202, `${prefix}${partition}`);
      assert.equal(await reads(hub, client, partition), true, partition);
      await client.close();
    }
  }
});

test("the hub's own addresses are answered 200: two service SDKs take nothing else", async () => {
  await using hub = await openAmqpTestHub();
  const client = await AmqpDriver.connect(hub.port);
  for (const audience of ['localhost', 'https://localhost', 'amqps://localhost:5671/', 'localhost/devices/d1']) {
    const answer = await client.putToken(hub.token({ policyName: 'iothubowner', resource: 'localhost' }), audience);
    assert.equal(answer.application_properties?.['status-code'], 200, audience);
  }
  await client.close();
});

test('a management request brings its own token, where the connection has none or one of a partition only', async () => {
  await using hub = await openAmqpTestHub();
  const resource = `amqp://localhost/${HUB_NAME}/$management`;
  const properties = { operation: 'READ', name: HUB_NAME, type: 'com.microsoft:eventhub' };
  for (const partitionFirst of [false, true]) {
    const client = await AmqpDriver.connect(hub.port);
    const partition = `sb://localhost/${source}`;
    if (partitionFirst) await client.putToken(hub.token({ resource: partition }), partition);
    const ask = await client.node('$management');
    const statusOf = async (security_token?: string): Promise<unknown> => {
      const message = await ask({
        application_properties: { ...properties, ...(security_token && { security_token }) },
      });
      return message.application_properties?.['status-code'];
    };
    assert.equal(await statusOf(), 401);
    for (const wrong of [
      'SharedAccessSignature',
      hub.token({ resource, key: 'bm90IHRoZSBrZXk=' }),
      hub.token({ resource, lifeMs: -3_600_000 }),
      hub.token({ policyName: 'registryRead', resource }),
      hub.token({ resource: partition }),
    ]) {
      assert.equal(await statusOf(wrong), 401, wrong.replace(/sig=[^&]*/, ''));
    }
    assert.equal(await statusOf(hub.token({ resource })), 200);
    assert.equal(await statusOf(), 200, 'it counts for the requests that follow');
    if (!partitionFirst) assert.equal((await client.receive(source).ending()).condition, 'amqp:unauthorized-access');
    await client.close();
  }
});

test('a put-token is answered with the id of its request in its own type', async () => {
  await using hub = await openAmqpTestHub();
  const client = await AmqpDriver.connect(hub.port);
  const ask = await client.node('$cbs');
  const { types } = client.connection.container as unknown as { types: Record<string, (value: unknown) => unknown> };
  const uuid = Buffer.alloc(16, 7);
  for (const id of ['text', types.wrap_ulong(5), types.wrap_uuid(uuid), types.wrap_binary(Buffer.of(1, 2))]) {
    const answer = await ask({
      message_id: id as string,
      application_properties: { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: 'localhost' },
      body: hub.token({ resource: 'localhost' }),
    });
    const expected = typeof id === 'object' ? (id as { value: unknown }).value : id;
    assert.deepEqual(answer.correlation_id, expected);
    assert.equal(answer.application_properties?.['status-description'], 'OK');
  }
  await client.close();
});

test('a request that is no put-token is refused as such', async () => {
  await using hub = await openAmqpTestHub();
  const client = await AmqpDriver.connect(hub.port);
  const ask = await client.node('$cbs');
  for (const request of [
    { body: 'x' },
    { application_properties: { operation: 'delete-token' }, body: 'x' },
    { application_properties: { operation: 'put-token' }, body: 'x' },
    { application_properties: { operation: 'put-token', name: 'localhost' }, body: 5 as unknown as string },
  ]) {
    const answer = await ask(request);
    assert.equal(answer.application_properties?.['status-code'], 400);
  }
  await client.close();
});

test('when a token ends, what it allowed ends; a renewed one goes on', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock });
  const expiring = await AmqpDriver.connect(hub.port);
  await expiring.putToken(hub.token({ lifeMs: 60_000 }));
  const renewing = await AmqpDriver.connect(hub.port);
  await renewing.putToken(hub.token({ lifeMs: 60_000 }), 'sb://localhost/myhub');
  const [lost, kept] = [expiring.receive(source), renewing.receive(source)];
  await Promise.all([lost.opened(), kept.opened()]);
  await renewing.putToken(hub.token({ lifeMs: 3_600_000 }), 'sb://localhost/myhub');
  // Five minutes of clock difference are allowed (device reference 1.5); nobody may be silent for so long.
  const signsOfLife = await Promise.all([expiring.node('$cbs'), renewing.node('$cbs')]);
  for (const ms of [179_000, 180_000]) {
    clock.advance(ms);
    await Promise.all(signsOfLife.map((ask) => ask({ body: 'x' })));
  }
  assert.equal(lost.link.is_open(), true);
  clock.advance(3_000);
  assert.equal((await within('the end', expiring.ended)).condition, 'amqp:unauthorized-access');
  assert.equal(kept.link.is_open(), true);
  assert.equal(await reads(hub, renewing), true);
  await renewing.close();
});

test('a connection that has expired under PLAIN is dropped', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock });
  const password = hub.token({ resource: 'localhost', lifeMs: 60_000 });
  const client = await AmqpDriver.connect(hub.port, { username: 'service@sas.root.localhost', password });
  const ask = await client.node('$management');
  for (const ms of [180_000, 179_000]) {
    clock.advance(ms);
    await ask({ body: 'x' });
  }
  clock.advance(3_000);
  assert.equal((await within('the end', client.ended)).condition, 'amqp:unauthorized-access');
});

test('who does not open or authenticate in time is shown out', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock });
  const silent = await RawAmqp.connect(hub.port);
  const unproved = await AmqpDriver.connect(hub.port);
  const proved = await AmqpDriver.connect(hub.port);
  await proved.putToken(hub.token());
  clock.advance(31_000);
  await silent.end();
  assert.equal((await within('the end', unproved.ended)).condition, 'amqp:unauthorized-access');
  assert.equal(await reads(hub, proved), true);
  await proved.close();
});

function mechanism(name: string): unknown {
  return { [name]: () => ({ start: (answer: (error: undefined, response: string) => void) => answer(undefined, '') }) };
}

function saslPlain(user: string, password: string): Buffer {
  const response = Buffer.from(`\0${user}\0${password}`);
  const head = Buffer.from([0xa3, 5, ...Buffer.from('PLAIN'), 0xb0, 0, 0, 0, 0]);
  head.writeUInt32BE(response.length, head.length - 4);
  const list = Buffer.alloc(9);
  list[0] = 0xd0;
  list.writeUInt32BE(4 + head.length + response.length, 1);
  list.writeUInt32BE(2, 5);
  const body = Buffer.concat([Buffer.of(0x00, 0x53, 0x41), list, head, response]);
  const frame = Buffer.concat([Buffer.alloc(4), Buffer.of(2, 1, 0, 0), body]);
  frame.writeUInt32BE(frame.length, 0);
  return frame;
}

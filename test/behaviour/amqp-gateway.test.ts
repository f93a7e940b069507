/** The AMQP door as a gateway uses it: batches of many devices on one link, and questions about them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import rhea, { type Message } from 'rhea';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { BatchWriter, type ForwardedMessage } from '../../src/wire/gateway/batch.ts';
import { PARTLY_REFUSED, readRefused } from '../../src/wire/gateway/refused.ts';
import { AmqpDriver, bodyText, type Outcome } from '../drivers/amqp.ts';
import { type AmqpTestHub, HUB_NAME, openAmqpTestHub, type TestDevice } from '../drivers/amqp-door.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of types
const { message: messages } = rhea as any;

const CREATED = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

function batchOf(...batch: readonly (Partial<ForwardedMessage> & { readonly deviceId: string })[]): Message {
  const writer = new BatchWriter();
  for (const message of batch) writer.add({ created: CREATED, properties: [], body: Buffer.from('x'), ...message });
  return { body: messages.data_section(writer.finish(6)) };
}

/** A client that has proved the policy `device` for all devices, or what is given. */
async function gateway(hub: AmqpTestHub, given: Parameters<AmqpTestHub['token']>[0] = {}): Promise<AmqpDriver> {
  const client = await AmqpDriver.connect(hub.port, {});
  const resource = 'localhost/devices';
  const token = hub.token({ policyName: 'device', resource, ...given });
  const { application_properties: answer } = await client.putToken(token, given.resource ?? resource);
  assert.equal(answer?.['status-code'], 200);
  return client;
}

async function events(hub: AmqpTestHub): Promise<readonly Message[]> {
  const reader = await AmqpDriver.connect(hub.port, { username: 'service', password: hub.key('service') });
  const { firstSequence, lastSequence } = hub.telemetry.lastKnown(0);
  const receiver = reader.receive(`${HUB_NAME}/ConsumerGroups/$Default/Partitions/0`);
  receiver.credit(1000);
  const found = await receiver.received(lastSequence - firstSequence + 1);
  await reader.close();
  return found;
}

const refusedOf = (outcome: Outcome): unknown => {
  assert.ok(typeof outcome !== 'string', `the outcome is ${outcome}`);
  assert.equal(outcome.condition, PARTLY_REFUSED);
  return readRefused(outcome.info.refused as Buffer);
};

test('a batch of many devices is stored in order, each with who sent it and when', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  await hub.device('d1');
  await hub.device('d2', 'm1');
  const client = await gateway(hub);
  const sender = client.send('gateway/messages/events');
  await sender.opened();
  const outcome = await sender.outcome(
    batchOf(
      { deviceId: 'd1', body: Buffer.from('one'), messageId: 'a', contentType: 'text/plain', properties: [['k', 'v']] },
      { deviceId: 'd2', moduleId: 'm1', body: Buffer.from('two'), created: CREATED + 1 },
      { deviceId: 'd1', body: Buffer.from('three'), properties: [['iothub-connection-device-id', 'forged']] },
    ),
  );
  assert.equal(outcome, 'accepted');
  const found = await events(hub);
  assert.deepEqual(found.map(bodyText), ['one', 'two', 'three']);
  const annotations = found.map(({ message_annotations: noted }) => [
    noted?.['iothub-connection-device-id'],
    noted?.['iothub-connection-module-id'],
    noted?.['iothub-connection-auth-method'],
  ]);
  const auth = '{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}';
  assert.deepEqual(annotations, [
    ['d1', undefined, auth],
    ['d2', 'm1', auth],
    ['d1', undefined, auth],
  ]);
  assert.deepEqual(
    found.map(({ application_properties: own }) => own?.['iothub-connection-device-id']),
    [undefined, undefined, undefined],
  );
  assert.deepEqual([found[0].message_id, found[0].content_type], ['a', 'text/plain']);
  assert.equal(found[0].application_properties?.k, 'v');
  const times = found.map(({ application_properties: own }) => own?.['iothub-creation-time-utc']);
  assert.deepEqual(times, [
    new Date(CREATED).toISOString(),
    new Date(CREATED + 1).toISOString(),
    new Date(CREATED).toISOString(),
  ]);
  await client.close();
});

test('what is refused of a batch is named, and keeps back nothing else', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  const device = await hub.device('d1');
  await hub.device('off');
  await hub.hub.registry.put(hub.owner, { deviceId: 'off', status: 'disabled' }, '*');
  const client = await gateway(hub);
  const sender = client.send('gateway/messages/events');
  await sender.opened();
  const outcome = await sender.outcome(
    batchOf(
      { deviceId: 'nobody' },
      { deviceId: 'd1', body: Buffer.from('good') },
      { deviceId: 'off' },
      { deviceId: 'd1', body: Buffer.alloc(limits.telemetryBytesMax + 1) },
      {
        deviceId: 'd1',
        properties: Array.from({ length: limits.messagePropertiesMax + 1 }, (_, at) => [`p${at}`, '']),
      },
      { deviceId: 'd1', body: Buffer.from('good too') },
    ),
  );
  assert.deepEqual(refusedOf(outcome), [
    { at: 0, kind: 'unknown' },
    { at: 2, kind: 'disabled' },
    { at: 3, kind: 'tooLarge' },
    { at: 4, kind: 'invalid' },
  ]);
  assert.deepEqual((await events(hub)).map(bodyText), ['good', 'good too']);
  // All of it refused; and a device that is deleted and made again is another one.
  assert.deepEqual(refusedOf(await sender.outcome(batchOf({ deviceId: 'nobody' }))), [{ at: 0, kind: 'unknown' }]);
  await hub.hub.registry.delete(hub.owner, device.id);
  assert.deepEqual(refusedOf(await sender.outcome(batchOf({ deviceId: 'd1' }))), [{ at: 0, kind: 'unknown' }]);
  await hub.device('d1');
  assert.equal(await sender.outcome(batchOf({ deviceId: 'd1', body: Buffer.from('new') })), 'accepted');
  const generations = (await events(hub)).map(
    ({ message_annotations: noted }) => noted?.['iothub-connection-auth-generation-id'],
  );
  assert.equal(generations[0], generations[1]);
  assert.notEqual(generations[1], generations[2]);
  // Bytes that are no batch are refused as a whole, and the link lives on.
  const wrong = await sender.outcome({ body: messages.data_section(Buffer.from('nonsense')) });
  assert.equal((wrong as { condition: string }).condition, 'com.microsoft:argument-error');
  assert.equal(await sender.outcome(batchOf({ deviceId: 'd1' })), 'accepted');
  await client.close();
});

test('batches of a link are stored one after the other, however they are sent ahead', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  for (let n = 0; n < 20; n++) await hub.device(`d${n}`);
  const client = await gateway(hub);
  const sender = client.send('gateway/messages/events');
  await sender.opened();
  const bodies = Array.from({ length: 30 }, (_, n) => Buffer.from(String(n)));
  const sent = bodies.map((body, n) =>
    sender.outcome(batchOf({ deviceId: 'd0', body }, { deviceId: `d${n % 20}`, body })),
  );
  assert.deepEqual([...new Set(await Promise.all(sent))], ['accepted']);
  const found = (await events(hub)).map(bodyText);
  assert.deepEqual(
    found,
    bodies.flatMap((body) => [body.toString(), body.toString()]),
  );
  await client.close();
});

test('a gateway proves a policy with DeviceConnect for all devices; its link lives by its newest token', async () => {
  const clock = new VirtualClock();
  await using hub = await openAmqpTestHub({ partitions: 1, clock });
  const device = await hub.device('d1');
  const refused = async (client: AmqpDriver, address = 'gateway/messages/events'): Promise<string> => {
    const { condition } = await client.send(address).ending();
    await client.close();
    return condition;
  };
  const own = await AmqpDriver.connect(hub.port, {});
  await own.putToken(device.token(), device.resource);
  assert.equal(await refused(own), 'amqp:unauthorized-access');
  assert.equal(await refused(await AmqpDriver.connect(hub.port, {})), 'amqp:unauthorized-access');
  assert.equal(
    await refused(await gateway(hub, { policyName: 'service', resource: 'localhost' })),
    'amqp:unauthorized-access',
  );
  const narrow = { resource: 'localhost/devices/d1' };
  assert.equal(await refused(await gateway(hub, narrow)), 'amqp:unauthorized-access');
  assert.equal(await refused(await gateway(hub, narrow), '$gateway'), 'amqp:unauthorized-access');

  const client = await gateway(hub, { lifeMs: 60_000 });
  const sender = client.send('gateway/messages/events');
  await sender.opened();
  assert.equal(await sender.outcome(batchOf({ deviceId: 'd1' })), 'accepted');
  clock.advance(50_000);
  const renewal = hub.token({ policyName: 'device', resource: 'localhost/devices', lifeMs: 600_000 });
  await client.putToken(renewal, 'localhost/devices');
  // In steps: a silent connection would be ended for that.
  const pass = async (stepMs: number): Promise<Outcome> => {
    clock.advance(stepMs);
    return Promise.race([sender.outcome(batchOf({ deviceId: 'd1' })), sender.ending()]);
  };
  for (let passed = 0; passed < 60_000 + limits.clockSkewMs; passed += 100_000) {
    assert.equal(await pass(100_000), 'accepted');
  }
  for (let passed = 0; passed < 600_000; passed += 100_000) if ((await pass(100_000)) !== 'accepted') break;
  const ended = await Promise.race([sender.ending(), client.ended]);
  assert.equal(ended.condition, 'amqp:unauthorized-access');
});

test('a gateway asks whether a device has proved itself, and nothing of it is kept', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  const device: TestDevice = await hub.device('d1');
  const other = await hub.device('d2');
  await hub.device('off');
  await hub.hub.registry.put(hub.owner, { deviceId: 'off', status: 'disabled' }, '*');
  const client = await gateway(hub);
  const ask = await client.node('$gateway');
  const judge = async (device: string, kind: string, body: unknown = ''): Promise<unknown> => {
    const { application_properties: answer } = await ask({
      application_properties: { operation: 'judge', device, kind },
      body,
    });
    return answer?.['status-code'];
  };
  assert.equal(await judge('d1', 'token', device.token()), 200);
  assert.equal(await judge('d1', 'token', other.token()), 401);
  assert.equal(await judge('nobody', 'token', device.token()), 401);
  assert.equal(await judge('d1', 'vouched'), 200);
  assert.equal(await judge('nobody', 'vouched'), 401);
  assert.equal(await judge('off', 'vouched'), 403);
  assert.equal(await judge('d1', 'word of honour'), 400);
  assert.equal(await judge('d1', 'certificate', messages.data_section(Buffer.from('x'))), 400);
  assert.equal(await judge('d1', 'certificate', messages.data_section(Buffer.from([1, 0]))), 401);
  await client.close();
});

test('a gateway makes a device that it has seen, where its policy may write the registry', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  const create = async (policyName: string, device: string): Promise<unknown> => {
    const client = await gateway(hub, { policyName, resource: 'localhost' });
    const ask = await client.node('$gateway');
    const { application_properties: answer } = await ask({ application_properties: { operation: 'create', device } });
    await client.close();
    return answer?.['status-code'];
  };
  assert.equal(await create('device', 'seen'), 401);
  assert.equal(await create('iothubowner', 'seen'), 200);
  assert.equal((await hub.hub.registry.get(hub.owner, { deviceId: 'seen' })).status, 'enabled');
  assert.equal(await create('iothubowner', 'seen'), 409);
  assert.equal(await create('iothubowner', 'seen/m1'), 400);
});

test('a batch of few bytes that names much is taken in pieces, and no faster than the disk takes it', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  await hub.device('d1');
  const client = await gateway(hub);
  const sender = client.send('gateway/messages/events');
  await sender.opened();
  const long = { deviceId: 'd1', properties: [['a', 'x'.repeat(200_000)]] as const };
  const batch = batchOf(...Array.from({ length: 600 }, () => long), { deviceId: 'nobody' });
  const { writer } = hub.telemetry;
  let most = 0;
  let isOver = false;
  const look = (): void => {
    most = Math.max(most, writer.pendingBytes);
    if (!isOver) setImmediate(look);
  };
  look();
  assert.deepEqual(refusedOf(await sender.outcome(batch)), [{ at: 600, kind: 'unknown' }]);
  isOver = true;
  // What was taken in the turn in which the log was full comes on top.
  assert.ok(most < writer.pendingBytesMax + 2_000_000, `${most} bytes waited for the disk`);
  const { firstSequence, lastSequence } = hub.telemetry.lastKnown(0);
  assert.equal(lastSequence - firstSequence + 1, 600);
  await client.close();
});

test('a message of a batch that says to be made out of the calendar is stored without that time', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  await hub.device('d1');
  const client = await gateway(hub);
  const sender = client.send('gateway/messages/events');
  await sender.opened();
  // Times are told as differences, which add up to more than one of them can be.
  const late = [4.4e15, 8.8e15].map((created) => ({ deviceId: 'd1', created }));
  assert.equal(await sender.outcome(batchOf(...late)), 'accepted');
  const [, { application_properties: own }] = await events(hub);
  assert.equal(own?.['iothub-creation-time-utc'], undefined);
  await client.close();
});

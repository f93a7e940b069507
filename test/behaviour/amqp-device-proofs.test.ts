/** Devices on one connection for AMQP: each with its own proof, which ends, is renewed or is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { AmqpDriver, bodyText } from '../drivers/amqp.ts';
import { authenticate, commandsOf, connected, data, events, isConnected, sendCommand } from '../drivers/amqp-device.ts';
import { HUB_NAME, numbers, openAmqpTestHub, type TestDevice } from '../drivers/amqp-door.ts';

test('one connection carries many devices, each with its own proof: none opens the address of another', async () => {
  await using hub = await openAmqpTestHub();
  const devices = await Promise.all(numbers(20).map((number) => hub.device(`d${number}`)));
  const stranger = await hub.device('stranger');
  const module = await hub.device('d0', 'm1');
  const client = await connected(hub, ...devices);
  const senders = devices.map((device) => client.send(device.address('messages/events')));
  const receivers = await Promise.all(devices.map((device) => commandsOf(client, device)));
  const sent = await Promise.all(senders.map((sender, at) => sender.outcome({ body: data(`from ${at}`) as never })));
  assert.deepEqual(new Set(sent), new Set(['accepted']));
  for (const device of devices) await sendCommand(hub, device, `to-${device.id.deviceId}`);
  for (const [at, receiver] of receivers.entries()) {
    await receiver.received(1);
    assert.equal(bodyText(receiver.messages[0]), `to-d${at}`);
  }
  for (const other of [stranger, module]) {
    for (const endpoint of ['messages/events', 'messages/devicebound', 'twin', 'methods/devicebound']) {
      for (const link of [client.send(other.address(endpoint)), client.receive(other.address(endpoint))]) {
        assert.equal((await link.ending()).condition, 'amqp:unauthorized-access', endpoint);
      }
    }
  }
  const found = await events(hub, devices.length);
  for (const event of found) {
    const id = event.message_annotations?.['iothub-connection-device-id'];
    assert.equal(`from ${String(id).slice(1)}`, bodyText(event));
  }
  assert.equal(await hub.hub.presence.connectedDevices(), devices.length);
  senders[3].link.close();
  receivers[3].link.close();
  await Promise.all([senders[3].ending(), receivers[3].ending()]);
  assert.equal(await isConnected(hub, devices[3]), false);
  assert.equal(await hub.hub.presence.connectedDevices(), devices.length - 1);
  await client.close();
  assert.equal(await hub.hub.presence.connectedDevices(), 0);
});

test("a policy's token speaks for the devices that it covers, and for nobody else", async () => {
  await using hub = await openAmqpTestHub();
  const [one, two] = [await hub.device('d1'), await hub.device('d2')];
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(hub.token({ policyName: 'device', resource: 'localhost/devices/d1' }), 'localhost/devices/d1');
  assert.equal(await client.send(one.address('messages/events')).outcome({ body: data('x') as never }), 'accepted');
  assert.equal((await client.send(two.address('messages/events')).ending()).condition, 'amqp:unauthorized-access');
  await client.putToken(hub.token({ policyName: 'service', resource: 'localhost' }), 'localhost');
  assert.equal((await client.send(two.address('messages/events')).ending()).condition, 'amqp:unauthorized-access');
  await client.putToken(hub.token({ policyName: 'device', resource: 'localhost' }), 'localhost');
  assert.equal(await client.send(two.address('messages/events')).outcome({ body: data('x') as never }), 'accepted');
  const [event] = await events(hub, 2);
  assert.match(String(event.message_annotations?.['iothub-connection-auth-method']), /"scope":"hub","type":"sas"/);
  await client.close();
});

test('a device opens its addresses by SASL PLAIN', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1', 'm1');
  const client = await AmqpDriver.connect(hub.port, {
    username: `d1/modules/m1@sas.${HUB_NAME}`,
    password: device.token(),
  });
  assert.equal(await client.send(device.address('messages/events')).outcome({ body: data('x') as never }), 'accepted');
  assert.equal((await client.send('/devices/d1/messages/events').ending()).condition, 'amqp:unauthorized-access');
  await client.close();
});

test("when one device's token ends, its links end; a renewed one goes on, and so do the others", async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock });
  const [short, renewed, long] = [await hub.device('short'), await hub.device('renewed'), await hub.device('long')];
  const client = await connected(hub, long);
  // Ended a while ago by its own word, which counts a little longer; in less time than a silent peer is given.
  const lifeMs = 60_000 - limits.clockSkewMs;
  for (const device of [short, renewed]) await authenticate(client, device, lifeMs);
  const links = [short, renewed, long].map((device) => client.send(device.address('messages/events')));
  const receivers = await Promise.all([short, renewed].map((device) => commandsOf(client, device)));
  await Promise.all(links.map((link) => link.opened()));
  await authenticate(client, renewed);
  clock.advance(61_000);
  assert.equal((await links[0].ending()).condition, 'amqp:unauthorized-access');
  assert.equal((await receivers[0].ending()).condition, 'amqp:unauthorized-access');
  assert.equal(await isConnected(hub, short), false);
  for (const link of [links[1], links[2]]) assert.equal(await link.outcome({ body: data('x') as never }), 'accepted');
  await sendCommand(hub, renewed, 'still-here');
  await receivers[1].received(1);
  receivers[1].deliveries[0].accept();
  assert.equal((await client.send(short.address('messages/events')).ending()).condition, 'amqp:unauthorized-access');
  await authenticate(client, short);
  assert.equal(await client.send(short.address('messages/events')).outcome({ body: data('x') as never }), 'accepted');
  await client.close();
});

test('a clock that is set behind the end of a token ends the links that need it, and is no failure of the hub', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock });
  const device = await hub.device('d1');
  const client = await connected(hub);
  await authenticate(client, device, 60_000);
  const commands = await commandsOf(client, device);
  await client.putToken(hub.token({ resource: 'localhost', lifeMs: 60_000 }), 'localhost');
  const receipts = client.receive('/messages/serviceBound/feedback', { autoaccept: false });
  await receipts.opened();
  receipts.credit(1);
  clock.setWall(clock.now() + 60_000 + limits.clockSkewMs);
  await sendCommand(hub, device, 'late');
  assert.equal((await commands.ending()).condition, 'amqp:unauthorized-access');
  clock.advance(limits.amqpPulseMs);
  assert.equal((await receipts.ending()).condition, 'amqp:unauthorized-access');
  assert.deepEqual(
    hub.lines.filter((line) => line.includes('"level":"error"')),
    [],
  );
  await client.close();
});

test('the newer connection of a device takes its place, and only its', async () => {
  await using hub = await openAmqpTestHub();
  const [one, two] = [await hub.device('d1'), await hub.device('d2')];
  const older = await connected(hub, one, two);
  const sender = older.send(one.address('messages/events'));
  const receiver = await commandsOf(older, one);
  const other = older.send(two.address('messages/events'));
  await Promise.all([sender.opened(), other.opened()]);
  const newer = await connected(hub, one);
  const taken = await commandsOf(newer, one);
  for (const link of [sender, receiver]) assert.equal((await link.ending()).condition, 'amqp:link:stolen');
  assert.equal(await other.outcome({ body: data('x') as never }), 'accepted');
  await sendCommand(hub, one, 'for-the-newer');
  await taken.received(1);
  assert.equal(await isConnected(hub, one), true);
  await Promise.all([older.close(), newer.close()]);
});

test('a device that is disabled or deleted loses its links at once, and does not get them back', async () => {
  await using hub = await openAmqpTestHub();
  const [off, gone] = [await hub.device('off'), await hub.device('gone')];
  const client = await connected(hub, off, gone);
  const links = [off, gone].map((device) => client.send(device.address('messages/events')));
  await Promise.all(links.map((link) => link.opened()));
  await hub.hub.registry.put(hub.owner, { deviceId: 'off', status: 'disabled' }, '*');
  assert.equal((await links[0].ending()).condition, 'amqp:unauthorized-access');
  await hub.hub.registry.delete(hub.owner, gone.id);
  assert.equal((await links[1].ending()).condition, 'amqp:not-found');
  await hub.device('gone');
  assert.equal((await client.send(off.address('messages/events')).ending()).condition, 'amqp:unauthorized-access');
  assert.equal((await client.send(gone.address('messages/events')).ending()).condition, 'amqp:not-found');
  await client.close();
});

test('one of several devices on a connection loses its session where nothing else is on it, else its links', async () => {
  await using hub = await openAmqpTestHub();
  const [off, beside, shared] = await Promise.all(['off', 'beside', 'shared'].map((id) => hub.device(id)));
  const client = await connected(hub, off, beside, shared);
  const [own, common] = [client.session(), client.session()];
  const links = [off, beside, shared].map((device, at) =>
    (at === 0 ? own : common).send(device.address('messages/events')),
  );
  const commands = own.receive(off.address('messages/deviceBound'));
  await Promise.all([...links, commands].map((link) => link.opened()));
  const disable = ({ id }: TestDevice): Promise<unknown> =>
    hub.hub.registry.put(hub.owner, { ...id, status: 'disabled' }, '*');
  await disable(off);
  assert.equal((await own.ending()).condition, 'amqp:unauthorized-access');
  assert.equal(await isConnected(hub, off), false);
  await disable(shared);
  assert.equal((await links[2].ending()).condition, 'amqp:unauthorized-access');
  assert.equal(await links[1].outcome({ body: data('x') as never }), 'accepted');
  await client.close();
});

test('a device that has not put a token, or put that of another, gets the same answer for every address', async () => {
  await using hub = await openAmqpTestHub();
  await hub.device('d1');
  const client = await AmqpDriver.connect(hub.port, {});
  const answers = new Set<string>();
  for (const address of [
    '/devices/d1/messages/events',
    '/devices/nobody/messages/events',
    '/devices/d1/modules/m/twin',
  ]) {
    const { condition, description } = await client.send(address).ending();
    answers.add(`${condition} ${description}`);
  }
  assert.equal(answers.size, 1);
  assert.match([...answers][0], /^amqp:unauthorized-access /);
  await client.close();
});

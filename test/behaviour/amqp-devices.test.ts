import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from 'rhea';
import { limits } from '../../src/base/limits.ts';
import { AmqpDriver, bodyText, type Ending, type Outcome } from '../drivers/amqp.ts';
import {
  BATCH,
  commandsOf,
  condition,
  connected,
  data,
  encoded,
  events,
  messages,
  outcomes,
  sendCommand,
  settled,
  types,
} from '../drivers/amqp-device.ts';
import { HUB_NAME, numbers, openAmqpTestHub } from '../drivers/amqp-door.ts';
import { withLimits } from '../hostile/cost.ts';

test('telemetry arrives with everything that the device says, and with who it is', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const sender = client.send(device.address('messages/events'), {
    properties: { 'com.microsoft:model-id': 'dtmi:a:b;1' },
  });
  await sender.opened();
  assert.equal(
    (sender.link as unknown as { remote: { attach: { max_message_size: number } } }).remote.attach.max_message_size,
    1024 * 1024,
  );
  const outcome = await sender.outcome({
    message_id: types.wrap_uuid(Buffer.alloc(16, 0xab)),
    correlation_id: types.wrap_ulong(9),
    user_id: 'me',
    to: '/devices/d1/messages/events',
    content_type: 'application/json',
    content_encoding: 'utf-8',
    absolute_expiry_time: new Date(5000),
    message_annotations: { 'dt-subject': 'thermostat', 'iothub-interface-id': 'urn:i', 'x-opt-forged': 1 },
    application_properties: {
      'iothub-message-schema': 'schema',
      'iothub-creation-time-utc': '2026-11-23T17:00:00.000Z',
      'iothub-connection-device-id': 'somebody else',
      a: 'b',
      n: types.wrap_int(1),
      nothing: null,
    },
    body: data('{"t":1}'),
  } as unknown as Message);
  assert.equal(outcome, 'accepted');
  const [event] = await events(hub, 1);
  assert.deepEqual(event.message_id, Buffer.alloc(16, 0xab));
  assert.equal(event.correlation_id, 9);
  assert.equal(String(event.user_id), 'me');
  assert.equal(event.to ?? undefined, undefined);
  assert.equal(event.content_type, 'application/json');
  assert.equal(event.content_encoding, 'utf-8');
  assert.equal(Number(event.absolute_expiry_time), 5000);
  assert.deepEqual(event.application_properties, {
    a: 'b',
    n: '1',
    nothing: null,
    'iothub-message-schema': 'schema',
    'iothub-creation-time-utc': '2026-11-23T17:00:00.000Z',
  });
  const annotations = event.message_annotations ?? {};
  assert.equal(annotations['iothub-connection-device-id'], 'd1');
  assert.equal(annotations['dt-dataschema'], 'dtmi:a:b;1');
  assert.equal(annotations['dt-subject'], 'thermostat');
  assert.equal(annotations['iothub-interface-id'], 'urn:i');
  assert.equal('x-opt-forged' in annotations, false);
  assert.equal(bodyText(event), '{"t":1}');
  await client.close();
});

test('a batch is several events and one answer: all of it, or nothing', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  const device = await hub.device('d1', 'm1');
  const client = await connected(hub, device);
  const sender = client.send(`amqps://localhost${device.address('messages/events')}`);
  const batch = (bodies: readonly Buffer[]): Buffer =>
    encoded({
      body: messages.data_sections(
        bodies.map((body, at) => encoded({ message_id: `m${at}`, body: data(body) as never })),
      ),
    });
  assert.equal(await sender.outcome(batch([Buffer.from('a'), Buffer.from('b'), Buffer.alloc(0)]), BATCH), 'accepted');
  const tooLarge = await sender.outcome(batch([Buffer.from('c'), Buffer.alloc(limits.telemetryBytesMax + 1)]), BATCH);
  assert.equal((tooLarge as Ending).condition, 'amqp:link:message-size-exceeded');
  const broken = await sender.outcome(encoded({ body: data('no message') as never }), BATCH);
  assert.equal((broken as Ending).condition, 'com.microsoft:argument-error');
  const found = await events(hub, 3);
  assert.deepEqual(found.map(bodyText), ['a', 'b', '']);
  assert.deepEqual(
    found.map(({ message_id: id, message_annotations: annotations }) => [
      id,
      annotations?.['iothub-connection-module-id'],
    ]),
    [
      ['m0', 'm1'],
      ['m1', 'm1'],
      ['m2', 'm1'],
    ],
  );
  await client.close();
});

test('batches that wait for their turn of the loop keep their place among what the device sends', async () => {
  await withLimits({ amqpBatchBytesPerTurn: 1 }, async () => {
    await using hub = await openAmqpTestHub({ partitions: 1 });
    const clients = await Promise.all(['d1', 'd2', 'd3'].map(async (id) => connected(hub, await hub.device(id))));
    const sent = clients.map(async (client, nth) => {
      const sender = client.send(`/devices/d${nth + 1}/messages/events`);
      await sender.opened();
      const batchOf = (...bodies: readonly string[]): Buffer =>
        encoded({ body: messages.data_sections(bodies.map((body) => encoded({ body: data(body) as never }))) });
      const outcomes: Promise<Outcome>[] = [];
      for (let round = 0; round < 20; round++) {
        const [first, second, third] = ['a', 'b', 'c'].map((part) => `d${nth + 1} ${round} ${part}`);
        outcomes.push(sender.outcome(batchOf(first, second), BATCH), sender.outcome({ body: data(third) as never }));
      }
      assert.deepEqual(new Set(await Promise.all(outcomes)), new Set(['accepted']));
    });
    await Promise.all(sent);
    const bodies = (await events(hub, 3 * 20 * 3)).map(bodyText);
    for (const id of ['d1', 'd2', 'd3']) {
      const own = Array.from({ length: 60 }, (_, at) => `${id} ${Math.floor(at / 3)} ${'abc'[at % 3]}`);
      assert.deepEqual(
        bodies.filter((body) => body?.startsWith(`${id} `)),
        own,
      );
    }
    for (const client of clients) await client.close();
  });
});

test('messages that are sent ahead are all accepted, in order; one that is refused costs nobody else', async () => {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const sender = client.send(device.address('messages/events'));
  const count = 2 * limits.amqpTelemetryInflightMax;
  await sender.opened();
  const results: Promise<Outcome>[] = [];
  for (const number of numbers(count)) {
    results.push(sender.outcome({ body: data(number) as never }));
    if (number === '1000')
      results.push(sender.outcome({ body: data(Buffer.alloc(limits.telemetryBytesMax + 1)) as never }));
    if (!sender.link.sendable()) await Promise.all(results);
  }
  const kinds = (await Promise.all(results)).map((outcome) =>
    typeof outcome === 'string' ? outcome : outcome.condition,
  );
  assert.equal(kinds.filter((kind) => kind === 'accepted').length, count);
  assert.deepEqual(kinds[1001], 'amqp:link:message-size-exceeded');
  const reader = await AmqpDriver.connect(hub.port, { username: 'service', password: hub.key('service') });
  const receiver = reader.receive(`${HUB_NAME}/ConsumerGroups/$Default/Partitions/0`);
  receiver.credit(2048);
  assert.deepEqual((await receiver.received(count)).map(bodyText), numbers(count));
  await Promise.all([client.close(), reader.close()]);
});

test('what the log could not take is refused and ends the link, so that nothing behind it is stored before it', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const failing = client.send(device.address('messages/events'));
  await failing.opened();
  hub.telemetry.failWith(new Error('the disk is full'));
  const refused = failing.outcome({ body: data('one') as never });
  failing.link.send({ body: data('two') as never });
  assert.equal(condition(await refused), 'com.microsoft:server-busy');
  assert.equal((await failing.ending()).condition, 'com.microsoft:server-busy');
  hub.telemetry.failWith(undefined);
  const next = client.send(device.address('messages/events'));
  assert.equal(await next.outcome({ body: data('one') as never }), 'accepted');
  assert.deepEqual((await events(hub, 1)).map(bodyText), ['one']);
  await client.close();
});

test('a command comes under a lock, and each outcome that a device may choose is that of the command', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const receiver = await commandsOf(client, device);
  const expiry = Date.now() + 60_000;
  await sendCommand(hub, device, 'complete', {
    correlationId: 'c',
    userId: 'u',
    contentType: 'text/plain',
    contentEncoding: 'utf-8',
    expiry,
    properties: [['k', 'ü']],
  });
  await sendCommand(hub, device, 'reject', { ack: 'none' });
  await sendCommand(hub, device, 'again');
  await receiver.received(3);
  const [command, plain] = receiver.messages;
  assert.equal(command.message_id, 'complete');
  assert.equal(command.correlation_id, 'c');
  assert.equal(String(command.user_id), 'u');
  assert.equal(command.to, '/devices/d1/messages/devicebound');
  assert.equal(command.content_type, 'text/plain');
  assert.equal(command.content_encoding, 'utf-8');
  assert.equal(Number(command.absolute_expiry_time), expiry);
  assert.deepEqual(command.application_properties, { 'iothub-ack': 'full', k: 'ü' });
  assert.equal(plain.application_properties ?? undefined, undefined);
  assert.equal(command.body.typecode, 0x75);
  const annotations = command.message_annotations ?? {};
  assert.deepEqual(Object.keys(annotations), [
    'x-opt-lock-token',
    'x-opt-sequence-number',
    'iothub-enqueuedtime',
    'iothub-deliverycount',
  ]);
  assert.equal(annotations['x-opt-sequence-number'], 1);
  assert.equal(annotations['iothub-deliverycount'], 0);
  // .NET reads the tag as a Guid: the first three groups in little-endian order.
  const tag = (receiver.deliveries[0] as unknown as { tag: Buffer }).tag.toString('hex');
  const [a, b, c, d, e] = String(annotations['x-opt-lock-token']).split('-');
  const swapped = (hex: string): string => Buffer.from(hex, 'hex').reverse().toString('hex');
  assert.equal(tag, `${swapped(a)}${swapped(b)}${swapped(c)}${d}${e}`);
  assert.deepEqual(await outcomes(hub, device, 'complete', 'reject', 'again'), ['locked', 'locked', 'locked']);
  receiver.deliveries[0].accept();
  // The library sends one word for two neighbours that are settled in the same turn.
  await settled();
  receiver.deliveries[1].reject({ condition: 'app:no', description: '' });
  await settled();
  receiver.deliveries[2].release();
  await receiver.received(4);
  assert.equal(receiver.messages[3].message_id, 'again');
  assert.equal(receiver.messages[3].message_annotations?.['iothub-deliverycount'], 1);
  receiver.deliveries[3].modified({ undeliverable_here: false });
  await receiver.received(5);
  assert.equal(receiver.messages[4].message_annotations?.['iothub-deliverycount'], 2);
  assert.deepEqual(await outcomes(hub, device, 'complete', 'reject', 'again'), ['completed', 'rejected', 'locked']);
  await client.close();
});

test('nothing is delivered without credit; what is not settled goes back with the link, and counts as no failure', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1', 'm1');
  const client = await connected(hub, device);
  for (const body of ['1', '2', '3']) await sendCommand(hub, device, body);
  const first = await commandsOf(client, device, 2);
  await first.received(2);
  await settled();
  assert.equal(first.messages.length, 2);
  assert.equal((await hub.commandQueue.depth(device.id, Date.now())) - 0, 3);
  first.link.close();
  await first.ending();
  const second = await commandsOf(client, device, 10);
  await second.received(3);
  assert.deepEqual(
    second.messages.map(({ message_id: id }) => id),
    ['1', '2', '3'],
  );
  assert.deepEqual(
    second.messages.map((message) => message.message_annotations?.['iothub-deliverycount']),
    [0, 0, 0],
  );
  await client.cut();
  const other = await connected(hub, device);
  const third = await commandsOf(other, device, 10);
  await third.received(3);
  for (const delivery of third.deliveries) delivery.accept();
  third.link.drain_credit();
  await new Promise((resolve) => third.link.once('receiver_drained', resolve));
  assert.deepEqual(await outcomes(hub, device, '1', '2', '3'), ['completed', 'completed', 'completed']);
  await other.close();
});

test('a device that asks for settled commands has completed what was sent to it', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const receiver = await commandsOf(client, device, 10, { snd_settle_mode: 1 });
  await sendCommand(hub, device, 'x');
  await receiver.received(1);
  await settled();
  assert.deepEqual(await outcomes(hub, device, 'x'), ['completed']);
  await client.close();
});

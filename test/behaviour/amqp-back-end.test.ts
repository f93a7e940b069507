import assert from 'node:assert/strict';
import { test } from 'node:test';
import rhea, { type Message } from 'rhea';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { AmqpDriver, bodyText, type DriverReceiver, type Ending, type Outcome, within } from '../drivers/amqp.ts';
import { type AmqpTestHub, HUB_NAME, numbers, openAmqpTestHub } from '../drivers/amqp-door.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of types
const { message: messages, types } = rhea as any;

const FEEDBACK = '/messages/serviceBound/feedback';

async function backEnd(hub: AmqpTestHub): Promise<AmqpDriver> {
  const client = await AmqpDriver.connect(hub.port, {});
  const answer = await client.putToken(hub.token({ resource: 'localhost' }), 'localhost');
  assert.equal(answer.application_properties?.['status-code'], 200);
  return client;
}

function command(to: string, more: Partial<Message> = {}): Partial<Message> {
  return { to, body: messages.data_section(Buffer.from('do')), ...more };
}

async function waiting(hub: AmqpTestHub, deviceId: string) {
  return hub.hub.commands.openInbox(hub.owner, { deviceId }, 'test').take(50);
}

function condition(outcome: Outcome): string {
  return typeof outcome === 'string' ? outcome : outcome.condition;
}

/** The receipts of one feedback message. */
function receiptsOf(message: Message): Record<string, unknown>[] {
  return JSON.parse(bodyText(message));
}

/** A receiver of receipts that settles nothing by itself. */
async function receiptsReceiver(client: AmqpDriver, options: Record<string, unknown> = {}): Promise<DriverReceiver> {
  const receiver = client.receive(FEEDBACK, { autoaccept: false, ...options });
  await receiver.opened();
  return receiver;
}

/** Lets a device end a command with a receipt. */
async function endCommand(hub: AmqpTestHub, deviceId: string, settlement: 'complete' | 'reject' = 'complete') {
  const inbox = hub.hub.commands.openInbox(hub.owner, { deviceId }, 'test');
  const [taken] = await inbox.take(1);
  assert.equal(taken.state.kind, 'locked');
  if (taken.state.kind === 'locked') await inbox.settle(taken.state.lockToken, settlement);
}

test('a command is stored with everything that the back end says of it, whatever the address looks like', async () => {
  await using hub = await openAmqpTestHub();
  await hub.device('d%1');
  await hub.device('d2', 'm$');
  const client = await backEnd(hub);
  const expiry = new Date(Date.now() + 60_000);
  for (const address of [
    '/messages/devicebound',
    'messages/deviceBound',
    'amqps://localhost:5671/messages/devicebound',
  ]) {
    const sender = client.send(address);
    const outcome = await sender.outcome(
      command('/devices/d%251/messages/devicebound', {
        message_id: types.wrap_uuid(Buffer.from('00112233445566778899aabbccddeeff', 'hex')),
        correlation_id: types.wrap_ulong(7),
        user_id: 'back end',
        content_type: 'application/json',
        content_encoding: 'utf-8',
        absolute_expiry_time: expiry,
        application_properties: {
          'iothub-ack': 'full',
          text: 'a',
          whole: types.wrap_int(5),
          truth: true,
          when: types.wrap_timestamp(0),
          nothing: null,
          id: types.wrap_uuid(Buffer.alloc(16)),
        },
        body: messages.data_sections([Buffer.from('one'), Buffer.from('two')]),
      }),
    );
    assert.equal(outcome, 'accepted');
  }
  const stored = await waiting(hub, 'd%1');
  assert.equal(stored.length, 3);
  assert.deepEqual(stored[0].message, {
    messageId: '00112233-4455-6677-8899-aabbccddeeff',
    correlationId: '7',
    idTypes: { messageId: 'uuid', correlationId: 'ulong' },
    userId: 'back end',
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    expiry: expiry.getTime(),
    ack: 'full',
    properties: [
      ['text', 'a'],
      ['whole', '5'],
      ['truth', 'true'],
      ['when', '1970-01-01T00:00:00.000Z'],
      ['nothing', ''],
      ['id', '00000000-0000-0000-0000-000000000000'],
    ],
    body: Buffer.from('onetwo'),
  });
  const sender = client.send('/messages/devicebound');
  assert.equal(
    await sender.outcome(command('/devices/d2/modules/m%24/messages/deviceBound', { body: 'text' })),
    'accepted',
  );
  const [forModule] = await hub.hub.commands.openInbox(hub.owner, { deviceId: 'd2', moduleId: 'm$' }, 't').take(5);
  assert.deepEqual(forModule.message, { ack: 'none', properties: [], body: Buffer.from('text') });
  await client.close();
});

test('ids of a command keep their type up to the device', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  const large = Buffer.alloc(8, 0xee);
  const ids: readonly (readonly [sent: NonNullable<Message['message_id']>, received: unknown])[] = [
    ['text', 'text'],
    [types.wrap_uuid(Buffer.alloc(16, 0xab)), Buffer.alloc(16, 0xab)],
    [types.wrap_ulong(7), 7],
    [types.wrap_ulong(large), large],
    [types.wrap_binary(Buffer.from('text')), Buffer.from('text')],
    [types.wrap_binary(Buffer.of(0xff, 0x00)), Buffer.of(0xff, 0x00)],
  ];
  for (const [id] of ids) {
    const sent = command('/devices/d1/messages/devicebound', { message_id: id, correlation_id: id });
    assert.equal(await sender.outcome(sent), 'accepted');
  }
  const own = await AmqpDriver.connect(hub.port, {});
  await own.putToken(device.token(), device.resource);
  const receiver = own.receive(device.address('messages/devicebound'));
  receiver.credit(ids.length);
  const received = await receiver.received(ids.length);
  for (const [at, [, id]] of ids.entries()) {
    assert.deepEqual([received[at].message_id, received[at].correlation_id], [id, id]);
  }
  await own.close();
  await client.close();
});

test('the wish for receipts is read as each SDK writes it', async () => {
  await using hub = await openAmqpTestHub();
  await hub.device('d1');
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  const written = ['none', 'positive', 'negative', 'full', 'None', 'PositiveOnly', 'NegativeOnly', 'Full'];
  for (const wish of written) {
    const properties = { application_properties: { 'iothub-ack': wish } };
    assert.equal(await sender.outcome(command('/devices/d1/messages/devicebound', properties)), 'accepted');
  }
  const wishes = (await waiting(hub, 'd1')).map(({ message }) => message.ack);
  assert.deepEqual(wishes, ['none', 'positive', 'negative', 'full', 'none', 'positive', 'negative', 'full']);
  const unknown = { application_properties: { 'iothub-ack': 'some' } };
  const outcome = await sender.outcome(command('/devices/d1/messages/devicebound', unknown));
  assert.equal(condition(outcome), 'com.microsoft:argument-error');
  await client.close();
});

test('each refusal of a command has its own condition, an id for support, and costs nobody the link', async () => {
  await using hub = await openAmqpTestHub({ commands: { queueDepthMax: 2 } });
  await hub.device('d1');
  await hub.device('full');
  await hub.device('off');
  await hub.hub.registry.put(hub.owner, { deviceId: 'off', status: 'disabled' }, '*');
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  const to = (deviceId: string): string => `/devices/${deviceId}/messages/devicebound`;
  for (const _ of [1, 2]) assert.equal(await sender.outcome(command(to('full'))), 'accepted');
  const ack = (value: string): Partial<Message> => ({ application_properties: { 'iothub-ack': value } });
  const big = { body: messages.data_section(Buffer.alloc(limits.commandBytesMax + 1)) };
  const cases: [string, Partial<Message>, string][] = [
    ['a full queue', command(to('full')), 'amqp:resource-limit-exceeded'],
    ['an unknown device', command(to('nobody')), 'amqp:not-found'],
    ['an unknown module', command('/devices/d1/modules/x/messages/devicebound'), 'amqp:not-found'],
    ['a disabled device', command(to('off')), 'amqp:unauthorized-access'],
    ['no `to`', { body: 'x' }, 'amqp:not-allowed'],
    ['a `to` of something else', command('/devices/d1/messages/events'), 'amqp:not-allowed'],
    ['a body over the limit', command(to('d1'), big), 'amqp:link:message-size-exceeded'],
    ['expired', command(to('d1'), { absolute_expiry_time: new Date(1000) }), 'com.microsoft:argument-error'],
    ['too long a life', command(to('d1'), { absolute_expiry_time: new Date(4e12) }), 'com.microsoft:argument-error'],
    ['a wish for receipts that is none', command(to('d1'), ack('sometimes')), 'com.microsoft:argument-error'],
    ['a body of values', command(to('d1'), { body: { a: 1 } }), 'com.microsoft:argument-error'],
  ];
  for (const [name, message, expected] of cases) {
    const outcome = (await sender.outcome(message)) as Ending;
    assert.equal(outcome.condition, expected, name);
    assert.match(String(outcome.info['com.microsoft:tracking-id']), /^[0-9a-f-]{36}$/, name);
  }
  assert.equal(condition(await sender.outcome(Buffer.from('no message'))), 'com.microsoft:argument-error');
  assert.equal(await sender.outcome(command(to('d1'))), 'accepted');
  assert.equal(condition(await client.send('/messages/devicebound').outcome(command(to('d1')))), 'accepted');
  await client.close();
});

test('commands that are sent ahead keep their order for each device', async () => {
  const count = 3 * limits.amqpCommandsInflightMax;
  await using hub = await openAmqpTestHub({ commands: { queueDepthMax: count } });
  const devices = ['a', 'b', 'c'];
  for (const deviceId of devices) await hub.device(deviceId);
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  await sender.opened();
  const sends = numbers(count).map((number, at) =>
    sender.outcome(command(`/devices/${devices[at % 3]}/messages/devicebound`, { message_id: number })),
  );
  assert.deepEqual(new Set(await Promise.all(sends)), new Set(['accepted']));
  for (const [at, deviceId] of devices.entries()) {
    const ids: (string | undefined)[] = [];
    for (;;) {
      const taken = await waiting(hub, deviceId);
      if (taken.length === 0) break;
      ids.push(...taken.map(({ message }) => message.messageId));
    }
    assert.deepEqual(
      ids,
      numbers(count).filter((_, number) => number % 3 === at),
    );
  }
  await client.close();
});

test('only who may send commands sends them, and only who may read receipts reads them', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const addresses = ['/messages/devicebound', FEEDBACK, '/messages/serviceBound/filenotifications'];
  const nobody = await AmqpDriver.connect(hub.port, {});
  const wrong = await AmqpDriver.connect(hub.port, {});
  await wrong.putToken(device.token(), device.resource);
  await wrong.putToken(hub.token({ policyName: 'device', resource: 'localhost' }), 'localhost');
  await wrong.putToken(hub.token({ policyName: 'registryReadWrite', resource: 'localhost' }), 'localhost/');
  for (const client of [nobody, wrong]) {
    for (const address of addresses) {
      const link = address === addresses[0] ? client.send(address) : client.receive(address);
      assert.equal((await link.ending()).condition, 'amqp:unauthorized-access', address);
    }
    await client.close();
  }
  const client = await backEnd(hub);
  for (const link of [client.receive(addresses[0]), client.send(FEEDBACK)]) {
    assert.equal((await link.ending()).condition, 'amqp:not-found');
  }
  const files = client.receive(addresses[2]);
  await files.opened();
  files.credit(10);
  files.link.drain_credit();
  await new Promise((resolve) => files.link.once('receiver_drained', resolve));
  assert.equal(files.link.is_open(), true);
  await client.close();
});

test('receipts come as a batch in the form that every SDK reads', async () => {
  const clock = new VirtualClock(Date.UTC(2026, 10, 23));
  await using hub = await openAmqpTestHub({ clock });
  await hub.device('d-e');
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  for (const id of ['first', undefined]) {
    const more = { application_properties: { 'iothub-ack': 'full' }, ...(id === undefined ? {} : { message_id: id }) };
    assert.equal(await sender.outcome(command('/devices/d-e/messages/devicebound', more)), 'accepted');
  }
  await endCommand(hub, 'd-e');
  await endCommand(hub, 'd-e', 'reject');
  const receiver = await receiptsReceiver(client);
  receiver.credit(5);
  await settled();
  assert.equal(receiver.messages.length, 0, 'receipts wait for others first');
  clock.advance(limits.receiptBatchMs);
  await settled();
  clock.advance(limits.amqpPulseMs);
  const [message] = await receiver.received(1);
  assert.equal(message.content_type, 'application/vnd.microsoft.iothub.feedback.json');
  assert.equal(String(message.user_id), HUB_NAME);
  assert.deepEqual(message.message_annotations, { 'iothub-enqueuedtime': new Date(clock.now()) });
  assert.equal((receiver.deliveries[0] as unknown as { tag: Buffer }).tag.length, 16);
  assert.equal(message.body.typecode, 0x75);
  assert.match(bodyText(message), /^[ -~]*$/);
  const { generationId } = await hub.hub.registry.get(hub.owner, { deviceId: 'd-e' });
  const receipt = (originalMessageId: string | null, statusCode: string) => ({
    originalMessageId,
    description: statusCode,
    deviceGenerationId: generationId,
    deviceId: 'd-e',
    enqueuedTimeUtc: '2026-11-23T00:00:00.000Z',
    statusCode,
  });
  assert.deepEqual(receiptsOf(message), [receipt('first', 'Success'), receipt(null, 'Rejected')]);
  receiver.deliveries[0].accept();
  await client.close();
});

/** Lets what is under way between client and hub arrive. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('a batch of receipts goes to one of several back ends; released or left it goes to the next, accepted to nobody', async () => {
  await using hub = await openAmqpTestHub({ commands: { receiptBatchMs: 0 } });
  await hub.device('d1');
  const [one, two] = [await backEnd(hub), await backEnd(hub)];
  const sender = one.send('/messages/devicebound');
  const end = async (id: string): Promise<void> => {
    const more = { message_id: id, application_properties: { 'iothub-ack': 'full' } };
    assert.equal(await sender.outcome(command('/devices/d1/messages/devicebound', more)), 'accepted');
    await endCommand(hub, 'd1');
  };
  const [first, second] = [await receiptsReceiver(one), await receiptsReceiver(two)];
  const idsOf = (receiver: DriverReceiver, at: number) =>
    receiptsOf(receiver.messages[at]).map(({ originalMessageId }) => originalMessageId);
  first.credit(1);
  await end('m1');
  await first.received(1);
  assert.deepEqual(idsOf(first, 0), ['m1']);
  second.credit(3);
  first.deliveries[0].release();
  await second.received(1);
  assert.deepEqual(idsOf(second, 0), ['m1']);
  second.deliveries[0].modified({ delivery_failed: true });
  await second.received(2);
  assert.deepEqual(idsOf(second, 1), ['m1']);
  first.credit(1);
  second.link.close();
  await first.received(2);
  assert.deepEqual(idsOf(first, 1), ['m1']);
  first.deliveries[1].accept();
  first.credit(2);
  await end('m2');
  await first.received(3);
  assert.deepEqual(idsOf(first, 2), ['m2'], 'what was accepted does not come again');
  first.deliveries[2].reject({ condition: 'amqp:internal-error', description: 'not wanted' });
  await end('m3');
  await first.received(4);
  assert.deepEqual(idsOf(first, 3), ['m3'], 'what was rejected does not come again');
  first.deliveries[3].accept();
  await Promise.all([one.close(), two.close()]);
});

test('a back end that settles second hears that its word has counted, or that its lock is gone', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock, commands: { receiptBatchMs: 0 } });
  await hub.device('d1');
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  const receiver = await receiptsReceiver(client, { rcv_settle_mode: 1 });
  assert.equal(
    (receiver.link as unknown as { remote: { attach: Record<string, unknown> } }).remote.attach.rcv_settle_mode,
    1,
  );
  let heard: () => void = () => {};
  receiver.link.on('settled', () => heard());
  const endOne = async (): Promise<void> => {
    const more = { application_properties: { 'iothub-ack': 'full' } };
    assert.equal(await sender.outcome(command('/devices/d1/messages/devicebound', more)), 'accepted');
    await endCommand(hub, 'd1');
  };
  const answer = (): Promise<void> =>
    new Promise((resolve) => {
      heard = resolve;
    });
  receiver.credit(1);
  await endOne();
  clock.advance(limits.amqpPulseMs);
  await receiver.received(1);
  const first = answer();
  receiver.deliveries[0].update(false, messages.accepted().described());
  await within('the first answer', first);
  receiver.credit(1);
  await settled();
  await endOne();
  clock.advance(limits.amqpPulseMs);
  await receiver.received(2);
  clock.advance(limits.receiptLockMs);
  const second = answer();
  receiver.deliveries[1].update(false, messages.accepted().described());
  await within('the second answer', second);
  const states = receiver.deliveries.map(({ remote_state: state }) => state as { error?: { condition: string } });
  assert.equal(states[0]?.error, undefined);
  assert.equal(states[1]?.error?.condition, 'com.microsoft:message-lock-lost');
  await client.close();
});

test('a back end takes as many receipts as it gives credit for, and gets its credit back when it drains', async () => {
  await using hub = await openAmqpTestHub({ commands: { receiptBatchMs: 0, receiptBatchMax: 1 } });
  await hub.device('d1');
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  for (const _ of numbers(3)) {
    const more = { application_properties: { 'iothub-ack': 'full' } };
    await sender.outcome(command('/devices/d1/messages/devicebound', more));
    await endCommand(hub, 'd1');
  }
  const receiver = await receiptsReceiver(client);
  receiver.credit(2);
  await receiver.received(2);
  await settled();
  assert.equal(receiver.messages.length, 2);
  receiver.credit(5);
  receiver.link.drain_credit();
  await new Promise((resolve) => receiver.link.once('receiver_drained', resolve));
  assert.equal(receiver.messages.length, 3);
  await client.close();
});

test('a back end that settles nothing is handed more when the locks of what it holds are over', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock, commands: { receiptBatchMs: 0, receiptBatchMax: 1 } });
  await hub.device('d1');
  const client = await backEnd(hub);
  const sender = client.send('/messages/devicebound');
  const held = limits.amqpReceiptBatchesMax;
  for (const id of numbers(held + 1)) {
    const more = { application_properties: { 'iothub-ack': 'full' }, message_id: id };
    await sender.outcome(command('/devices/d1/messages/devicebound', more));
    await endCommand(hub, 'd1');
  }
  const receiver = await receiptsReceiver(client);
  receiver.credit(100);
  await receiver.received(held);
  await settled();
  assert.equal(receiver.messages.length, held, 'it holds as many as it may');
  clock.advance(limits.receiptLockMs);
  clock.advance(limits.amqpPulseMs);
  await receiver.received(2 * held);
  await client.close();
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import rhea from 'rhea';
import { OFFSET_BASE } from '../../src/core/events/types.ts';
import { AmqpDriver, bodyText, type DriverReceiver } from '../drivers/amqp.ts';
import { type AmqpTestHub, HUB_NAME, numbers, openAmqpTestHub } from '../drivers/amqp-door.ts';

const FILTER = 'apache.org:selector-filter:string';

async function connected(hub: AmqpTestHub, policyName = 'service'): Promise<AmqpDriver> {
  const client = await AmqpDriver.connect(hub.port);
  await client.putToken(hub.token({ policyName, resource: 'localhost' }), 'localhost');
  return client;
}

/** A source with a start position; the described value is coded by number or by symbol, as the SDKs differ. */
function from(selector: string | undefined, form: 'number' | 'symbol' = 'number', partition = 0): unknown {
  const address = `${HUB_NAME}/ConsumerGroups/$Default/Partitions/${partition}`;
  if (selector === undefined) return address;
  const { types } = rhea as unknown as { types: Record<string, (...values: unknown[]) => unknown> };
  const code = form === 'number' ? types.wrap_ulong(0x0000468c00000004) : types.wrap_symbol(FILTER);
  return { address, filter: { [FILTER]: types.wrap_described(`amqp.annotation.${selector}`, code) } };
}

async function texts(receiver: DriverReceiver, count: number): Promise<readonly string[]> {
  receiver.credit(1000);
  return (await receiver.received(count)).map(bodyText);
}

test('a reader starts where it asks to: start, end, sequence number, offset, time, inclusive or not', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(0, numbers(5));
  const between = (hub.telemetry.lastKnown(0).lastTime ?? 0) + 1;
  while (hub.hub.clock.now() <= between) await new Promise((resolve) => setImmediate(resolve));
  await hub.append(0, numbers(5, 5));
  const client = await connected(hub);
  const all = numbers(10);
  const cases: [string | undefined, readonly string[]][] = [
    [undefined, all],
    ["x-opt-offset > '-1'", all],
    ["x-opt-sequence-number > '3'", all.slice(4)],
    ["x-opt-sequence-number >= '3'", all.slice(3)],
    [`x-opt-offset > '${OFFSET_BASE + 6}'`, all.slice(7)],
    [`x-opt-offset >= '${OFFSET_BASE + 6}'`, all.slice(6)],
    [`x-opt-enqueued-time > '${between}'`, all.slice(5)],
    [`x-opt-enqueuedtimeutc > ${between}`, all.slice(5)],
    [`x-opt-enqueued-time >= '${hub.telemetry.lastKnown(0).lastTime}'`, all.slice(5)],
    ["x-opt-offset > '@latest'", []],
    ["x-opt-sequence-number > '9'", []],
  ];
  for (const [selector, expected] of cases) {
    for (const form of ['number', 'symbol'] as const) {
      const receiver = client.receive(from(selector, form));
      await receiver.opened();
      // One more event shows that nothing else came before it.
      await hub.append(0, ['last']);
      const got = (await texts(receiver, expected.length + 1)).filter((text) => text !== 'last');
      assert.deepEqual(got, expected, selector);
      receiver.link.close();
      await receiver.ending();
    }
  }
  await client.close();
});

test('a position behind the end is refused with the last number, one that is no position as an argument', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(0, numbers(3));
  const client = await connected(hub);
  const beyond = await client.receive(from("x-opt-sequence-number > '488'")).ending();
  assert.equal(beyond.condition, 'com.microsoft:argument-error');
  assert.equal(
    beyond.description,
    "The supplied sequence number '488' is invalid. The last sequence number in the system is '2'",
  );
  const nonsense = await client.receive(from("x-opt-colour > '1'")).ending();
  assert.equal(nonsense.condition, 'com.microsoft:argument-error');
  await client.close();
});

test('a message carries what the device sent and everything that the hub says of it', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(1, ['{"a":1}'], {
    system: { messageId: 'm1', correlationId: 'c1', contentType: 'application/json', contentEncoding: 'utf-8' },
    properties: [['level', 'high']],
  });
  const client = await connected(hub);
  const receiver = client.receive(from(undefined, 'number', 1));
  receiver.credit(1);
  const message = await receiver.next();
  const annotations = message.message_annotations ?? {};
  assert.equal(annotations['x-opt-sequence-number'], 0);
  assert.equal(annotations['x-opt-offset'], String(OFFSET_BASE));
  assert.equal(annotations['x-opt-enqueued-time'].getTime(), hub.telemetry.lastKnown(1).lastTime);
  assert.equal(annotations['iothub-connection-device-id'], 'd1');
  assert.equal(annotations['iothub-message-source'], 'Telemetry');
  assert.ok(annotations['iothub-enqueuedtime'] instanceof Date);
  assert.equal(message.message_id, 'm1');
  assert.equal(message.content_type, 'application/json');
  assert.deepEqual(message.application_properties, { level: 'high' });
  assert.equal(bodyText(message), '{"a":1}');
  assert.equal(message.delivery_annotations, undefined);
  await client.close();
});

test('a reader that asks for runtime metrics gets them with every event', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(0, numbers(3));
  const client = await connected(hub);
  const receiver = client.receive(from(undefined), {
    desired_capabilities: 'com.microsoft:enable-receiver-runtime-metric',
  });
  receiver.credit(3);
  for (const message of await receiver.received(3)) {
    const metrics = message.delivery_annotations ?? {};
    assert.equal(metrics.last_enqueued_sequence_number, 2);
    assert.equal(metrics.last_enqueued_offset, String(OFFSET_BASE + 2));
    assert.equal(metrics.last_enqueued_time_utc.getTime(), hub.telemetry.lastKnown(0).lastTime);
    assert.ok(metrics.runtime_info_retrieval_time_utc.getTime() >= hub.telemetry.lastKnown(0).lastTime);
  }
  assert.deepEqual(receiver.link.offered_capabilities, ['com.microsoft:enable-receiver-runtime-metric']);
  await client.close();
});

test('addresses are taken with a slash, as a URL and in any case; unknown ones are refused with the known text', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(0, ['x']);
  const client = await connected(hub);
  for (const address of [
    `/${HUB_NAME}/ConsumerGroups/$default/Partitions/0`,
    `amqps://localhost:5671/${HUB_NAME}/consumergroups/$DEFAULT/partitions/0`,
    `${HUB_NAME.toUpperCase()}/ConsumerGroups/$Default/Partitions/0`,
  ]) {
    assert.deepEqual(await texts(client.receive(address), 1), ['x'], address);
  }
  for (const address of [
    'other/ConsumerGroups/$Default/Partitions/0',
    `${HUB_NAME}/ConsumerGroups/nobody/Partitions/0`,
    'nowhere/at/all',
  ]) {
    const { condition, description } = await client.receive(address).ending();
    assert.equal(condition, 'amqp:not-found');
    assert.match(description, /^The messaging entity 'sb:\/\/localhost\/.*' could not be found\.$/, address);
  }
  for (const partition of ['2', '-1', 'x', '01', '']) {
    const { condition } = await client.receive(`${HUB_NAME}/ConsumerGroups/$Default/Partitions/${partition}`).ending();
    assert.equal(condition, 'com.microsoft:argument-out-of-range', partition);
  }
  await client.close();
});

test('the monitoring stream is an event hub of its own', async () => {
  await using hub = await openAmqpTestHub();
  const client = await connected(hub);
  const receiver = client.receive(`${HUB_NAME}-monitoring/ConsumerGroups/$Default/Partitions/0`);
  await receiver.opened();
  assert.equal(receiver.link.is_open(), true);
  await client.close();
});

test('nobody may send to the event hub', async () => {
  await using hub = await openAmqpTestHub();
  const client = await connected(hub, 'iothubowner');
  for (const target of [HUB_NAME, `${HUB_NAME}/Partitions/0`]) {
    assert.equal((await client.send(target).ending()).condition, 'amqp:unauthorized-access');
  }
  assert.equal((await client.send('other').ending()).condition, 'amqp:not-found');
  await client.close();
});

const receiverOptions = (epoch: number | undefined, name: string): Record<string, unknown> => {
  const { types } = rhea as unknown as { types: Record<string, (value: unknown) => unknown> };
  return {
    properties: {
      'com.microsoft:receiver-name': name,
      ...(epoch === undefined ? {} : { 'com.microsoft:epoch': types.wrap_long(epoch) }),
    },
  };
};

test('an epoch steals the partition, also from another connection, and a lower one or none is refused', async () => {
  await using hub = await openAmqpTestHub();
  const [one, two] = [await connected(hub), await connected(hub)];
  const shared = one.receive(from(undefined), receiverOptions(undefined, 'shared'));
  await shared.opened();
  const first = two.receive(from(undefined), receiverOptions(1, 'first'));
  const stolen = await shared.ending();
  assert.equal(stolen.condition, 'amqp:link:stolen');
  assert.match(
    stolen.description,
    /^New receiver 'first' with higher epoch of '1' is created hence current receiver 'shared'/,
  );
  await first.opened();
  const lower = await one.receive(from(undefined), receiverOptions(0, 'lower')).ending();
  assert.equal(lower.condition, 'amqp:link:stolen');
  assert.match(lower.description, /^Receiver 'first' with a higher epoch '1' already exists/);
  const none = await one.receive(from(undefined), receiverOptions(undefined, 'none')).ending();
  assert.equal(none.condition, 'amqp:link:stolen');
  assert.match(none.description, /^At least one receiver for the endpoint is created with epoch of '1'/);
  const equal = one.receive(from(undefined), receiverOptions(1, 'equal'));
  assert.equal((await first.ending()).condition, 'amqp:link:stolen');
  await equal.opened();
  equal.link.close();
  await equal.ending();
  const again = two.receive(from(undefined), receiverOptions(undefined, 'again'));
  await again.opened();
  assert.equal(again.link.is_open(), true);
  await Promise.all([one.close(), two.close()]);
});

test('the sixth receiver without an epoch is refused, until one has gone with its connection', async () => {
  await using hub = await openAmqpTestHub();
  const [one, two] = [await connected(hub), await connected(hub)];
  const receivers = numbers(5).map((name) => one.receive(from(undefined), receiverOptions(undefined, name)));
  await Promise.all(receivers.map((receiver) => receiver.opened()));
  const sixth = await two.receive(from(undefined), receiverOptions(undefined, 'sixth')).ending();
  assert.equal(sixth.condition, 'amqp:resource-limit-exceeded');
  await one.close();
  const later = two.receive(from(undefined), receiverOptions(undefined, 'later'));
  await later.opened();
  assert.equal(later.link.is_open(), true);
  await two.close();
});

test('$management describes the event hub and its partitions', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(0, numbers(4));
  const client = await connected(hub);
  for (const address of ['$management', `${HUB_NAME}/$management`]) {
    const ask = await client.node(address);
    const read = (type: string, more = {}) =>
      ask({ application_properties: { operation: 'READ', name: HUB_NAME, type: `com.microsoft:${type}`, ...more } });
    const entity = await read('eventhub');
    assert.equal(entity.application_properties?.['status-code'], 200);
    assert.deepEqual(entity.body, {
      name: HUB_NAME,
      type: 'com.microsoft:eventhub',
      created_at: new Date(hub.telemetry.createdTime),
      partition_count: 2,
      partition_ids: ['0', '1'],
      georeplication_factor: 1,
    });
    const full = await read('partition', { partition: '0' });
    assert.deepEqual(full.body, {
      name: HUB_NAME,
      type: 'com.microsoft:partition',
      partition: '0',
      begin_sequence_number: 0,
      last_enqueued_sequence_number: 3,
      last_enqueued_sequence_number_epoch: 0,
      last_enqueued_offset: String(OFFSET_BASE + 3),
      last_enqueued_time_utc: new Date(hub.telemetry.lastKnown(0).lastTime),
      is_partition_empty: false,
    });
    const empty = await read('partition', { partition: '1' });
    assert.equal(empty.body.last_enqueued_sequence_number, -1);
    assert.equal(empty.body.last_enqueued_offset, '-1');
    assert.equal(empty.body.is_partition_empty, true);
    const statuses = [
      await read('partition', { partition: '9' }),
      await read('eventhub', { name: 'other' }),
      await read('colour'),
      await read('eventhub', { operation: 'DELETE' }),
    ].map(({ application_properties: answer }) => [answer?.['status-code'], answer?.['error-condition']]);
    assert.deepEqual(statuses, [
      [400, 'com.microsoft:argument-out-of-range'],
      [404, 'amqp:not-found'],
      [400, 'com.microsoft:argument-error'],
      [400, 'com.microsoft:argument-error'],
    ]);
  }
  await client.close();
});

test('the hub address sends old clients to the event hub, on receivers and senders', async () => {
  await using hub = await openAmqpTestHub();
  const client = await connected(hub);
  const cases: [string, string][] = [
    ['messages/events/', `amqps://localhost:5671/${HUB_NAME}/`],
    ['/messages/events/$management', `amqps://localhost:5671/${HUB_NAME}/$management`],
    ['amqps://localhost/messages/events/$management', `amqps://localhost:5671/${HUB_NAME}/$management`],
    ['/messages/operationsMonitoringEvents/*', `amqps://localhost:5671/${HUB_NAME}-monitoring/*`],
  ];
  for (const [address, target] of cases) {
    for (const link of [client.receive(address), client.send(address)]) {
      const { condition, info } = await link.ending();
      assert.equal(condition, 'amqp:link:redirect');
      assert.equal(info.hostname, 'localhost');
      assert.equal(info['network-host'], 'localhost');
      assert.equal(info.port, 5671);
      assert.equal(info.address, target);
    }
  }
  await client.close();
});

test('a token for the hub address itself is enough to be sent to the event hub, and for nothing else', async () => {
  await using hub = await openAmqpTestHub();
  for (const stream of ['events', 'operationsMonitoringEvents']) {
    const client = await AmqpDriver.connect(hub.port);
    const resource = `sb://localhost/messages/${stream}/$management`;
    const answer = await client.putToken(hub.token({ resource }), resource);
    assert.equal(answer.application_properties?.['status-code'], 200);
    for (const link of [client.receive(resource), client.send(resource)]) {
      assert.equal((await link.ending()).condition, 'amqp:link:redirect');
    }
    assert.equal((await client.receive(from(undefined)).ending()).condition, 'amqp:unauthorized-access');
    await client.close();
  }
});

test('an attach is answered with the settle modes that it asked for, and with a map of properties', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await AmqpDriver.connect(hub.port);
  await client.putToken(device.token(), device.resource);
  for (const snd of [0, 1, 2]) {
    for (const rcv of [0, 1]) {
      const modes = { snd_settle_mode: snd, rcv_settle_mode: rcv };
      const sender = client.send(device.address('messages/events'), modes);
      const receiver = client.receive(device.address('messages/devicebound'), modes);
      for (const driver of [sender, receiver]) {
        await driver.opened();
        const { remote } = driver.link as unknown as { remote: { attach: Record<string, unknown> } };
        const { snd_settle_mode, rcv_settle_mode, properties } = remote.attach;
        assert.deepEqual({ snd_settle_mode, rcv_settle_mode, properties }, { ...modes, properties: {} });
      }
      sender.link.close();
      receiver.link.close();
    }
  }
  await client.close();
});

test('an address of the hub answers nobody who has not proved who they are', async () => {
  await using hub = await openAmqpTestHub();
  const client = await AmqpDriver.connect(hub.port);
  const answers = new Set<string>();
  for (const address of ['messages/events/', 'nowhere/at/all', HUB_NAME, String(from(undefined))]) {
    const { condition, description } = await client.receive(address).ending();
    answers.add(`${condition} ${description}`);
  }
  assert.equal(answers.size, 1);
  assert.match([...answers][0], /^amqp:unauthorized-access /);
  await client.close();
});

test('a token for one partition opens that one; several of them on one connection open each its own', async () => {
  await using hub = await openAmqpTestHub();
  const client = await AmqpDriver.connect(hub.port);
  const put = async (partition: number): Promise<void> => {
    const resource = `sb://localhost/${from(undefined, 'number', partition)}`;
    assert.equal(
      (await client.putToken(hub.token({ resource }), resource)).application_properties?.['status-code'],
      202,
    );
  };
  const open = (partition: number) => client.receive(from(undefined, 'number', partition));
  await put(0);
  await open(0).opened();
  assert.equal((await open(1).ending()).condition, 'amqp:unauthorized-access');
  const monitoring = client.receive(`${HUB_NAME}-monitoring/ConsumerGroups/$Default/Partitions/0`);
  assert.equal((await monitoring.ending()).condition, 'amqp:unauthorized-access');
  await put(1);
  await open(1).opened();
  await open(0).opened();
  const ask = await client.node('$management');
  const read = await ask({
    application_properties: { operation: 'READ', name: HUB_NAME, type: 'com.microsoft:eventhub' },
  });
  assert.equal(read.application_properties?.['status-code'], 401);
  await client.close();
});

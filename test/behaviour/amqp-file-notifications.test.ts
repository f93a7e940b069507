/** Back ends hear of uploaded files over AMQP, in the form and under the locks that the service SDKs know. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from 'rhea';
import { AmqpDriver, bodyText, type DriverReceiver } from '../drivers/amqp.ts';
import { type AmqpTestHub, openAmqpTestHub } from '../drivers/amqp-door.ts';

const ADDRESS = '/messages/serviceBound/filenotifications';

async function backEnd(hub: AmqpTestHub): Promise<DriverReceiver> {
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(hub.token({ resource: 'localhost' }), 'localhost');
  const receiver = client.receive(ADDRESS, { autoaccept: false });
  await receiver.opened();
  return receiver;
}

const nameIn = (message: Message): unknown => JSON.parse(bodyText(message)).blobName;

test('a notification has every field that Java and .NET read without asking', async () => {
  await using hub = await openAmqpTestHub();
  await hub.device('d1');
  const receiver = await backEnd(hub);
  receiver.credit(1);
  await hub.upload('d1', 'logs/ü 1.txt', 'twelve bytes');
  const [message] = await receiver.received(1);
  assert.equal(message.content_type, 'application/vnd.microsoft.iothub.filenotification.json');
  assert.equal((receiver.deliveries[0] as unknown as { tag: Buffer }).tag.length, 16);
  assert.equal(message.body.typecode, 0x75);
  assert.match(bodyText(message), /^[ -~]*$/);
  const { lastUpdatedTime, enqueuedTimeUtc, ...rest } = JSON.parse(bodyText(message));
  assert.deepEqual(rest, {
    deviceId: 'd1',
    blobUri: 'https://localhost/hub-files/d1/logs/%C3%BC%201.txt',
    blobName: 'd1/logs/ü 1.txt',
    blobSizeInBytes: 12,
  });
  // The one form of each that Java reads: what it cannot read it accepts, and nobody hears of the file.
  assert.match(lastUpdatedTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/);
  assert.match(enqueuedTimeUtc, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  for (const time of [lastUpdatedTime, enqueuedTimeUtc]) assert.ok(Date.now() - Date.parse(time) < 60_000, time);
});

test('one back end has it at a time: released it goes to another, accepted to nobody', async () => {
  await using hub = await openAmqpTestHub();
  await hub.device('d1');
  const [one, two] = [await backEnd(hub), await backEnd(hub)];
  one.credit(1);
  await hub.upload('d1', 'a', 'x');
  await one.received(1);
  two.credit(5);
  one.deliveries[0].release();
  await two.received(1);
  assert.equal(nameIn(two.messages[0]), 'd1/a');
  await hub.upload('d1', 'b', 'x');
  await two.received(2);
  two.deliveries[0].accept();
  one.credit(5);
  // What the second back end leaves unsettled comes back with its link; what it accepted does not.
  two.link.close();
  await one.received(2);
  assert.equal(nameIn(one.messages[1]), 'd1/b');
  one.deliveries[1].accept();
  await hub.upload('d1', 'c', 'x');
  await one.received(3);
  assert.equal(nameIn(one.messages[2]), 'd1/c');
});

test('who may not receive them is refused', async () => {
  await using hub = await openAmqpTestHub();
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(hub.token({ resource: 'localhost', policyName: 'registryRead' }), 'localhost');
  const ending = await client.receive(ADDRESS).detached;
  assert.equal(ending.condition, 'amqp:unauthorized-access');
});

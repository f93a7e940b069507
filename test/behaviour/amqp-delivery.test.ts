import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { seededRandom } from '../../src/base/random.ts';
import { AmqpDriver, bodyText, type DriverReceiver } from '../drivers/amqp.ts';
import { type AmqpTestHub, HUB_NAME, numbers, openAmqpTestHub } from '../drivers/amqp-door.ts';

const source = (partition = 0): string => `${HUB_NAME}/ConsumerGroups/$Default/Partitions/${partition}`;

async function connected(hub: AmqpTestHub, options: Record<string, unknown> = {}): Promise<AmqpDriver> {
  return AmqpDriver.connect(hub.port, { username: 'service', password: hub.key('service'), ...options });
}

/** Lets every read of the log take so many turns of the event loop. */
function readSlowly({ telemetry }: AmqpTestHub, turns: () => number): void {
  const read = telemetry.read.bind(telemetry);
  telemetry.read = async (...where) => {
    await settled(turns());
    return read(...where);
  };
}

function socketOf(client: AmqpDriver): Socket {
  return (client.connection as unknown as { readonly socket: Socket }).socket;
}

/** Lets everything happen that is under way in this process. */
async function settled(turns = 50): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('no more is sent than the reader has given credit for', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(0, numbers(100));
  const client = await connected(hub);
  const receiver = client.receive(source());
  await receiver.opened();
  for (const credit of [1, 7, 30]) {
    const before = receiver.messages.length;
    receiver.credit(credit);
    await receiver.received(before + credit);
    await settled();
    assert.equal(receiver.messages.length, before + credit);
  }
  receiver.credit(1000);
  await receiver.received(100);
  assert.deepEqual(receiver.messages.map(bodyText), numbers(100));
  await client.close();
});

test('events that come while a reader waits reach it at once and in order', async () => {
  await using hub = await openAmqpTestHub();
  const client = await connected(hub);
  const receiver = client.receive(source());
  receiver.credit(1000);
  await receiver.opened();
  for (let round = 0; round < 20; round++) {
    await hub.append(0, numbers(5, round * 5));
    await receiver.received((round + 1) * 5);
  }
  assert.deepEqual(receiver.messages.map(bodyText), numbers(100));
  await client.close();
});

test('a message larger than a frame comes in several, whatever the frame size of the reader', async () => {
  await using hub = await openAmqpTestHub();
  const bodies = [1, 500, 65_000, 65_536, 250_000].map((size) => Buffer.alloc(size, size % 251));
  await hub.append(0, bodies);
  for (const max_frame_size of [512, 4096, 65_536, 4_294_967_295]) {
    const client = await connected(hub, { max_frame_size });
    const receiver = client.receive(source());
    receiver.credit(bodies.length);
    const messages = await receiver.received(bodies.length);
    assert.deepEqual(
      messages.map(({ body }) => body.content),
      bodies,
    );
    await client.close();
  }
});

test('a session window that ends within a message holds the rest back until it opens again', async () => {
  await using hub = await openAmqpTestHub();
  // Nine frames each: the library opens its window of sixteen when it has taken a whole message.
  const bodies = numbers(10).map((text) => Buffer.alloc(3_500, text));
  await hub.append(0, bodies);
  const client = await connected(hub, { max_frame_size: 512, session_buffer_size: 16 });
  const receiver = client.receive(source());
  receiver.credit(10);
  const messages = await receiver.received(10);
  assert.deepEqual(
    messages.map(({ body }) => body.content),
    bodies,
  );
  await client.close();
});

test('credit that is drained comes back at once when there is nothing, and after the rest when there is', async () => {
  await using hub = await openAmqpTestHub();
  await hub.append(0, numbers(3));
  const client = await connected(hub);
  const receiver = client.receive(source());
  await receiver.opened();
  const drained = new Promise<void>((resolve) => receiver.link.once('receiver_drained', () => resolve()));
  receiver.credit(10);
  receiver.link.drain_credit();
  await drained;
  assert.deepEqual(receiver.messages.map(bodyText), numbers(3));
  assert.equal((receiver.link as unknown as { credit: number }).credit, 0);
  await hub.append(0, numbers(1, 3));
  await settled();
  assert.equal(receiver.messages.length, 3);
  await client.close();
});

test('two consumer groups read at their own pace', async () => {
  await using hub = await openAmqpTestHub();
  await hub.hub.events.createConsumerGroup(hub.owner, HUB_NAME, 'slow');
  await hub.append(0, numbers(500));
  const client = await connected(hub);
  const quick = client.receive(source());
  const slow = client.receive(`${HUB_NAME}/ConsumerGroups/slow/Partitions/0`);
  quick.credit(1000);
  slow.credit(3);
  await quick.received(500);
  await slow.received(3);
  slow.credit(1000);
  await slow.received(500);
  assert.deepEqual(slow.messages.map(bodyText), numbers(500));
  await client.close();
});

test('a reader that stops reading its socket costs bounded memory, and goes on where it stopped', async () => {
  await using hub = await openAmqpTestHub();
  const bodies = Array.from({ length: 800 }, (_, at) => Buffer.alloc(50_000, at));
  for (let at = 0; at < bodies.length; at += 100) await hub.append(0, bodies.slice(at, at + 100));
  const client = await connected(hub);
  const socket = socketOf(client);
  const receiver = client.receive(source());
  await receiver.opened();
  receiver.credit(1000);
  await receiver.received(1);
  socket.pause();
  await settled(2000);
  const { unsentBytesMax } = hub;
  assert.ok(unsentBytesMax() > 0, 'the socket of the hub is full');
  assert.ok(unsentBytesMax() <= limits.readerBytesMax, `${unsentBytesMax()} bytes wait in the socket`);
  socket.resume();
  const messages = await receiver.received(800);
  assert.deepEqual(
    messages.map(({ body }) => body.content[0]),
    bodies.map((body) => body[0]),
  );
  await client.close();
});

test('what readers get is what was sent, byte for byte, with readers quick and slow over used-up and new memory', async () => {
  await using hub = await openAmqpTestHub();
  const seed = Number(process.env.MOORING_TEST_SEED ?? Date.now() % 1e9);
  const { next, bytes } = seededRandom(seed);
  const below = (bound: number): number => Math.floor(next() * bound);
  readSlowly(hub, () => below(6));
  const partitions = [0, 1];
  const bodies: Buffer[][] = [[], []];
  // One takes smaller frames than what is laid out for the others, and cannot be given the same.
  const frameBytes = [65_536, 65_536, 4096, 1_000_000];
  const clients = await Promise.all(frameBytes.map((max_frame_size) => connected(hub, { max_frame_size })));
  const receivers: { readonly partition: number; readonly receiver: DriverReceiver }[] = [];
  const receive = (client: AmqpDriver, partition: number, credit_window: number): void => {
    receivers.push({ partition, receiver: client.receive(source(partition), { credit_window }) });
  };
  for (const [at, client] of clients.entries()) {
    // Not the same handles on each connection: what is laid out for one reader must not reach another as it is.
    for (const partition of at % 2 === 0 ? partitions : partitions.toReversed())
      receive(client, partition, 10 ** (at + 1));
  }
  await Promise.all(receivers.map(({ receiver }) => receiver.opened()));
  for (let round = 0; round < 60; round++) {
    if (round === 20) receive(clients[0], 0, 77);
    if (round === 40) {
      // Another leaves in the middle; its place, of five in a consumer group, is taken from the beginning.
      const [{ partition, receiver }] = receivers.splice(4, 1);
      const gone = new Promise((resolve) => receiver.link.once('receiver_close', resolve));
      socketOf(clients[2]).resume();
      receiver.link.close();
      await gone;
      receive(clients[3], partition, 5000);
    }
    for (const partition of partitions) {
      // Mostly small deliveries, which share memory with others, and now and then some that fill whole buffers.
      const count = 1 + below(round % 5 === 0 ? 300 : 8);
      const added = Array.from({ length: count }, () => bytes(1 + below(below(20) === 0 ? 30_000 : 600)));
      bodies[partition].push(...added);
      await hub.append(partition, added);
    }
    const socket = socketOf(clients[round % clients.length]);
    if (round % 3 === 0) socket.pause();
    else socket.resume();
  }
  for (const client of clients) socketOf(client).resume();
  for (const { partition, receiver } of receivers) {
    const sent = bodies[partition];
    const messages = await receiver.received(sent.length);
    assert.equal(messages.length, sent.length);
    for (const [at, { body, message_annotations }] of messages.entries()) {
      assert.ok(sent[at].equals(body.content), `event ${at} of partition ${partition}, MOORING_TEST_SEED=${seed}`);
      assert.equal(message_annotations?.['x-opt-sequence-number'], at);
    }
  }
  for (const client of clients) await client.close();
});

test('what one reader has not taken yet is not changed for another one', async () => {
  await using hub = await openAmqpTestHub();
  const bodies = Array.from({ length: 1000 }, (_, at) => Buffer.alloc(20_000, at));
  const slow = await connected(hub);
  // A link more, so that its reader has another handle than the others.
  await slow.receive(source(1)).opened();
  const quick = await connected(hub);
  const receivers: DriverReceiver[] = [];
  // What the first is given goes to the slow one, whose socket keeps it, and then to the third.
  for (const client of [quick, slow, quick]) {
    const receiver = client.receive(source());
    receiver.credit(bodies.length);
    await receiver.opened();
    receivers.push(receiver);
  }
  socketOf(slow).pause();
  const [first, late, third] = receivers;
  for (let at = 0; at < bodies.length; at += 10) {
    await hub.append(0, bodies.slice(at, at + 10));
    await Promise.all([first.received(at + 10), third.received(at + 10)]);
  }
  assert.ok(hub.unsentBytesMax() > 0, 'the hub has bytes for the slow reader that its socket does not take');
  socketOf(slow).resume();
  await late.received(bodies.length);
  for (const { messages } of receivers) {
    assert.equal(messages.length, bodies.length);
    for (const [at, { body }] of messages.entries()) assert.ok(bodies[at].equals(body.content), `event ${at}`);
  }
  await slow.close();
  await quick.close();
});

test('a reader that was away while retention went on begins at what is kept', async () => {
  await using hub = await openAmqpTestHub({ retentionBytes: 100_000 });
  const client = await connected(hub);
  const receiver = client.receive(source());
  await receiver.opened();
  for (let round = 0; round < 20; round++) await hub.append(0, [Buffer.alloc(20_000, round)]);
  const { firstSequence } = hub.telemetry.lastKnown(0);
  assert.ok(firstSequence > 0);
  receiver.credit(100);
  const [first] = await receiver.received(20 - firstSequence);
  assert.equal(first.message_annotations?.['x-opt-sequence-number'], firstSequence);
  assert.equal(first.body.content[0], firstSequence);
  await client.close();
});

test('many readers of many partitions on one connection all get everything', async () => {
  await using hub = await openAmqpTestHub({ partitions: 8 });
  for (let partition = 0; partition < 8; partition++) await hub.append(partition, numbers(300, partition * 1000));
  const client = await connected(hub);
  const receivers = Array.from({ length: 16 }, (_, at) => client.receive(source(at % 8), { credit_window: 50 }));
  await Promise.all(
    receivers.map(async (receiver, at) => {
      await receiver.received(300);
      assert.deepEqual(receiver.messages.map(bodyText), numbers(300, (at % 8) * 1000));
    }),
  );
  await client.close();
});

test('the hub says good-bye when it stops: it ends the sessions, then the connection', async () => {
  const hub = await openAmqpTestHub();
  const client = await connected(hub);
  const receiver = client.receive(source());
  await receiver.opened();
  assert.equal(hub.door.connections(), 1);
  const heard: string[] = [];
  client.connection.on('session_error', ({ session }) =>
    heard.push(String((session?.error as { readonly condition?: string }).condition)),
  );
  client.connection.on('connection_close', () => heard.push('close'));
  await hub[Symbol.asyncDispose]();
  // The Node device SDK comes back at once after this order alone, and only with this condition.
  assert.deepEqual(heard, ['amqp:link:detach-forced', 'close']);
  assert.equal((await client.ended).condition, 'amqp:connection:forced');
  assert.equal(hub.door.connections(), 0);
});

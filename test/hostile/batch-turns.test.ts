/** Batches of many connections that come together are taken apart a few in a turn of the loop; without the bound all of them in one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import rhea from 'rhea';
import { AmqpDriver, type DriverSender } from '../drivers/amqp.ts';
import { openAmqpTestHub } from '../drivers/amqp-door.ts';
import { withLimits } from './cost.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of types
const { message: messages } = rhea as any;
const BATCH = 0x80013700;
const CONNECTIONS = 12;
const batch: Buffer = messages.encode({
  body: messages.data_sections(
    Array.from({ length: 50 }, () => messages.encode({ body: messages.data_section(Buffer.from('x')) })),
  ),
});

/** The most batches that were taken in one turn of the loop, where each connection sends one at the same time. */
async function mostInATurn(): Promise<number> {
  await using hub = await openAmqpTestHub({ partitions: 1 });
  const { events } = hub.hub;
  const taken = new Map<number, number>();
  let turn = 0;
  const send = events.send.bind(events);
  Object.assign(events, {
    send: (...args: Parameters<typeof send>) => {
      taken.set(turn, (taken.get(turn) ?? 0) + 1);
      return send(...args);
    },
  });
  const clients: AmqpDriver[] = [];
  const senders: DriverSender[] = [];
  for (let nth = 0; nth < CONNECTIONS; nth++) {
    const device = await hub.device(`evil-${nth}`);
    const client = await AmqpDriver.connect(hub.port, {});
    await client.putToken(device.token(), device.resource);
    clients.push(client);
    senders.push(client.send(device.address('messages/events')));
  }
  await Promise.all(senders.map((sender) => sender.opened()));
  let counting: NodeJS.Immediate;
  const count = (): void => {
    turn++;
    counting = setImmediate(count);
  };
  counting = setImmediate(count);
  const outcomes = senders.map((sender) => sender.outcome(batch, BATCH));
  // What was written stands in the sockets before the loop looks at any of them again.
  await new Promise((resolve) => process.nextTick(resolve));
  assert.deepEqual(new Set(await Promise.all(outcomes)), new Set(['accepted']));
  clearImmediate(counting);
  for (const client of clients) await client.close();
  assert.equal(
    [...taken.values()].reduce((sum, each) => sum + each, 0),
    CONNECTIONS,
  );
  return Math.max(...taken.values());
}

test('batches of many connections have turns; canary: without the bound they have not', async () => {
  const bounded = await withLimits({ amqpBatchBytesPerTurn: 1 }, mostInATurn);
  assert.equal(bounded, 1);
  const unbounded = await withLimits({ amqpBatchBytesPerTurn: 1e9 }, mostInATurn);
  assert.ok(unbounded > 3, `${unbounded} in a turn`);
});

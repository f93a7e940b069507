/** A device at the door for AMQP, as tests need it: its connection, what it sends, its commands, and what the hub has of it. */
import assert from 'node:assert/strict';
import rhea, { type Message } from 'rhea';
import type { CommandMessage } from '../../src/core/commands/types.ts';
import { AmqpDriver, type Outcome } from './amqp.ts';
import { type AmqpTestHub, HUB_NAME, type TestDevice } from './amqp-door.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of types
export const { message: messages, types } = rhea as any;

export const BATCH = 0x80013700;

export async function connected(hub: AmqpTestHub, ...devices: readonly TestDevice[]): Promise<AmqpDriver> {
  const client = await AmqpDriver.connect(hub.port, {});
  for (const device of devices) await authenticate(client, device);
  return client;
}

export async function authenticate(client: AmqpDriver, device: TestDevice, lifeMs?: number): Promise<void> {
  const { application_properties: answer } = await client.putToken(device.token(lifeMs), device.resource);
  assert.equal(answer?.['status-code'], 200);
}

export const data = (text: string | Buffer): unknown => messages.data_section(Buffer.from(text));
export const encoded = (message: Partial<Message>): Buffer => messages.encode(message);

/** The events of the hub so far, in the order of their partition. */
export async function events(hub: AmqpTestHub, count: number): Promise<readonly Message[]> {
  const reader = await AmqpDriver.connect(hub.port, { username: 'service', password: hub.key('service') });
  const found: Message[] = [];
  for (let partition = 0; partition < hub.telemetry.partitionCount; partition++) {
    const { firstSequence, lastSequence } = hub.telemetry.lastKnown(partition);
    const receiver = reader.receive(`${HUB_NAME}/ConsumerGroups/$Default/Partitions/${partition}`);
    receiver.credit(1000);
    found.push(...(await receiver.received(lastSequence - firstSequence + 1)));
  }
  await reader.close();
  assert.equal(found.length, count);
  return found;
}

export async function sendCommand(
  hub: AmqpTestHub,
  device: TestDevice,
  body: string,
  more: Partial<CommandMessage> = {},
) {
  await hub.hub.commands.send(hub.owner, device.id, {
    ack: 'full',
    properties: [],
    messageId: body,
    body: Buffer.from(body),
    ...more,
  });
}

/** What became of the commands of a device, by message id. */
export async function outcomes(
  hub: AmqpTestHub,
  device: TestDevice,
  ...ids: readonly string[]
): Promise<readonly string[]> {
  const found = await Promise.all(ids.map((messageId) => hub.commandQueue.find(device.id, { messageId })));
  return found.map(([{ state }]) => (state.kind === 'ended' ? state.outcome : state.kind));
}

export const condition = (outcome: Outcome): string => (typeof outcome === 'string' ? outcome : outcome.condition);

/** Lets what is under way between client and hub arrive. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A receiver of commands that settles nothing by itself. */
export async function commandsOf(
  client: AmqpDriver,
  device: TestDevice,
  credit = 100,
  options: Record<string, unknown> = {},
) {
  const receiver = client.receive(device.address('messages/deviceBound'), { autoaccept: false, ...options });
  await receiver.opened();
  receiver.credit(credit);
  return receiver;
}

export const isConnected = async (hub: AmqpTestHub, device: TestDevice): Promise<boolean> =>
  (await hub.hub.presence.state(device.id)).connected;

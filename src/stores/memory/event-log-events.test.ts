/** `core/events` over the log and consumer groups in memory. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { createEvents, type EventsParts } from '../../core/events/events.ts';
import type { RecordCodec } from '../../core/events/ports.ts';
import type { EventHubs, Events } from '../../core/events/room.ts';
import { partitionOf } from '../../core/events/rules.ts';
import type { Telemetry } from '../../core/events/types.ts';
import { createGuard, silentAudit } from '../../core/identity/guard.ts';
import type { DevicePrincipal, Permission, PolicyPrincipal } from '../../core/identity/types.ts';
import { readAll } from '../contract/event-log.ts';
import { createMemoryConsumerGroupStore } from './consumer-groups.ts';
import { createMemoryEventLog, type MemoryEventLog } from './event-log.ts';

const clock = new VirtualClock();
const codec: RecordCodec = {
  encode: (stamp, { body }, enqueuedTime) =>
    Buffer.from(`${stamp.deviceId} ${stamp.source} ${enqueuedTime - clock.now()} ${Buffer.from(body)}`),
  template: (stamp) => ({
    size: (bodyBytes) => Buffer.byteLength(`${stamp.deviceId} ${stamp.source} 0 `) + bodyBytes,
    write(target, at, enqueuedTime, source, bodyStart, bodyEnd) {
      const body = Buffer.from(source.subarray(bodyStart, bodyEnd));
      target.write(`${stamp.deviceId} ${stamp.source} ${enqueuedTime - clock.now()} ${body}`, at);
    },
    message: () => ({ system: {}, properties: [] }),
  }),
};
const device = (deviceId: string): DevicePrincipal => ({
  kind: 'device',
  key: { deviceId },
  generationId: 'g1',
  expiresAt: clock.now() + 1000,
  authScope: 'device',
  authType: 'sas',
});
const policy = (...permissions: Permission[]): PolicyPrincipal => ({
  kind: 'policy',
  policyName: 'p',
  permissions: new Set(permissions),
  expiresAt: clock.now() + 1000,
  scope: [],
});
const text = (body: string): Telemetry => ({ system: {}, properties: [], body: Buffer.from(body) });
const refused = (code: string) => (error: unknown) => error instanceof HubError && error.code === code;

function make(change: Partial<EventsParts> = {}): { events: Events & EventHubs; telemetry: MemoryEventLog } {
  const telemetry = createMemoryEventLog({ name: 'Hub1', partitionCount: 4, clock, durable: 'byHand' });
  const monitoring = createMemoryEventLog({ name: 'Hub1-monitoring', partitionCount: 1, clock });
  const consumerGroups = createMemoryConsumerGroupStore();
  const guard = createGuard(clock, silentAudit);
  return { telemetry, events: createEvents({ guard, telemetry, monitoring, consumerGroups, codec, clock, ...change }) };
}

test('what a device sends stands in its partition, in order, when the waiter hears of it', async () => {
  const { events, telemetry } = make();
  const sender = events.openSender(device('d1'), { deviceId: 'd1' });
  assert.equal(sender.partition, partitionOf('d1', 4));
  const told: string[] = [];
  const waiter = {
    batchDurable: (batch: number) => told.push(`durable ${batch}`),
    batchFailed: (batch: number) => told.push(`failed ${batch}`),
  };
  const batch = events.enqueue(sender, text('one'), waiter);
  assert.equal(events.enqueue(sender, text('two'), waiter), batch);
  assert.deepEqual(told, []);
  await telemetry.commit();
  assert.deepEqual(told, [`durable ${batch}`]);
  assert.deepEqual(await readAll(telemetry, sender.partition), ['d1 Telemetry 0 one', 'd1 Telemetry 0 two']);
});

test('a module shares its device’s partition', () => {
  const { events } = make();
  const key = { deviceId: 'd7', moduleId: 'm1' };
  const sender = events.openSender({ ...device('d7'), key, authScope: 'module' }, key);
  assert.equal(sender.partition, events.openSender(device('d7'), { deviceId: 'd7' }).partition);
});

test('a request is answered when all its messages are durable, also over several batches', async () => {
  const { events, telemetry } = make({ codec: { ...codec, encode: () => Buffer.alloc(5 * 1024 * 1024) } });
  const sender = events.openSender(device('d1'), { deviceId: 'd1' });
  let isAnswered = false;
  const answer = events.send(sender, [text('a'), text('b')]).then(() => {
    isAnswered = true;
  });
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.equal(isAnswered, false);
  await telemetry.commit();
  await answer;
  assert.equal(telemetry.lastKnown(sender.partition).lastSequence, 1);
  await events.send(sender, []);
});

test('one message too large keeps the whole request out', async () => {
  const { events, telemetry } = make();
  const sender = events.openSender(device('d1'), { deviceId: 'd1' });
  const large = { ...text(''), body: Buffer.alloc(limits.telemetryBytesMax + 1) };
  await assert.rejects(events.send(sender, [text('fine'), large]), refused('MessageTooLarge'));
  await telemetry.commit();
  assert.equal(telemetry.lastKnown(sender.partition).lastSequence, -1);
});

test('a log that holds what it is given is given more, and doors wait with it', async () => {
  const { events, telemetry } = make();
  const sender = events.openSender(device('d1'), { deviceId: 'd1' });
  telemetry.health = () => ({ ok: false, reason: 'no broker leads it at the moment', isHeld: true });
  const waiting = events.send(sender, [text('kept')]);
  await telemetry.commit();
  await waiting;
  telemetry.health = () => ({ ok: false, reason: 'no broker can be reached' });
  await assert.rejects(events.send(sender, [text('refused')]), refused('ServiceUnavailable'));
});

test('a log that cannot store refuses before and fails what waits', async () => {
  const { events, telemetry } = make();
  const sender = events.openSender(device('d1'), { deviceId: 'd1' });
  const waiting = events.send(sender, [text('lost')]);
  telemetry.failWith(new Error('disk gone'));
  const failed = assert.rejects(waiting, refused('ServiceUnavailable'));
  await telemetry.commit();
  await failed;
  await assert.rejects(events.send(sender, [text('refused')]), refused('ServiceUnavailable'));
  assert.throws(
    () => events.enqueue(sender, text('refused'), { batchDurable() {}, batchFailed() {} }),
    (error) => error instanceof HubError && error.reason === 'disk gone',
  );
});

test('requests are throttled while too much waits for the disk', async () => {
  const { events, telemetry } = make({ codec: { ...codec, encode: () => Buffer.alloc(6 * 1024 * 1024) } });
  const sender = events.openSender(device('d1'), { deviceId: 'd1' });
  const waiting = [1, 2, 3].map(() => events.send(sender, [text('large')]));
  await assert.rejects(events.send(sender, [text('one more')]), refused('ThrottlingException'));
  await telemetry.commit();
  await Promise.all(waiting);
});

test('nobody sends for another, and only with a proof that holds', () => {
  const { events } = make();
  const cases = [
    [device('d2'), 'IotHubUnauthorizedAccess'],
    [policy('ServiceConnect', 'RegistryWrite'), 'IotHubUnauthorizedAccess'],
    [policy('DeviceConnect'), 'IotHubUnauthorizedAccess'],
    [{ ...device('d1'), expiresAt: clock.now() }, 'IotHubUnauthorized'],
  ] as const;
  for (const [principal, code] of cases) {
    assert.throws(() => events.openSender(principal, { deviceId: 'd1' }), refused(code));
  }
});

test('a back end finds event hub, group and partition, whatever the case of their names', async () => {
  const { events, telemetry } = make();
  const reader = policy('ServiceConnect');
  const open = (eventHub: string, consumerGroup: string, partition: string) =>
    events.openReader(reader, { eventHub, consumerGroup, partition });
  const opened = await open('hub1', '$default', '3');
  assert.deepEqual([opened.log, opened.partition, opened.consumerGroup], [telemetry, 3, '$Default']);
  assert.equal((await open('hub1-Monitoring', '$Default', '0')).log.name, 'Hub1-monitoring');
  await assert.rejects(open('hub2', '$Default', '0'), refused('AmqpAddressNotFound'));
  await assert.rejects(open('hub1', 'other', '0'), refused('ConsumerGroupNotFound'));
  await assert.rejects(open('hub1', '$Default', '4'), refused('PartitionNotFound'));
  assert.equal(events.inspect(reader, 'HUB1'), telemetry);
  assert.equal(events.eventHub('HUB1'), telemetry);
  assert.equal(events.eventHub('hub2'), undefined);
  assert.throws(() => events.inspect(reader, 'hub2'), refused('AmqpAddressNotFound'));
  for (const principal of [device('d1'), policy('RegistryRead', 'RegistryWrite', 'DeviceConnect')]) {
    assert.throws(() => events.inspect(principal, 'hub1'), refused('IotHubUnauthorizedAccess'));
    await assert.rejects(
      events.openReader(principal, { eventHub: 'no such', consumerGroup: '$Default', partition: '0' }),
      refused('IotHubUnauthorizedAccess'),
    );
  }
});

test('consumer groups: the default one stays, names are compared without regard to case, there is a limit', async () => {
  const { events } = make({ limits: { consumerGroupsMax: 3 } });
  const writer = policy('RegistryWrite');
  const reader = policy('ServiceConnect');
  const names = async () => (await events.listConsumerGroups(reader, 'hub1')).map(({ name }) => name);
  assert.deepEqual(await names(), ['$Default']);
  assert.deepEqual(await events.createConsumerGroup(writer, 'hub1', 'Slow'), {
    name: 'Slow',
    createdTime: clock.now(),
  });
  for (const name of ['slow', '$default']) {
    await assert.rejects(events.createConsumerGroup(writer, 'hub1', name), refused('ConsumerGroupAlreadyExists'));
  }
  await assert.rejects(events.createConsumerGroup(writer, 'hub1', 'a b'), refused('ArgumentInvalid'));
  await events.createConsumerGroup(writer, 'hub1', 'fast');
  await assert.rejects(events.createConsumerGroup(writer, 'hub1', 'more'), refused('IotHubQuotaExceeded'));
  assert.deepEqual(await names(), ['$Default', 'fast', 'Slow']);
  const place = { eventHub: 'hub1', consumerGroup: 'SLOW', partition: '0' };
  assert.equal((await events.openReader(reader, place)).consumerGroup, 'Slow');
  await events.deleteConsumerGroup(writer, 'hub1', 'sLOW');
  await assert.rejects(events.deleteConsumerGroup(writer, 'hub1', 'slow'), refused('ConsumerGroupNotFound'));
  await assert.rejects(events.deleteConsumerGroup(writer, 'hub1', '$DEFAULT'), refused('OperationNotAvailable'));
  await assert.rejects(events.createConsumerGroup(reader, 'hub1', 'x'), refused('IotHubUnauthorizedAccess'));
  await assert.rejects(events.listConsumerGroups(device('d1'), 'hub1'), refused('IotHubUnauthorizedAccess'));
});

test('a prepared message is stored as the same bytes, under the same rules', async () => {
  const { events, telemetry } = make();
  const sender = events.openSender(device('d1'), { deviceId: 'd1' });
  const waiter = { batchDurable: () => {}, batchFailed: () => assert.fail('the batch is durable') };
  const prepared = events.prepare(sender, { system: { messageId: 'm' }, properties: [['a', 'b']] });
  assert.equal(prepared.propertyBytes, 3);
  events.enqueue(sender, text('body'), waiter);
  assert.equal(events.enqueuePrepared(prepared, Buffer.from('-body-'), 1, 5, waiter), telemetry.writer.batch);
  await telemetry.commit();
  const [first, second] = await readAll(telemetry, sender.partition);
  assert.deepEqual([first, second], [first, first]);
  const largest = Buffer.alloc(limits.telemetryBytesMax - prepared.propertyBytes + 1);
  events.enqueuePrepared(prepared, largest, 1, largest.length, waiter);
  assert.throws(() => events.enqueuePrepared(prepared, largest, 0, largest.length, waiter), refused('MessageTooLarge'));
  telemetry.failWith(new Error('no space left'));
  assert.throws(() => events.enqueuePrepared(prepared, largest, 0, 1, waiter), refused('ServiceUnavailable'));
});

test('the end of a proof is looked at with each message; a renewed one goes on', async () => {
  const { events, telemetry } = make();
  const waiter = { batchDurable: () => {}, batchFailed: () => {} };
  const first = device('d1');
  const holder = { expiresAt: first.expiresAt };
  const [fixed, renewed] = [first, { ...first, key: { deviceId: 'd2' } }].map((principal, at) =>
    events.openSender(principal, principal.key, at === 0 ? {} : { proof: holder }),
  );
  const prepared = [fixed, renewed].map((sender) => events.prepare(sender, { system: {}, properties: [] }));
  const body = Buffer.from('x');
  clock.advance(999);
  for (const sender of [fixed, renewed]) events.enqueue(sender, text('before'), waiter);
  clock.advance(1);
  for (const [at, sender] of [fixed, renewed].entries()) {
    assert.throws(() => events.enqueue(sender, text('late'), waiter), refused('IotHubUnauthorized'));
    assert.throws(() => events.enqueuePrepared(prepared[at], body, 0, 1, waiter), refused('IotHubUnauthorized'));
    await assert.rejects(events.send(sender, [text('late')]), refused('IotHubUnauthorized'));
  }
  holder.expiresAt += 1000;
  events.enqueuePrepared(prepared[1], body, 0, 1, waiter);
  assert.throws(() => events.enqueuePrepared(prepared[0], body, 0, 1, waiter), refused('IotHubUnauthorized'));
  await telemetry.commit();
  const kept = await Promise.all([fixed, renewed].map(({ partition }) => readAll(telemetry, partition)));
  assert.deepEqual([...new Set(kept.flat())].map((line) => line.replace(/ -?\d+ /, ' ')).toSorted(), [
    'd1 Telemetry before',
    'd2 Telemetry before',
    'd2 Telemetry x',
  ]);
});

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryCommandQueue } from '../../stores/memory/command-queue.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import type { ErrorCode, HubError } from '../errors.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { Identity, IdentityKey, Permission, Principal } from '../identity/types.ts';
import { createCommands } from './commands.ts';
import type { CommandKeeping, Commands } from './room.ts';
import { defaultCommandLimits } from './rules.ts';
import type { CommandMessage } from './types.ts';

const policy = (...permissions: Permission[]): Principal => ({
  kind: 'policy',
  policyName: 'p',
  permissions: new Set(permissions),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
});
const backEnd = policy('ServiceConnect');
const device = (deviceId: string, generationId = 'g1'): Principal => ({
  kind: 'device',
  key: { deviceId },
  generationId,
  expiresAt: Number.POSITIVE_INFINITY,
  authScope: 'device',
  authType: 'sas',
});
const d1: IdentityKey = { deviceId: 'd1' };
const identity = (key: IdentityKey, status: 'enabled' | 'disabled' = 'enabled'): Identity => ({
  ...key,
  generationId: 'g1',
  etag: '1',
  status,
  statusReason: null,
  statusUpdatedTime: 0,
  authentication: { type: 'sas', symmetricKey: { primaryKey: 'a', secondaryKey: 'b' }, x509Thumbprint: null },
  capabilities: { iotEdge: false },
  deviceScope: null,
  parentScopes: [],
  managedBy: null,
});
const message = (messageId: string, change: Partial<CommandMessage> = {}): CommandMessage => ({
  messageId,
  ack: 'full',
  properties: [],
  body: Buffer.from('x'),
  ...change,
});
const refused = (code: ErrorCode) => (error: HubError) => {
  assert.equal(error.code, code, error.message);
  return true;
};

let clock: VirtualClock;
let commands: Commands & CommandKeeping;
let woken: string[];

beforeEach(async () => {
  clock = new VirtualClock();
  woken = [];
  const identities = createMemoryIdentityStore();
  await identities.write(
    [identity(d1), identity({ deviceId: 'd1', moduleId: 'm1' }), identity({ deviceId: 'shut' }, 'disabled')].map(
      (entry) => ({ kind: 'create', identity: entry, countMax: 10 }) as const,
    ),
  );
  commands = createCommands({
    guard: createGuard(clock, silentAudit),
    queue: createMemoryCommandQueue(identities),
    identities,
    limits: defaultCommandLimits,
    commandBytesMax: limits.commandBytesMax,
    clock,
    random: seededRandom(1),
    wake: (target) => woken.push(target.deviceId),
  });
});

test('a command wakes the device, is taken under a lock, completed, and its receipt can be read', async () => {
  const { sequence } = await commands.send(backEnd, d1, message('m1'));
  assert.equal(sequence, 1);
  assert.deepEqual(woken, ['d1']);
  const inbox = commands.openInbox(device('d1'), d1, 'c1');
  const [command] = await inbox.take(10);
  assert.equal(command.message.messageId, 'm1');
  assert.ok(command.state.kind === 'locked');
  await inbox.settle(command.state.lockToken, 'complete');
  await assert.rejects(inbox.settle(command.state.lockToken, 'complete'), refused('DeviceMessageLockLost'));

  assert.equal(await commands.takeReceipts(backEnd), undefined, 'a batch that is not full waits a while for others');
  clock.advance(limits.receiptBatchMs);
  const batch = await commands.takeReceipts(backEnd);
  assert.deepEqual(
    batch?.receipts.map((receipt) => [receipt.originalMessageId, receipt.outcome]),
    [['m1', 'completed']],
  );
  assert.equal(await commands.settleReceipts(backEnd, batch.lockToken, 'complete'), true);
  assert.equal(await commands.takeReceipts(backEnd), undefined);
});

test('what a closed connection held is offered again, and the device is woken', async () => {
  await commands.send(backEnd, d1, message('m1'));
  const first = commands.openInbox(device('d1'), d1, 'c1');
  await first.take(1);
  await first.close();
  assert.deepEqual(woken, ['d1', 'd1']);
  const [again] = await commands.openInbox(device('d1'), d1, 'c2').take(1);
  assert.deepEqual([again.message.messageId, again.handedOver], ['m1', 2]);
});

test('sweeping expires what waits too long and says when to come again', async () => {
  await commands.send(backEnd, d1, message('short', { expiry: clock.now() + 2000 }));
  assert.equal(await commands.sweep(), clock.now() + 2000);
  let told = 0;
  commands.watchReceipts(() => told++);
  clock.advance(2000);
  assert.equal(await commands.sweep(), undefined);
  assert.equal(told, 1);
  assert.deepEqual(
    (await commands.deadLetters(backEnd, d1)).map((command) => command.state),
    [{ kind: 'ended', outcome: 'expired', endedTime: clock.now() }],
  );
});

test('a dead letter can be sent again, with a new life and the same message', async () => {
  await commands.send(backEnd, d1, message('m1', { expiry: clock.now() + 1000, properties: [['a', 'b']] }));
  clock.advance(1000);
  await commands.sweep();
  const again = await commands.sendAgain(backEnd, d1, 1);
  assert.equal(again.sequence, 2);
  const [command] = await commands.openInbox(device('d1'), d1, 'c1').take(1);
  assert.deepEqual([command.message.messageId, command.message.properties], ['m1', [['a', 'b']]]);
  assert.equal(command.expiresAt, clock.now() + limits.commandTimeToLiveMsDefault);
  await assert.rejects(commands.sendAgain(backEnd, d1, 2), refused('ArgumentInvalid'));
});

test('the trail of a message id shows each step', async () => {
  await commands.send(backEnd, d1, message('m1'));
  const inbox = commands.openInbox(device('d1'), d1, 'c1');
  const [command] = await inbox.take(1);
  assert.ok(command.state.kind === 'locked');
  await inbox.settle(command.state.lockToken, 'reject');
  const [found] = await commands.trail(backEnd, d1, { messageId: 'm1' });
  assert.deepEqual(
    found.trail.map((entry) => entry.step),
    ['enqueued', 'handed-over', 'rejected'],
  );
});

test('refuses what may not be sent', async () => {
  const now = clock.now();
  const cases: readonly [ErrorCode, IdentityKey, CommandMessage][] = [
    ['DeviceNotFound', { deviceId: 'nobody' }, message('m')],
    ['ModuleNotFound', { deviceId: 'd1', moduleId: 'none' }, message('m')],
    ['DeviceDisabled', { deviceId: 'shut' }, message('m')],
    ['MessageTooLarge', d1, message('m', { body: Buffer.alloc(limits.commandBytesMax) })],
    ['InvalidMessageExpiryTime', d1, message('m', { expiry: now })],
    ['InvalidMessageExpiryTime', d1, message('m', { expiry: now + limits.commandTimeToLiveMsMax + 1 })],
    ['ArgumentInvalid', d1, message('x'.repeat(limits.messageIdCharsMax + 1))],
    ['ArgumentInvalid', d1, message('with space')],
    ['ArgumentInvalid', d1, message('m', { properties: [['a b', 'c']] })],
  ];
  for (const [code, target, sent] of cases) await assert.rejects(commands.send(backEnd, target, sent), refused(code));
  for (let at = 0; at < limits.commandQueueDepthMax; at++) await commands.send(backEnd, d1, message(`m${at}`));
  await assert.rejects(commands.send(backEnd, d1, message('51st')), (error: HubError) => {
    assert.deepEqual(error.limit, { name: 'commandQueueDepthMax', scope: 'device d1', current: 50, max: 50 });
    return refused('DeviceMaximumQueueDepthExceeded')(error);
  });
});

test('a device sees only its own queue, and back ends need their permission', async () => {
  assert.throws(() => commands.openInbox(device('d2'), d1, 'c1'), refused('IotHubUnauthorizedAccess'));
  assert.throws(
    () => commands.openInbox(device('d1'), { deviceId: 'd1', moduleId: 'm1' }, 'c1'),
    refused('IotHubUnauthorizedAccess'),
  );
  const registry = policy('RegistryRead', 'RegistryWrite');
  await assert.rejects(commands.send(registry, d1, message('m')), refused('IotHubUnauthorizedAccess'));
  await assert.rejects(commands.send(device('d1'), d1, message('m')), refused('IotHubUnauthorizedAccess'));
  await assert.rejects(commands.purge(registry, d1), refused('IotHubUnauthorizedAccess'));
  await assert.rejects(commands.takeReceipts(registry), refused('IotHubUnauthorizedAccess'));
});

test('a re-created device is not given what the old one was sent', async () => {
  await commands.send(backEnd, d1, message('old'));
  assert.deepEqual(await commands.openInbox(device('d1', 'g2'), d1, 'c1').take(1), []);
});

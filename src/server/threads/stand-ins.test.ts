/** The smaller stand-ins over real ports: change feeds, commands, receivers, facts, certificates, log lines. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { until } from '../../../test/drivers/until.ts';
import { systemClock, VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Log, type LogFields, silentLog } from '../../base/log.ts';
import { seededRandom, systemRandom } from '../../base/random.ts';
import { createCommands } from '../../core/commands/commands.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import type { HubError } from '../../core/errors.ts';
import { createGuard, silentAudit } from '../../core/identity/guard.ts';
import { buildIdentity } from '../../core/identity/rules.ts';
import type { Principal } from '../../core/identity/types.ts';
import { createRefusalDelays } from '../../core/throttling/slow-refusals.ts';
import { createMemoryCommandQueue } from '../../stores/memory/command-queue.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { openThreadLink } from './calls.ts';
import { ChangeFeed, serveHearing, storeStandIn } from './change-feed.ts';
import { commandsStandIn, serveCommands } from './commands.ts';
import { logStandIn, serveLog } from './log.ts';
import { refusalDelaysStandIn, serveRefusalDelays } from './refusal-delays.ts';
import { SharedFacts } from './shared-facts.ts';
import { identityCalls } from './store-calls.ts';
import { SharedTls, tlsStandIn } from './tls.ts';

const owner: Principal = {
  kind: 'policy',
  policyName: 'iothubowner',
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};

function links(t: TestContext) {
  const channel = new MessageChannel();
  t.after(() => channel.port1.close());
  return { main: openThreadLink(channel.port1), thread: openThreadLink(channel.port2) };
}

const creation = (deviceId: string) =>
  ({ kind: 'create', identity: buildIdentity({ deviceId }, systemRandom, 0), countMax: 100 }) as const;

test('a write is answered when every thread has heard of the change; a read on a thread sees it', async (t) => {
  const feed = new ChangeFeed(systemClock);
  const inner = createMemoryIdentityStore();
  const store = feed.telling(inner, identityCalls);
  const heard: string[] = [];
  const remotes = [0, 1].map((number) => {
    const { main, thread } = links(t);
    feed.serve(main, { identities: store });
    serveHearing(thread);
    const remote = storeStandIn(thread, 'identities', identityCalls);
    remote.watchOwnWrites(({ kind, identity }) => heard.push(`${number} ${kind} ${identity.deviceId}`));
    return remote;
  });
  const [outcome] = await store.write([creation('d1')]);
  assert.equal(outcome.kind, 'done');
  assert.deepEqual(heard.toSorted(), ['0 created d1', '1 created d1']);
  assert.equal((await remotes[1].get({ deviceId: 'd1' }))?.deviceId, 'd1');
  await remotes[0].write([creation('d2')]);
  assert.deepEqual(heard.filter((text) => text.endsWith('d2')).toSorted(), ['0 created d2', '1 created d2']);
});

test('a thread that hangs, or has ended, does not hold up writes for ever', async (t) => {
  const clock = new VirtualClock();
  const feed = new ChangeFeed(clock);
  const store = feed.telling(createMemoryIdentityStore(), identityCalls);
  // Nobody listens at the other end.
  const channel = new MessageChannel();
  t.after(() => channel.port1.close());
  const hung = openThreadLink(channel.port1);
  const end = feed.serve(hung, { identities: store });
  let isAnswered = false;
  const write = store.write([creation('d1')]).then(() => {
    isAnswered = true;
  });
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isAnswered, false);
  clock.advance(limits.threadToldMsMax);
  await write;
  const second = store.write([creation('d2')]);
  await new Promise((resolve) => setImmediate(resolve));
  hung.close();
  await second;
  end();
  await store.write([creation('d3')]);
});

test('commands are taken and settled on a thread; what a lost thread held is put back', async (t) => {
  const { main, thread } = links(t);
  const identities = createMemoryIdentityStore();
  const [made] = await identities.write([creation('d1')]);
  assert.ok(made.kind === 'done');
  const guard = createGuard(systemClock, silentAudit);
  const commands = createCommands({
    ...{
      guard,
      queue: createMemoryCommandQueue(identities),
      identities,
      limits: defaultCommandLimits,
      clock: systemClock,
    },
    ...{ commandBytesMax: limits.commandBytesMax, random: systemRandom, wake: () => {} },
  });
  const end = serveCommands(main, { commands, clock: systemClock, log: silentLog });
  const remote = commandsStandIn(thread, guard);
  const key = { deviceId: 'd1' };
  const receipts = new Promise<void>((resolve) => remote.watchReceipts(resolve));
  for (const text of ['a', 'b']) {
    await remote.send(owner, key, { body: Buffer.from(text), properties: [], ack: 'full' });
  }
  const device: Principal = {
    ...{ kind: 'device', key, generationId: made.identity.generationId, expiresAt: Number.POSITIVE_INFINITY },
    ...{ authScope: 'device', authType: 'sas' },
  };
  const inbox = remote.openInbox(device, key, 'connection-1');
  const [first, second] = await inbox.take(2);
  assert.deepEqual(
    [first, second].map(({ message }) => Buffer.from(message.body).toString()),
    ['a', 'b'],
  );
  assert.ok(first.state.kind === 'locked');
  await inbox.settle(first.state.lockToken, 'complete');
  await receipts;
  await assert.rejects(
    async () => inbox.settle('no such lock', 'complete'),
    (error: HubError) => error.code === 'DeviceMessageLockLost',
  );
  assert.throws(() => remote.openInbox(device, { deviceId: 'd2' }, 'x'), /credential/);
  assert.deepEqual(await commands.openInbox(device, key, 'other').take(1), []);
  end();
  const again = await commands.openInbox(device, key, 'other').take(1);
  assert.equal(Buffer.from(again[0].message.body).toString(), 'b');
});

test('a connection that holds no command is not kept by the main thread', async (t) => {
  const { main, thread } = links(t);
  const identities = createMemoryIdentityStore();
  const [made] = await identities.write([creation('d1')]);
  assert.ok(made.kind === 'done');
  const guard = createGuard(systemClock, silentAudit);
  const clock = new VirtualClock();
  const commands = createCommands({
    ...{ guard, queue: createMemoryCommandQueue(identities), identities, limits: defaultCommandLimits, clock },
    ...{ commandBytesMax: limits.commandBytesMax, random: systemRandom, wake: () => {} },
  });
  const closed: string[] = [];
  const counted = {
    ...commands,
    openInbox(...[principal, key, holder]: Parameters<typeof commands.openInbox>) {
      const inbox = commands.openInbox(principal, key, holder);
      const close = (): Promise<void> => {
        closed.push(holder);
        return inbox.close();
      };
      return { ...inbox, close };
    },
  };
  const end = serveCommands(main, { commands: counted, clock, log: silentLog });
  const remote = commandsStandIn(thread, guard);
  const key = { deviceId: 'd1' };
  const device: Principal = {
    ...{ kind: 'device', key, generationId: made.identity.generationId, expiresAt: Number.POSITIVE_INFINITY },
    ...{ authScope: 'device', authType: 'sas' },
  };
  const take = (holder: string) => remote.openInbox(device, key, holder).take(1);
  const send = () => remote.send(owner, key, { body: Buffer.from('x'), properties: [], ack: 'none' });
  for (let nth = 0; nth < 20; nth++) assert.deepEqual(await take(`idle ${nth}`), []);
  await send();
  const [command] = await take('settles');
  assert.ok(command.state.kind === 'locked');
  await remote.openInbox(device, key, 'settles').settle(command.state.lockToken, 'complete');
  await send();
  assert.equal((await take('loses its lock')).length, 1);
  clock.advance(defaultCommandLimits.lockMs + 1);
  await commands.sweep();
  assert.equal((await take('holds')).length, 1);
  end();
  assert.deepEqual(closed, ['holds']);
});

test('failed logins are counted over all threads; a crowd is counted, and held to the longest delay without asking', async (t) => {
  const delays = createRefusalDelays(new VirtualClock(), 60_000);
  const sides = [0, 1].map(() => {
    const { main, thread } = links(t);
    serveRefusalDelays(main, delays);
    return { thread, delays: refusalDelaysStandIn(thread) };
  });
  const waits: number[] = [];
  for (let nth = 0; nth < limits.failuresAtOnceMax + 3; nth++) {
    waits.push(await sides[nth % 2].delays.failed('address', `device d${nth}`));
  }
  assert.deepEqual(waits, [...Array(limits.failuresAtOnceMax).fill(0), 100, 200, 400]);
  const crowd = Array.from({ length: limits.slowRefusalsMax + 4 }, (_, nth) =>
    sides[0].delays.failed(undefined, nth < limits.slowRefusalsMax ? `device ${nth}` : 'device of the crowd'),
  );
  // The longest that this side has been told, and no shorter: a crowd must not buy quicker guesses.
  const told = [...Array(limits.slowRefusalsMax).fill(0), ...Array(4).fill(200)];
  assert.deepEqual(await Promise.all(crowd), told);
  for (let nth = 4; nth < limits.failuresAtOnceMax; nth++)
    await sides[1].delays.failed(undefined, 'device of the crowd');
  assert.equal(await sides[1].delays.failed(undefined, 'device of the crowd'), 100);
  sides[0].thread.close();
  assert.equal(await sides[0].delays.failed('address', undefined), 0);
});

test('facts of partitions are seen at once in the same memory', () => {
  const written = new SharedFacts(2);
  const read = new SharedFacts(2, written.memory);
  const facts = (partition: number) => ({
    partition,
    firstSequence: 2 ** 40,
    lastSequence: 2 ** 40 + partition,
    lastTime: 7,
  });
  written.write(facts);
  for (const partition of [0, 1]) assert.deepEqual(read.read(partition), facts(partition));
});

test('ticket keys are the same everywhere and change once a day; a new certificate arrives with them', async (t) => {
  const clock = new VirtualClock();
  let pair = { cert: ['c1'], key: ['k1'] };
  let renewed: () => void = () => {};
  const source = {
    current: () => pair,
    watch: (listener: () => void) => {
      renewed = listener;
      return () => {};
    },
  };
  const shared = new SharedTls(source, { clock, random: seededRandom(1) });
  const { main, thread } = links(t);
  const standIn = tlsStandIn(thread, shared.current());
  const changed = (): Promise<void> => new Promise((resolve) => standIn.watch(resolve));
  shared.serve(main);
  const first = standIn.current().ticketKeys;
  assert.equal(first?.length, 48);
  let next = changed();
  clock.advance(limits.ticketKeysMs);
  await next;
  assert.deepEqual(standIn.current(), shared.current());
  assert.notDeepEqual(standIn.current().ticketKeys, first);
  next = changed();
  pair = { cert: ['c2'], key: ['k2'] };
  renewed();
  await next;
  assert.deepEqual(standIn.current(), shared.current());
  assert.equal(standIn.current().cert[0], 'c2');
  shared.close();
});

test('lines of a thread reach the log with its number, without secrets, from the wanted level on', async (t) => {
  const { main, thread } = links(t);
  const lines: [LogFields, string][] = [];
  const log: Log = {
    ...silentLog,
    warn: (fields, sentence) => lines.push([fields, sentence]),
    debug: () => assert.fail(),
  };
  serveLog(main, log);
  const standIn = logStandIn(thread, { level: 'info', fields: { thread: 2 } });
  standIn.debug({}, 'not written');
  standIn.child({ door: 'mqtt' }).warn({ token: 'abc', error: new TypeError('bad') }, 'SharedAccessKey=abc;x');
  await until('it is logged', () => lines.length > 0);
  const [[{ error, ...fields }, sentence]] = lines;
  assert.deepEqual(fields, { thread: 2, door: 'mqtt', token: '[hidden]' });
  assert.equal((error as { message: string }).message, 'bad');
  assert.equal(sentence, 'SharedAccessKey=[hidden];x');
});

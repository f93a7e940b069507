import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ForwardedMessage } from '../../wire/gateway/batch.ts';
import type { Lane } from './lanes.ts';
import { Queue, type QueueOptions } from './queue.ts';
import { Reports } from './reports.ts';
import { GatewayStore, type GatewayStoreOptions } from './store.ts';

interface Scene {
  readonly store: GatewayStore;
  readonly queue: Queue;
  /** Closes and opens the same file, as the next start of the gateway does. */
  again(options?: Partial<QueueOptions>): Scene;
}

function scene(
  t: TestContext,
  options: Partial<QueueOptions> = {},
  storeOptions: Partial<GatewayStoreOptions> = {},
): Scene {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-gateway-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const open = (given: Partial<QueueOptions>): Scene => {
    const store = new GatewayStore({ folder, clock: systemClock, commitMs: 0, ...storeOptions });
    t.after(() => store.close());
    return {
      store,
      queue: new Queue({ store, bytesMax: 1_000_000, whenFull: 'refuse', ...options, ...given }),
      again: (more = {}) => {
        store.close();
        return open({ ...given, ...more });
      },
    };
  };
  return open({});
}

const message = (n: number, more: Partial<ForwardedMessage> = {}): ForwardedMessage => ({
  deviceId: `d${n % 3}`,
  created: 1000 + n,
  properties: [],
  body: Buffer.from(String(n)),
  ...more,
});

const numbersOf = (messages: readonly ForwardedMessage[] = []): readonly number[] =>
  messages.map(({ body }) => Number(Buffer.from(body).toString()));

/** Everything of a lane, told done as it is taken. */
function drain(queue: Queue, lane: Lane, bytesMax = 200): readonly number[] {
  const found: number[] = [];
  for (let taken = queue.take(lane, bytesMax, 100); taken !== undefined; taken = queue.take(lane, bytesMax, 100)) {
    found.push(...numbersOf(taken.messages));
    queue.done(taken);
  }
  return found;
}

const upTo = (n: number, first = 0): readonly number[] => Array.from({ length: n - first }, (_, at) => first + at);

test('messages come back in order, whole, after a restart too; what is done is gone', async (t) => {
  const first = scene(t);
  const rich = message(0, {
    moduleId: 'm',
    messageId: 'id',
    correlationId: 'c',
    contentType: 'text/plain',
    contentEncoding: 'utf-8',
    properties: [['a', 'b']],
  });
  await first.queue.put(rich);
  for (const n of upTo(50, 1)) await first.queue.put(message(n));
  assert.equal(first.queue.messages, 50);
  const second = first.again();
  assert.equal(second.queue.messages, 50);
  assert.equal(second.queue.bytes, first.queue.bytes);
  second.queue.begin();
  const taken = second.queue.take('backlog', 300, 100);
  assert.ok(taken !== undefined && taken.messages.length > 1 && taken.messages.length < 50);
  assert.deepEqual(taken.messages[0], rich);
  second.queue.done(taken);
  const third = second.again();
  third.queue.begin();
  assert.deepEqual(drain(third.queue, 'backlog'), upTo(50, taken.messages.length));
  await third.store.write(() => {});
  assert.deepEqual([third.queue.messages, third.queue.bytes], [0, 0]);
  const fourth = third.again();
  assert.deepEqual([fourth.queue.messages, fourth.queue.bytes], [0, 0]);
});

test('messages that come together share a commit, and are told when it is made', async (t) => {
  const { store, queue } = scene(t);
  const before = store.commits;
  const stored = upTo(1000).map((n) => queue.put(message(n)));
  assert.equal(queue.messages, 0);
  await Promise.all(stored);
  assert.equal(store.commits, before + 1);
  assert.equal(queue.messages, 1000);
  queue.begin();
  assert.deepEqual(drain(queue, 'backlog', 100_000), upTo(1000));
});

test('live messages do not wait behind the backlog; what was under way comes again, in order', async (t) => {
  const { queue } = scene(t);
  for (const n of upTo(20)) await queue.put(message(n));
  queue.begin();
  assert.ok(queue.hasBacklog);
  const backlog = queue.take('backlog', 1000, 3);
  assert.deepEqual(numbersOf(backlog?.messages), [0, 1, 2]);
  for (const n of upTo(25, 20)) await queue.put(message(n));
  const live = queue.take('live', 1000, 2);
  assert.deepEqual(numbersOf(live?.messages), [20, 21]);
  const next = queue.take('backlog', 1000, 3);
  assert.deepEqual(numbersOf(next?.messages), [3, 4, 5]);
  // The hub has answered the last two, then the connection was lost.
  queue.done(next!);
  queue.done(live!);
  queue.begin();
  assert.deepEqual(drain(queue, 'backlog'), [0, 1, 2, ...upTo(20, 6), 22, 23, 24]);
  assert.ok(!queue.hasBacklog);
  assert.deepEqual(drain(queue, 'live'), []);
});

test('a queue that is full refuses the newest, or drops the oldest and counts it', async (t) => {
  const large = (n: number): ForwardedMessage => message(n, { body: Buffer.from(String(n).padStart(1000)) });
  const refusing = scene(t, { bytesMax: 50_000 });
  let kept = 0;
  await assert.rejects(
    async () => {
      for (; kept < 100; kept++) await refusing.queue.put(large(kept));
    },
    { code: 'queueFull', retry: true },
  );
  assert.ok(kept > 40 && kept < 50, String(kept));
  assert.ok(refusing.queue.bytes <= 50_000);
  assert.ok(!refusing.queue.writable);
  let drained = false;
  const wait = refusing.queue.drained().then(() => {
    drained = true;
  });
  refusing.queue.begin();
  const taken = refusing.queue.take('backlog', 20_000, 100);
  assert.ok(!drained);
  refusing.queue.done(taken!);
  await wait;
  await refusing.queue.put(large(kept));
  assert.deepEqual(drain(refusing.queue, 'backlog'), upTo(kept, taken!.messages.length));

  const dropping = scene(t, { bytesMax: 50_000, whenFull: 'dropOldest' });
  let told = 0;
  dropping.queue.onDropped = (count) => {
    told += count;
  };
  for (const n of upTo(100)) await dropping.queue.put(large(n));
  assert.ok(dropping.queue.bytes <= 50_000 && dropping.queue.writable);
  assert.equal(dropping.queue.dropped, 100 - dropping.queue.messages);
  assert.equal(told, dropping.queue.dropped);
  dropping.queue.begin();
  assert.deepEqual(drain(dropping.queue, 'backlog', 5000), upTo(100, told));
});

test('what is dropped while it is under way leaves the counts right', async (t) => {
  const { queue, again } = scene(t, { bytesMax: 10_000, whenFull: 'dropOldest' });
  const large = (n: number): ForwardedMessage => message(n, { body: Buffer.from(String(n).padStart(1000)) });
  for (const n of upTo(9)) await queue.put(large(n));
  queue.begin();
  const taken = queue.take('backlog', 4000, 100);
  for (const n of upTo(14, 9)) await queue.put(large(n));
  queue.done(taken!);
  await queue.put(large(14));
  const next = again();
  assert.deepEqual([next.queue.messages, next.queue.bytes], [queue.messages, queue.bytes]);
  next.queue.begin();
  assert.deepEqual(drain(next.queue, 'backlog', 5000), upTo(15, 15 - queue.messages));
});

test('a message that a device sends again is stored once', async (t) => {
  const { queue } = scene(t);
  await Promise.all([queue.put(message(1, { messageId: 'a' })), queue.put(message(1, { messageId: 'a' }))]);
  await queue.put(message(1, { messageId: 'a' }));
  await queue.put(message(1, { messageId: 'b' }));
  await queue.put(message(2, { messageId: 'a' }));
  assert.equal(queue.messages, 3);
});

test('a full disk refuses what is new, keeps what is there, and has room again when the hub has taken some', async (t) => {
  const { queue, store } = scene(t, { bytesMax: 1e9 }, { fileBytesMax: 600_000 });
  const large = (n: number): ForwardedMessage => message(n, { body: Buffer.from(String(n).padStart(10_000)) });
  let kept = 0;
  await assert.rejects(
    async () => {
      for (; kept < 100; kept++) await queue.put(large(kept));
    },
    { code: 'queueFull' },
  );
  assert.ok(kept > 20, String(kept));
  assert.ok(store.failure !== undefined);
  await assert.rejects(queue.put(large(kept)), { code: 'queueFull' });
  assert.equal(queue.messages, kept);
  queue.begin();
  const taken = queue.take('backlog', 100_000, 100);
  // A device goes on sending meanwhile: what has gone leaves the disk nevertheless.
  queue.done(taken!);
  await queue.put(large(kept)).catch(() => {});
  await store.write(() => {});
  await queue.put(large(kept + 1));
  assert.equal(store.failure, undefined);
  const found = drain(queue, 'backlog', 50_000);
  assert.deepEqual(found, upTo(kept, taken!.messages.length));
  const [last] = drain(queue, 'live', 50_000).slice(-1);
  assert.equal(last, kept + 1);
});

test('what waits for the disk is bounded, and slows devices before it refuses', async (t) => {
  const { queue, store } = scene(t, { bytesMax: 1e9 });
  const body = Buffer.alloc(100_000);
  const stored: Promise<unknown>[] = [];
  while (queue.writable) stored.push(queue.put(message(stored.length, { body })));
  assert.equal(stored.length, Math.ceil(limits.gatewayPendingBytesHigh / 100_000));
  const more = Math.ceil((limits.gatewayPendingBytesMax - stored.length * 100_000) / 100_000) + 2;
  const codes = upTo(more).map(() =>
    queue.put(message(0, { body })).then(
      () => 'stored',
      ({ code }) => code,
    ),
  );
  const told = await Promise.all(codes);
  assert.deepEqual([told[0], told.at(-1)], ['stored', 'throttled']);
  await Promise.all(stored);
  await queue.drained();
  assert.ok(queue.writable && store.failure === undefined);
});

test('the file is synced at each commit, has one owner, and no other may read it', async (t) => {
  const { queue, store } = scene(t);
  await queue.put(message(1));
  const { file } = store;
  assert.equal((store.prepare('pragma synchronous').get() as { synchronous: number }).synchronous, 2);
  assert.throws(
    () => new GatewayStore({ folder: path.dirname(file), clock: systemClock }),
    /in use by another gateway/,
  );
  store.close();
  const later = new DatabaseSync(file);
  later.exec('pragma user_version = 99');
  later.close();
  assert.throws(() => new GatewayStore({ folder: path.dirname(file), clock: systemClock }), /later version/);
});

test('a block that the disk gives back broken is dropped and told; what is behind it goes on', async (t) => {
  const first = scene(t);
  for (const n of upTo(5)) await first.queue.put(message(n));
  const { file } = first.store;
  first.store.close();
  const disk = new DatabaseSync(file);
  disk.exec("update block set body = x'0100ff' where n = 2");
  disk.close();
  const { queue, again } = first.again();
  const broken: number[] = [];
  queue.onBroken = (count) => broken.push(count);
  queue.begin();
  assert.deepEqual(drain(queue, 'backlog'), [0, 2, 3, 4]);
  assert.deepEqual([broken, queue.dropped], [[1], 1]);
  const last = again().queue;
  assert.deepEqual([last.messages, last.bytes], [0, 0]);
});

test('what a device reports is too large: the messages of others that share its commit are stored', async (t) => {
  const { queue, store } = scene(t);
  const reports = new Reports(store);
  const [report, ...stored] = await Promise.allSettled([
    reports.keep('d1', { text: 'x'.repeat(limits.gatewayReportBytesMax) }),
    queue.put(message(1)),
    reports.keep('d2', { n: 1 }),
  ]);
  assert.equal((report as PromiseRejectedResult).reason.code, 'tooLarge');
  assert.deepEqual(
    stored.map(({ status }) => status),
    ['fulfilled', 'fulfilled'],
  );
  assert.equal(queue.messages, 1);
  assert.deepEqual([reports.has('d1'), reports.find('d2')], [false, { n: 1 }]);
});

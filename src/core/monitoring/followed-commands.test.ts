import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import { exampleIdentity } from '../../stores/contract/identities.ts';
import { createMemoryCommandQueue } from '../../stores/memory/command-queue.ts';
import { defaultCommandLimits } from '../commands/rules.ts';
import { HubError } from '../errors.ts';
import { createCommandFollower, type FollowerParts } from './followed-commands.ts';
import type { Span } from './spans.ts';

const target = { deviceId: 'd1', moduleId: 'm1' };
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** A queue of a hub that has the target. */
const openQueue = () => createMemoryCommandQueue({ peek: (key) => exampleIdentity(key, { generationId: 'g1' }) });

function place(parts: Partial<FollowerParts> = {}) {
  const clock = new VirtualClock();
  const queue = openQueue();
  const spans: Span[] = [];
  let dropped = 0;
  const follower = createCommandFollower({
    ...{ queue, hubName: 'hub', sample: 1, clock, random: seededRandom(SEED) },
    tell: (span) => void spans.push(span),
    dropped: () => void dropped++,
    ...parts,
  });
  /** Sends one and lets the device complete it. */
  const completed = async (messageId: string): Promise<number> => {
    const message = { messageId, ack: 'full' as const, properties: [], body: Buffer.alloc(0) };
    const command = { target, generationId: 'g1', message, expiresAt: clock.now() + 60_000 };
    const sent = await queue.enqueue(command, defaultCommandLimits, clock.now());
    assert.ok(sent.kind === 'enqueued');
    clock.advance(10);
    const lock = { tokens: [`lock ${messageId}`], holder: '', lockMs: 60_000 };
    await queue.lockNext(target, 'g1', lock, clock.now());
    await queue.settle(target, lock.tokens[0], 'complete', defaultCommandLimits, clock.now());
    return sent.sequence;
  };
  return { clock, queue, spans, follower, completed, dropped: () => dropped };
}

test('of a sample, a command is followed as a whole or not at all', async () => {
  const { clock, queue, spans, follower, completed } = place({ sample: 4 });
  const count = 400;
  for (let at = 0; at < count; at++) follower.completed({ ...target }, await completed(`c${at}`));
  const request = { lockToken: 'r', reader: '', count, lockMs: 60_000, notAfter: clock.now(), endedBefore: 0 };
  const batch = await queue.lockReceipts(request, clock.now());
  assert.equal(batch?.receipts.length, count);
  await queue.settleReceipts('r', 'complete', clock.now());
  for (const receipt of batch?.receipts ?? []) follower.receiptRead(receipt);
  await follower.close();
  const tracesOf = (name: string) => new Set(spans.filter((span) => span.name === name).map(({ traceId }) => traceId));
  const [wholes, receipts] = [tracesOf('command'), tracesOf('receipt')];
  // Which ones follows from their names: this many of these.
  assert.ok(wholes.size > count / 8 && wholes.size < count / 2, String(wholes.size));
  assert.deepEqual(receipts, wholes);
  const before = spans.length;
  for (let at = 0; at < count; at++) {
    const command = { messageId: 'x', ack: 'none' as const, properties: [], body: Buffer.alloc(0) };
    follower.refused(target, command, new HubError('DeviceNotFound'));
  }
  assert.ok(spans.length - before > count / 8 && spans.length - before < count / 2, `MOORING_TEST_SEED=${SEED}`);
});

test('what is too much to read at a time is dropped and counted, and so is what cannot be read', async () => {
  const memory = openQueue();
  let reading = 0;
  let readingMost = 0;
  const find: typeof memory.find = async (...args) => {
    readingMost = Math.max(readingMost, ++reading);
    await new Promise((resolve) => setImmediate(resolve));
    reading--;
    if (args[1] !== undefined && 'sequence' in args[1] && args[1].sequence === 1) throw new Error('the disk fails');
    return memory.find(...args);
  };
  const { follower, dropped, spans } = place({ queue: { ...memory, find } });
  const more = 50;
  const all = limits.spanTrailsPendingMax + limits.spanTrailsReadMax + more;
  for (let sequence = 1; sequence <= all; sequence++) follower.completed(target, sequence);
  assert.equal(dropped(), more);
  await follower.close();
  assert.deepEqual([dropped(), spans.length, readingMost], [more + 1, 0, limits.spanTrailsReadMax]);
  follower.completed(target, 7);
  assert.equal(dropped(), more + 2, 'nothing is taken after the end');
});

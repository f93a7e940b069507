import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, TrailEntry } from '../commands/types.ts';
import { commandSpans, receiptSpans } from './command-spans.ts';

function command(changes: Partial<Command> = {}): Command {
  return {
    target: { deviceId: 'd1', moduleId: 'm1' },
    generationId: 'g1',
    sequence: 4,
    message: { ack: 'full', messageId: 'c-4', properties: [], body: Buffer.alloc(0) },
    enqueuedTime: 1000,
    expiresAt: 9000,
    deliveryCount: 1,
    handedOver: 2,
    state: { kind: 'ended', outcome: 'rejected', endedTime: 1700 },
    ...changes,
  };
}

const trail: readonly TrailEntry[] = [
  { time: 1000, step: 'enqueued', detail: '' },
  { time: 1100, step: 'handed-over', detail: 'mqtt-ws-0b0e' },
  { time: 1400, step: 'abandoned', detail: '' },
  { time: 1400, step: 'handed-over', detail: '' },
  { time: 1700, step: 'rejected', detail: '' },
  { time: 2500, step: 'receipt-read', detail: '' },
];

test('each step of a trail is a span from the step before it, with an error where the command failed', () => {
  const [whole, ...steps] = commandSpans('hub', command(), trail);
  assert.deepEqual([whole.name, whole.startTime, whole.endTime, whole.error], ['command', 1000, 1700, 'rejected']);
  assert.deepEqual(
    steps.map(({ name, startTime, endTime, error, attributes }) => [
      name,
      startTime,
      endTime,
      error,
      attributes['network.protocol.name'],
    ]),
    [
      ['enqueued', 1000, 1000, undefined, undefined],
      ['delivered', 1000, 1100, undefined, 'mqtt-ws'],
      ['abandoned', 1100, 1400, undefined, undefined],
      ['delivered', 1400, 1400, undefined, 'http'],
      ['settled', 1400, 1700, 'rejected', undefined],
    ],
  );
  const [receipt] = receiptSpans('hub', command(), trail);
  assert.deepEqual([receipt.name, receipt.startTime, receipt.endTime], ['receipt', 1700, 2500]);
  const all = [whole, ...steps, receipt];
  assert.equal(new Set(all.map(({ traceId }) => traceId)).size, 1);
  assert.equal(new Set(all.map(({ spanId }) => spanId)).size, all.length);
  for (const span of [...steps, receipt]) assert.equal(span.parentSpanId, whole.spanId);
});

test('a command has the same ids whenever it is looked at, and no other command has them', () => {
  const idsOf = (hub: string, changes?: Partial<Command>) => {
    const [{ traceId, spanId }] = commandSpans(hub, command(changes), trail);
    return `${traceId} ${spanId}`;
  };
  assert.equal(idsOf('hub'), idsOf('hub', { handedOver: 3 }));
  const others = [
    idsOf('other'),
    idsOf('hub', { sequence: 5 }),
    idsOf('hub', { generationId: 'g2' }),
    idsOf('hub', { target: { deviceId: 'd1' } }),
  ];
  assert.equal(new Set([idsOf('hub'), ...others]).size, 5);
});

test('times that go back, as a clock that is set may make them, make no span that ends before it begins', () => {
  const back = trail.map((entry, at) => ({ ...entry, time: 5000 - at }));
  for (const { startTime, endTime } of commandSpans('hub', command({ enqueuedTime: 5000 }), back)) {
    assert.ok(startTime <= endTime);
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { until } from '../../../../test/drivers/until.ts';
import { limits } from '../../../base/limits.ts';
import { type Log, silentLog } from '../../../base/log.ts';
import { work, workBetween } from '../../../base/work.ts';
import { stallCheck, watchStalls } from './stalls.ts';

test('a loop that stands still is measured, and the log says what was worked off meanwhile', async () => {
  const lines: Record<string, unknown>[] = [];
  const log: Log = { ...silentLog, warn: (fields) => void lines.push({ ...fields }) };
  const registry = new Registry();
  const stalls = watchStalls(registry, log);
  try {
    await new Promise((resolve) => setTimeout(resolve, 5 * limits.stallResolutionMs));
    const stallMs = limits.stallToldMs + 2 * limits.stallLookMs;
    for (const until = performance.now() + stallMs; performance.now() < until; ) work.amqpReads++;
    await until('the stall is logged', () => lines.length > 0);
    const [{ stalledMs, work: worked }] = lines;
    assert.ok((stalledMs as number) >= limits.stallToldMs, String(stalledMs));
    assert.ok((worked as { amqpReads: number }).amqpReads > 0);
    assert.ok(stalls.longestMs() >= limits.stallToldMs, String(stalls.longestMs()));
    assert.match(await registry.metrics(), /mooring_loop_stall_seconds [0-9.]+/);
  } finally {
    stalls.close();
  }
});

test('health warns of a long stall, and of no other', () => {
  assert.deepEqual(stallCheck(() => limits.stallWarnMs - 1).look(), { status: 'ok' });
  const { status, reason } = stallCheck(() => 7300).look() as { status: string; reason: string };
  assert.equal(status, 'warn');
  assert.match(reason, /7\.3 s/);
});

test('what was worked off is told by kind', () => {
  const before = { mqttReads: 1, amqpReads: 2, httpRequests: 3, tlsHandshakes: 4, eventsDelivered: 0 };
  assert.deepEqual(workBetween(before, { ...before, amqpReads: 9 }), { amqpReads: 7 });
});

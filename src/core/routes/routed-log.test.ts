import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordCodec, routingMark, writeRoutingMark } from '../../records/record-codec.ts';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import { HIDDEN_MARK } from '../events/ports.ts';
import { routedLog } from './routed-log.ts';

const stamp = { deviceId: 'd', generationId: 'g', authMethod: '{}', source: 'Telemetry' };

test('records are read with the endpoints that they go to; others are passed over', async () => {
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 1, durable: 'byHand', retentionBytes: 4000 });
  const routed = routedLog(log, routingMark);
  const put = async (mark: number): Promise<void> => {
    const record = recordCodec.encode(stamp, { system: {}, properties: [], body: Buffer.from(`m${mark}`) }, 1);
    writeRoutingMark(record, 0, mark);
    const at = log.writer.reserve(0, record.length);
    record.copy(log.writer.bytes(0), at);
    await log.commit();
  };
  const marks = [0, 1, 2, HIDDEN_MARK, HIDDEN_MARK | 3, 0x8000];
  for (const mark of marks) await put(mark);
  const read = async (from: number, slots?: number, recordsMax = 100) => {
    const { records, next, missed, release } = await routed.read(0, from, {
      ...{ bytesMax: 100_000, recordsMax },
      ...(slots !== undefined && { slots }),
    });
    const found = records.map(({ sequence, slots, isShown }) => [sequence, slots, isShown]);
    release();
    return { found, next, missed };
  };
  const all = await read(0);
  assert.deepEqual(
    all.found,
    marks.map((mark, at) => [at, mark & 0xffff, mark < HIDDEN_MARK]),
  );
  assert.equal(all.next, 6);
  const first = [
    [1, 1, true],
    [4, 3, false],
  ];
  assert.deepEqual(await read(0, 1), { found: first, next: 6, missed: 0 });
  assert.deepEqual(await read(0, 1, 1), { found: first.slice(0, 1), next: 2, missed: 0 });
  assert.deepEqual(await read(2, 1, 1), { found: first.slice(1), next: 5, missed: 0 });
  // None of its own: reading still goes on.
  assert.deepEqual(await read(0, 4), { found: [], next: 6, missed: 0 });
  assert.deepEqual(await read(6), { found: [], next: 6, missed: 0 });
  for (let at = 0; at < 20; at++) await put(1);
  const { firstSequence } = await routed.partition(0);
  assert.ok(firstSequence > 6);
  assert.equal((await read(5)).missed, firstSequence - 5);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { recordCodec } from '../../records/record-codec.ts';
import { createMemoryEventLog, type MemoryEventLog } from '../../stores/memory/event-log.ts';
import { monitoringMessage } from './messages.ts';
import { createMonitor } from './monitor.ts';
import { createEventStream } from './stream.ts';

function scene(pendingMax: number) {
  const clock = new VirtualClock();
  const log = createMemoryEventLog({ name: 'hub-monitoring', partitionCount: 1, clock, durable: 'byHand' });
  const monitor = createMonitor({ clock, startTime: clock.now() });
  const stream = createEventStream({ log, codec: recordCodec, clock, recorder: monitor, pendingMax });
  monitor.watch((event) => stream.append(monitoringMessage(event)));
  const connect = (deviceId: string): void => monitor.record({ type: 'connected', deviceId });
  return { clock, log, stream, connect };
}

/** Bodies of all that is durable. */
async function bodiesOf(log: MemoryEventLog): Promise<readonly Record<string, unknown>[]> {
  const bodies: Record<string, unknown>[] = [];
  for (const run of await log.read(0, 0, Number.MAX_SAFE_INTEGER)) {
    for (let at = run.start; at < run.end; ) {
      const size = run.bytes.readUInt32LE(at);
      const text = run.bytes.toString('utf8', at + 4, at + 4 + size);
      bodies.push(JSON.parse(text.slice(text.indexOf('{"schemaVersion"'))));
      at += 4 + size;
    }
  }
  return bodies;
}

test('what cannot be stored waits, and what is beyond the bound is told by its number', async () => {
  const { clock, log, stream, connect } = scene(4);
  connect('kept');
  await log.commit();
  log.failWith(new Error('the disk is full'));
  for (const device of ['waits-1', 'waits-2', 'waits-3', 'waits-4', 'lost-1', 'lost-2', 'lost-3']) connect(device);
  assert.deepEqual([stream.pending(), stream.missed()], [4, 3]);
  clock.advance(10 * limits.monitoringRetryMs);
  assert.equal(stream.pending(), 4, 'nothing is written while the log is not well');
  log.failWith(undefined);
  clock.advance(limits.monitoringRetryMs);
  await log.commit();
  const bodies = await bodiesOf(log);
  assert.deepEqual(
    bodies.map(({ type, deviceId }) => deviceId ?? type),
    ['kept', 'waits-1', 'waits-2', 'waits-3', 'waits-4', 'eventsMissed'],
  );
  assert.equal(bodies.at(-1)?.missed, 3);
  assert.equal(stream.pending(), 0);
});

test('a batch that fails is told by the number of its events', async () => {
  const { clock, log, stream, connect } = scene(100);
  connect('d1');
  connect('d2');
  log.failWith(new Error('the disk has failed'));
  await log.commit();
  assert.equal(stream.missed(), 2);
  log.failWith(undefined);
  clock.advance(limits.monitoringRetryMs);
  connect('d3');
  await log.commit();
  const bodies = await bodiesOf(log);
  assert.deepEqual(
    bodies.map(({ type, deviceId, missed }) => deviceId ?? [type, missed]),
    [['eventsMissed', 2], 'd3'],
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { LimitHit } from '../errors.ts';
import type { EventSender } from '../events/room.ts';
import { createMonitor } from './monitor.ts';
import { SlowedSenders } from './slowed-senders.ts';
import type { MonitoringEvent, MonitoringReport } from './types.ts';

const SECOND = limits.monitoringSlowedMs;
const sender = (deviceId: string, peer = '192.0.2.1') =>
  ({ stamp: { deviceId }, via: { protocol: 'mqtt', peer } }) as unknown as EventSender;
const own = (deviceId: string, current = 21): LimitHit => ({
  ...{ name: 'deviceMessagesPerSecond', scope: `device ${deviceId}`, current, max: 20 },
});
const ofHub: LimitHit = { name: 'writerBytesMax', scope: 'hub', current: 17, max: 16 };

function scene(countMax?: number) {
  const clock = new VirtualClock();
  const told: MonitoringReport[] = [];
  const slowed = new SlowedSenders({ record: (report) => void told.push(report) }, clock, countMax);
  return { clock, told, slowed };
}

test('each second in which a sender is held back is told once, the first at once, then none', () => {
  const { clock, told, slowed } = scene();
  for (let nth = 0; nth < 50; nth++) {
    slowed.begin(sender('d1'), own('d1', nth))();
    clock.advance(SECOND / 20);
  }
  assert.equal(told.length, 3, 'two and a half seconds');
  assert.deepEqual(told[0], {
    ...{ type: 'throttled', effect: 'slowed', operation: 'telemetry.send', deviceId: 'd1' },
    ...{ protocol: 'mqtt', peer: '192.0.2.1' },
    limit: { name: 'deviceMessagesPerSecond', scope: 'device d1', current: 0, max: 20 },
  });
  assert.ok(told[2].type === 'throttled' && (told[2].limit?.current ?? 0) > 20, 'the use is that of now');
  clock.advance(10 * SECOND);
  assert.equal(told.length, 4, 'the last half second');
  slowed.begin(sender('d1'), own('d1'))();
  assert.equal(told.length, 5, 'at once again');
});

test('a hold that lasts is told of each second until it ends', () => {
  const { clock, told, slowed } = scene();
  const end = slowed.begin(sender('d1'), own('d1'));
  clock.advance(5 * SECOND);
  assert.equal(told.length, 6);
  end();
  end();
  clock.advance(5 * SECOND);
  assert.equal(told.length, 6);
});

test('a limit of the hub is told for the hub, whichever device meets it', () => {
  const { told, slowed } = scene();
  for (let nth = 0; nth < 1000; nth++) slowed.begin(sender(`d${nth}`), ofHub);
  assert.deepEqual(told, [
    {
      ...{ type: 'throttled', effect: 'slowed', operation: 'telemetry.send' },
      limit: { name: 'writerBytesMax', scope: 'hub', current: 17, max: 16 },
    },
  ]);
});

test('no more senders are told apart than the bound; the others are told together', () => {
  const { clock, told, slowed } = scene(3);
  const ends = Array.from({ length: 50 }, (_, nth) => slowed.begin(sender(`d${nth}`), own(`d${nth}`)));
  const names = (): readonly unknown[] =>
    told.splice(0).map((report) => report.deviceId ?? (report.type === 'throttled' && report.limit?.scope));
  assert.deepEqual(names(), ['d0', 'd1', 'd2', 'further devices']);
  clock.advance(SECOND);
  assert.deepEqual(names(), ['d0', 'd1', 'd2', 'further devices']);
  for (const end of ends) end();
  clock.advance(SECOND);
  assert.deepEqual(names(), []);
});

test('the monitor sums the seconds, and says since when', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 40 }), (pauses) => {
      const clock = new VirtualClock();
      const monitor = createMonitor({ clock, startTime: clock.now() });
      const events: MonitoringEvent[] = [];
      monitor.watch((event) => events.push(event));
      let records = 0;
      const slowed = new SlowedSenders(
        {
          record(report) {
            records++;
            monitor.record(report);
          },
        },
        clock,
      );
      for (const pause of pauses) {
        const end = slowed.begin(sender('d1'), own('d1'));
        clock.advance(pause / 2);
        end();
        clock.advance(pause / 2);
      }
      clock.advance(100 * SECOND);
      assert.equal(
        events.reduce((sum, { count = 0 }) => sum + count, 0),
        records,
      );
      for (const { since, first, last, time } of events) {
        assert.ok(since !== undefined && first !== undefined && last !== undefined);
        assert.ok(since <= first && first <= last && last === time);
      }
    }),
  );
});

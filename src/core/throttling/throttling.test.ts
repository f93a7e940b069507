import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/clock.ts';
import { HubError } from '../errors.ts';
import { Bucket } from './bucket.ts';
import { createThrottling, shareOf } from './throttling.ts';

const d1 = { deviceId: 'd1' };

test('over any stretch of time a bucket lets through what flows in, what it held, and one more', () => {
  const step = fc.record({ amount: fc.integer({ min: 1, max: 500 }), pauseMs: fc.integer({ min: 0, max: 2000 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 1000 }), (steps, perSecond) => {
      const bucket = new Bucket(perSecond, perSecond, 0);
      let now = 0;
      let taken = 0;
      let largest = 0;
      for (const { amount, pauseMs } of steps) {
        // A sender that heeds the wait comes no sooner.
        now += Math.max(pauseMs, bucket.waitMs(now));
        bucket.take(amount, now);
        taken += amount;
        largest = Math.max(largest, amount);
        assert.ok(taken <= perSecond + (now / 1000) * perSecond + largest + 1e-6);
      }
    }),
  );
});

test('a device over its messages per second waits as long as it takes, and its modules with it', () => {
  const clock = new VirtualClock();
  const throttling = createThrottling({ deviceMessagesPerSecond: 10 }, clock);
  const meter = throttling.meterOf(d1);
  const module = throttling.meterOf({ deviceId: 'd1', moduleId: 'm1' });
  const other = throttling.meterOf({ deviceId: 'd2' });
  assert.ok(meter !== undefined && other !== undefined);
  assert.equal(module, meter);
  for (let count = 0; count < 10; count++) meter.charge(1);
  assert.equal(meter.waitMs(), 0);
  meter.charge(1);
  assert.equal(meter.waitMs(), 100);
  clock.advance(60);
  assert.equal(meter.waitMs(), 40);
  assert.equal(other.waitMs(), 0);
  // A new connection is the same device.
  assert.equal(throttling.meterOf(d1)?.waitMs(), 40);
  clock.advance(40);
  assert.equal(meter.waitMs(), 0);
});

test('bytes are counted beside messages; a message larger than a second’s worth passes and is paid for', () => {
  const clock = new VirtualClock();
  const meter = createThrottling({ deviceMessagesPerSecond: 100, deviceBytesPerSecond: 1000 }, clock).meterOf(d1);
  meter?.charge(3500);
  assert.equal(meter?.waitMs(), 2500);
});

test('a refusal names the limit, whose it is, its use, and when it frees', () => {
  const clock = new VirtualClock();
  const throttling = createThrottling({ deviceMessagesPerSecond: 2, hubMessagesPerSecond: 100 }, clock);
  const meter = throttling.meterOf(d1);
  meter?.demand();
  for (let count = 0; count < 3; count++) meter?.charge(1);
  assert.throws(
    () => meter?.demand(),
    (error) => {
      assert.ok(error instanceof HubError);
      assert.equal(error.code, 'ThrottlingException');
      assert.deepEqual(error.limit, {
        name: 'deviceMessagesPerSecond',
        scope: 'device d1',
        current: 3,
        max: 2,
        freeAt: clock.now() + 500,
      });
      return true;
    },
  );
  clock.advance(500);
  meter?.demand();
});

test('what all devices share is counted over all of them', () => {
  const clock = new VirtualClock();
  const throttling = createThrottling({ hubMessagesPerSecond: 10 }, clock);
  for (let device = 0; device < 11; device++) throttling.meterOf({ deviceId: `d${device}` })?.charge(1);
  assert.throws(
    () => throttling.meterOf(d1)?.demand(),
    (error) => error instanceof HubError && error.limit?.name === 'hubMessagesPerSecond' && error.limit.scope === 'hub',
  );
});

test('connections are limited per device and for the hub; a device over its own costs the others nothing', () => {
  const clock = new VirtualClock();
  const throttling = createThrottling({ deviceConnectsPerMinute: 2, hubConnectsPerSecond: 4 }, clock);
  const limitOf = (deviceId: string): string | undefined => {
    try {
      throttling.admitConnection({ deviceId });
      return undefined;
    } catch (error) {
      return (error as HubError).limit?.name;
    }
  };
  assert.deepEqual([limitOf('d1'), limitOf('d1')], [undefined, undefined]);
  for (let count = 0; count < 10; count++) assert.equal(limitOf('d1'), 'deviceConnectsPerMinute');
  assert.deepEqual([limitOf('d2'), limitOf('d3'), limitOf('d4')], [undefined, undefined, 'hubConnectsPerSecond']);
  clock.advance(1000);
  assert.deepEqual([limitOf('d4'), limitOf('d1')], [undefined, 'deviceConnectsPerMinute']);
  clock.advance(29_000);
  assert.equal(limitOf('d1'), undefined);
});

test('without limits there is no meter, and nothing is counted', () => {
  const throttling = createThrottling({ deviceConnectsPerMinute: 1 }, new VirtualClock());
  assert.equal(throttling.meterOf(d1), undefined);
  createThrottling({}, new VirtualClock()).admitConnection(d1);
});

test('listener threads divide what all devices share, and nothing else', () => {
  const whole = { hubMessagesPerSecond: 10, deviceMessagesPerSecond: 5, hubConnectsPerSecond: 4 };
  assert.deepEqual(shareOf(whole, 4), { ...whole, hubMessagesPerSecond: 2.5 });
});

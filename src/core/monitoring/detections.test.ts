import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { createDetections } from './detections.ts';
import { createMonitor } from './monitor.ts';
import type { DetectionKind, MonitoringReport } from './types.ts';

function scene(thresholds: Partial<Record<DetectionKind, number>>, subjectsMax = 100) {
  const clock = new VirtualClock();
  const monitor = createMonitor({ clock, startTime: clock.now(), windowMs: 1000 });
  const none: Record<DetectionKind, number> = {
    'authentication-failures-of-device': 0,
    'authentication-failures-of-address': 0,
    'flapping-device': 0,
    'silent-device': 0,
    'rejected-commands': 0,
    'rate-change': 0,
  };
  const detections = createDetections({
    clock,
    recorder: monitor,
    thresholds: { ...none, ...thresholds },
    subjectsMax,
  });
  const told: string[] = [];
  monitor.watch((event) => {
    detections.observe(event);
    if (event.type !== 'detectionRaised' && event.type !== 'detectionCleared') return;
    told.push(`${event.type} ${event.detection} ${event.deviceId ?? event.peer ?? ''}`.trim());
  });
  const record = (report: MonitoringReport): void => monitor.record(report);
  return { clock, told, record, detections };
}

const minute = 60_000;

test('failed authentications of a device and of an address are raised once and cleared when they end', () => {
  const { clock, told, record, detections } = scene({
    'authentication-failures-of-device': 5,
    'authentication-failures-of-address': 20,
  });
  const fail = (deviceId: string): void =>
    record({ type: 'authenticationFailed', check: 'wrong-key', deviceId, peer: '192.0.2.1' });
  for (let at = 0; at < 5; at++) {
    fail('d1');
    clock.advance(1000);
  }
  assert.deepEqual(told, ['detectionRaised authentication-failures-of-device d1']);
  for (let at = 0; at < 15; at++) fail(`other-${at}`);
  assert.deepEqual(told.slice(1), ['detectionRaised authentication-failures-of-address 192.0.2.1']);
  assert.equal(detections.active().get('authentication-failures-of-address'), 1);
  clock.advance(3 * minute);
  assert.deepEqual(told.slice(2).sort(), [
    'detectionCleared authentication-failures-of-address 192.0.2.1',
    'detectionCleared authentication-failures-of-device d1',
  ]);
  assert.equal(detections.active().get('authentication-failures-of-address'), 0);
});

test('a device that connects again and again flaps; one that stays away is silent until it is back', () => {
  const { clock, told, record } = scene({ 'flapping-device': 10, 'silent-device': 30 });
  for (let at = 0; at < 10; at++) {
    record({ type: 'connected', deviceId: 'd1' });
    record({ type: 'disconnected', deviceId: 'd1', reason: 'connection-lost' });
    clock.advance(10_000);
  }
  assert.deepEqual(told, ['detectionRaised flapping-device d1']);
  clock.advance(31 * minute);
  assert.deepEqual(told.slice(1), ['detectionCleared flapping-device d1', 'detectionRaised silent-device d1']);
  record({ type: 'connected', deviceId: 'd1' });
  assert.deepEqual(told.slice(3), ['detectionCleared silent-device d1']);
});

test('rejected commands, and a sudden change of the rate of events', () => {
  const { clock, told, record } = scene({ 'rejected-commands': 3, 'rate-change': 10 });
  for (let at = 0; at < 3; at++) record({ type: 'commandRejected', command: 1, deviceId: 'd1' });
  assert.deepEqual(told, ['detectionRaised rejected-commands d1']);
  for (let minutes = 0; minutes < 20; minutes++) {
    for (let at = 0; at < 10; at++) record({ type: 'connected', deviceId: `d${at}` });
    clock.advance(minute);
  }
  assert.deepEqual(told.slice(1), ['detectionCleared rejected-commands d1']);
  for (let at = 0; at < 200; at++) record({ type: 'connected', deviceId: `d${at}` });
  clock.advance(minute);
  assert.deepEqual(told.slice(2), ['detectionRaised rate-change']);
  clock.advance(minute);
  assert.deepEqual(told.slice(3), ['detectionCleared rate-change']);
});

test('the subjects that counts are kept of are bounded, and none is left raised', () => {
  const { told, record, detections } = scene({ 'flapping-device': 2 }, 10);
  for (let at = 0; at < 1000; at++) {
    record({ type: 'connected', deviceId: `d${at}` });
    record({ type: 'connected', deviceId: `d${at}` });
  }
  assert.equal(detections.active().get('flapping-device'), 10);
  assert.equal(told.filter((line) => line.startsWith('detectionCleared')).length, 990);
});

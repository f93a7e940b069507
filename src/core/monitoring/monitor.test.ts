import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { maskPeer } from './mask.ts';
import { createMonitor } from './monitor.ts';
import { Numbers } from './numbers.ts';
import type { MonitoringEvent, MonitoringReport } from './types.ts';

test('numbers grow per device, over restarts and over what is forgotten', () => {
  const start = Date.UTC(2026, 0, 1);
  const numbers = new Numbers(start, 2);
  assert.equal(numbers.next('a') + 1, numbers.next('a'));
  const last = new Map<string, number>();
  for (let at = 0; at < 1000; at++) {
    const name = 'abcde'[(at * 7) % 5];
    const number = numbers.next(name);
    assert.ok(number > (last.get(name) ?? 0));
    last.set(name, number);
  }
  const next = new Numbers(start + 1, 2);
  const later = new Numbers(start + 1000, 2);
  assert.ok(Number.isSafeInteger(next.next('a')));
  for (const name of 'abcde') assert.ok(later.next(name) > (last.get(name) ?? 0));
});

test('numbers grow over restarts while the clock shows what it has shown before', () => {
  const start = Date.UTC(2026, 0, 1);
  let stored = 0;
  let last = 0;
  for (let run = 0; run < 4; run++) {
    const numbers = new Numbers(start, 10, stored);
    for (let at = 0; at < 5; at++) {
      const number = numbers.next('a');
      assert.ok(number > last);
      last = number;
      stored++;
    }
  }
});

test('a watcher that fails keeps neither the others nor the caller', () => {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (fields) => errors.push(String(fields.type)) };
  const monitor = createMonitor({ clock: new VirtualClock(), log, startTime: 1 });
  const heard: string[] = [];
  monitor.watch(() => {
    throw new Error('a bad watcher');
  });
  const end = monitor.watch((event) => heard.push(event.type));
  monitor.record({ type: 'hubStarted' });
  end();
  monitor.record({ type: 'hubStopped' });
  assert.deepEqual([heard, errors], [['hubStarted'], ['hubStarted', 'hubStopped']]);
});

test('an attack with many devices from one address is a few events whose counts are all of it', () => {
  const clock = new VirtualClock();
  const monitor = createMonitor({ clock, startTime: clock.now(), sourcesPerAddressMax: 4 });
  const told: MonitoringEvent[] = [];
  monitor.watch((event) => told.push(event));
  const attempt = (deviceId: string, peer: string): MonitoringReport => ({
    ...{ type: 'authenticationFailed', check: 'wrong-key', deviceId, peer },
  });
  for (let at = 0; at < 10_000; at++) {
    monitor.record(attempt(`device-${at}`, '203.0.113.9'));
    clock.advance(1);
  }
  monitor.record(attempt('device-1', '198.51.100.1'));
  monitor.flush();
  const of = (peer: string) => told.filter((event) => event.peer === peer);
  const sum = (events: readonly MonitoringEvent[]): number => events.reduce((all, { count }) => all + (count ?? 0), 0);
  assert.equal(sum(of('203.0.113.9')), 10_000);
  assert.ok(of('203.0.113.9').length < 10, `${of('203.0.113.9').length} events`);
  assert.equal(of('203.0.113.9').find(({ summedOver }) => summedOver === 'address')?.deviceId, undefined);
  assert.equal(sum(of('198.51.100.1')), 1);
});

test('a peer’s address is told whole, by its network, or not at all', () => {
  const cases = [
    ['127.0.0.1', '127.0.0.1', '127.0.0.0/24'],
    ['::ffff:192.0.2.77', '192.0.2.77', '192.0.2.0/24'],
    ['2001:db8:1:2:3::9', '2001:db8:1:2:3::9', '2001:db8:1::/48'],
    ['::1', '::1', '0:0:0::/48'],
    ['fe80::1%eth0', 'fe80::1%eth0', 'fe80:0:0::/48'],
    ['192.0.2.0/24', '192.0.2.0/24', '192.0.2.0/24'],
    ['not an address', 'not an address', undefined],
  ] as const;
  for (const [address, full, masked] of cases) {
    assert.equal(maskPeer(address, 'full'), full);
    assert.equal(maskPeer(address, 'masked'), masked);
    assert.equal(maskPeer(address, 'off'), undefined);
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type LogFields, silentLog } from '../../base/log.ts';
import type { MonitoringReport } from '../../core/monitoring/types.ts';
import { HandshakeFailures } from './handshake-failures.ts';

test('each failure is counted and told; the log has one line a minute for an address and reason, with their number', () => {
  const clock = new VirtualClock();
  const lines: LogFields[] = [];
  const reports: MonitoringReport[] = [];
  let counted = 0;
  const failures = new HandshakeFailures({
    clock,
    log: { ...silentLog, info: (fields) => void lines.push(fields) },
    recorder: { record: (report) => void reports.push(report) },
    count: () => void counted++,
  });
  const fail = (peer: string, reason: 'not-tls' | 'no-shared-suite' = 'no-shared-suite'): void =>
    failures.failed({ port: 'mqttsPort', peer, reason, code: 'E', offered: 'versions TLS 1.2' });
  for (let time = 0; time < 10; time++) fail('192.0.2.1');
  fail('192.0.2.1', 'not-tls');
  fail('192.0.2.2');
  assert.deepEqual([counted, reports.length, lines.length], [12, 12, 3]);
  assert.deepEqual([lines[0].offered, lines[0].count], ['versions TLS 1.2', 1]);
  clock.advance(limits.handshakeWarningMs);
  fail('192.0.2.1');
  assert.equal(lines[3].count, 10, 'the nine of before, and this one');
});

test('addresses without end share one line a minute, and are forgotten', () => {
  const clock = new VirtualClock();
  let lines = 0;
  const failures = new HandshakeFailures({
    clock,
    log: { ...silentLog, info: () => void lines++ },
    recorder: { record: () => {} },
    count: () => {},
  });
  const flood = (from: number): void => {
    for (let at = from; at < from + 5000; at++) {
      failures.failed({ port: 'mqttsPort', peer: `peer ${at}`, reason: 'broken', code: 'E' });
    }
  };
  flood(0);
  assert.equal(lines, limits.handshakeFailuresToldMax + 1);
  clock.advance(limits.handshakeWarningMs);
  flood(5000);
  assert.ok(lines >= 2 * limits.handshakeFailuresToldMax && lines <= 2 * (limits.handshakeFailuresToldMax + 1));
});

test('the addresses of one IPv6 site are one: they cannot take the lines of others', () => {
  const lines: LogFields[] = [];
  const failures = new HandshakeFailures({
    clock: new VirtualClock(),
    log: { ...silentLog, info: (fields) => void lines.push(fields) },
    recorder: { record: () => {} },
    count: () => {},
  });
  const fail = (peer: string): void => failures.failed({ port: 'mqttsPort', peer, reason: 'broken', code: 'E' });
  for (let at = 0; at < limits.handshakeFailuresToldMax + 1; at++) fail(`2001:db8::${at.toString(16)}`);
  fail('192.0.2.1');
  assert.deepEqual(
    lines.map(({ peer }) => peer),
    ['2001:db8::0', '192.0.2.1'],
  );
});

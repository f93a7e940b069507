/** The checks of a played fleet find what they are there for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkBeginning, checkExact, type Line, Refusals } from './fleet-record.ts';
import type { Told } from './monitoring.ts';

let number = 0;
const told = (deviceId: string, type: string, more: object = {}): Told => ({
  ...{ schemaVersion: 1, type, time: '2026-05-01T12:00:00.000Z', sequenceNumber: ++number, deviceId },
  ...more,
});
const connected = (id: string): Told =>
  told(id, 'connected', { protocol: 'mqtt', credential: 'sas', correlationId: id });
const left = (id: string): Told => told(id, 'disconnected', { reason: 'by-client', correlationId: id });
const crashed = (id: string): Told => told(id, 'disconnected', { reason: 'hub-crashed' });
const refused = (count: number): Told => ({
  ...told('a', 'authenticationFailed'),
  check: 'wrong-key',
  peer: '127.0.0.2',
  count,
  summedOver: 'source',
});
/** Seen at once, in the order of `begun`. */
const lines = (from: number, ...texts: readonly string[]): Line[] =>
  texts.map((text, at) => ({ text, begun: from + at * 10, seen: from + at * 10 + 5, seenTime: 1000 + from + at * 10 }));

const record = lines(1, 'connected mqtt sas', 'disconnected by-client');
const attempts = new Refusals();
attempts.add('wrong-key', '127.0.0.2', 7);

test('what is missing, too much, in another order or miscounted is found', () => {
  const fleet = [{ id: 'a', record }];
  const sums = [refused(1), refused(6)];
  checkExact([connected('a'), left('a'), ...sums], fleet, attempts);
  for (const wrong of [
    [connected('a'), ...sums],
    [connected('a'), left('a'), left('a'), ...sums],
    [left('a'), connected('a'), ...sums],
    [connected('a'), left('a'), connected('b'), ...sums],
    [connected('a'), left('a'), refused(1), refused(5)],
  ]) {
    assert.throws(() => checkExact(wrong, fleet, attempts), assert.AssertionError);
  }
  const [second, first] = [left('a'), connected('a')];
  assert.throws(() => checkExact([first, second, ...sums], fleet, attempts), assert.AssertionError, 'numbers go back');
});

test('a crash may take an end of all, and nothing else', () => {
  const other = lines(3, 'connected mqtt sas', 'disconnected by-client');
  const fleet = [
    { id: 'a', record, kept: 1, leftConnected: undefined },
    { id: 'b', record: other, kept: 1, leftConnected: undefined },
    { id: 'c', record: lines(0, 'connected mqtt sas'), kept: 1, leftConnected: true },
  ];
  const check = (...all: readonly Told[]) => checkBeginning(all, fleet, 2000);
  const quiet = [connected('c'), crashed('c')];
  // The end of `a` was seen at step 16, that of `b` began at 13: either may be missing, and so may both.
  assert.deepEqual(check(connected('a'), left('a'), connected('b'), left('b'), ...quiet), { events: 0, oldestMs: 0 });
  assert.deepEqual(check(connected('a'), connected('b'), left('b'), ...quiet), { events: 1, oldestMs: 989 });
  assert.deepEqual(check(connected('a'), connected('b'), crashed('a'), ...quiet), { events: 2, oldestMs: 989 });
  assert.throws(() => check(connected('b'), left('b'), ...quiet), /1 events were there before/);
  assert.throws(() => check(connected('a'), connected('b'), left('b'), connected('c')), assert.AssertionError);
  const later = [{ ...fleet[0], kept: 0 }, ...fleet.slice(1)];
  assert.throws(
    () => checkBeginning([connected('b'), left('b'), ...quiet], later, 2000),
    /connected mqtt sas is missing, and something that was begun later is not/,
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ToldEvent } from '../../monitoring-end.ts';
import { AlikeEvents } from './alike-events.ts';

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
const deleted = (second: number, deviceId = `d${second}`): ToldEvent => ({
  ...{ type: 'identityDeleted', time: at(second), deviceId },
});

test('alike events are one with their count, at the place of the newest; a pause begins another one', () => {
  const events = new AlikeEvents();
  const connected = { type: 'connected', time: at(2), deviceId: 'x' };
  for (const event of [deleted(0), deleted(1), connected, deleted(3), deleted(90)])
    assert.equal(events.add(event), true);
  assert.equal(events.size, 3);
  assert.deepEqual(events.take(), [
    connected,
    { type: 'identityDeleted', time: at(3), count: 3, first: at(0), last: at(3) },
    deleted(90),
  ]);
  assert.deepEqual(events.take(), []);
});

test('those of one device keep its id; by another policy or session they are others; where there is no room only known ones count', () => {
  const events = new AlikeEvents();
  const done = (second: number, session: string): ToldEvent => ({
    ...{ type: 'operationDone', operation: 'twins.write', policyName: 'p', session, time: at(second), deviceId: 'd' },
  });
  events.add(done(0, 'a'));
  events.add(done(1, 'b'));
  assert.equal(events.add(done(2, 'a'), true), true);
  assert.equal(events.add(done(2, 'c'), true), false);
  assert.equal(events.add(deleted(2), true), false);
  assert.deepEqual(events.take(), [done(1, 'b'), { ...done(2, 'a'), count: 2, first: at(0), last: at(2) }]);
});

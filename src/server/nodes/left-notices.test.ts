import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Notice } from '../../core/nodes/ports.ts';
import { LeftNotices } from './left-notices.ts';

/** Notices over a table that the test empties. */
function opened() {
  const clock = new VirtualClock();
  const table = new Map<string, Notice>();
  const statements: (readonly Notice[])[] = [];
  const store = {
    async notify(_: string, notices: readonly Notice[]) {
      statements.push(notices);
      for (const notice of notices) table.set(notice.id, notice);
      return true;
    },
    noticesLeft: async (ids: readonly string[]) => ids.filter((id) => table.has(id)),
  };
  const go = async (ms: number): Promise<void> => {
    clock.advance(ms);
    for (let turn = 0; turn < 20; turn++) await undefined;
  };
  return { notices: new LeftNotices(store, 'n1', clock), table, statements, go };
}

test('thousands who wait for the same make one notice, of what was told when it is left', async () => {
  const { notices, table, statements, go } = opened();
  const tales: (readonly [string, unknown])[] = [];
  let made = 0;
  const make = () => {
    made++;
    return { kind: 'told' as const, tales: [...tales] };
  };
  let heard = 0;
  const all = Array.from({ length: 5000 }, (_, at) => {
    tales.push(['changed identities', at]);
    const notice = notices.leaveTogether(make);
    notice.whenTaken(() => heard++);
    return notice;
  });
  await go(0);
  assert.deepEqual([made, statements.length, statements[0].length], [1, 1, 1]);
  assert.equal(JSON.parse(statements[0][0].body).tales.length, 5000);
  // Who comes behind it is not in it.
  tales.push(['changed identities', 'late']);
  const late = notices.leaveTogether(make);
  await go(limits.nodeNoticeLookMs);
  assert.deepEqual([made, statements.length, heard], [2, 2, 0]);
  table.delete(statements[0][0].id);
  await go(limits.nodeNoticeLookMs);
  assert.deepEqual([heard, all.every(({ isTaken }) => isTaken), late.isTaken], [5000, true, false]);
  table.clear();
  await go(limits.nodeNoticeLookMs);
  assert.equal(late.isTaken, true);
});

test('a notice that many wait for stays while one of them does, and nobody joins one that nobody waits for', async () => {
  const { notices, statements, go } = opened();
  const make = () => ({ kind: 'anew' as const });
  const [one, another] = [notices.leaveTogether(make), notices.leaveTogether(make)];
  one.forget();
  await go(0);
  assert.equal(statements.length, 1);
  another.forget();
  const left = notices.leaveTogether(make);
  left.forget();
  const next = notices.leaveTogether(make);
  await go(limits.nodeNoticeLookMs);
  assert.equal(statements.length, 2);
  next.forget();
});

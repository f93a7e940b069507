import assert from 'node:assert/strict';
import { limits as bounds } from '../../base/limits.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { d1, limits, lock, newCommand, type QueueCheck, T0 } from './fresh-queue.ts';

/** Trails and dead letters: what can be asked about a command afterwards, until it is removed. */
export function commandTrailsContract(check: QueueCheck): void {
  check('shows each delivery in the trail', async (queue) => {
    await queue.enqueue(newCommand('m1'), limits, T0);
    for (const [holder, at] of [
      ['c1', 0],
      ['c2', limits.lockMs],
      ['', 2 * limits.lockMs],
    ] as const) {
      await queue.lockNext(d1, 'g1', lock([`t${at}`], holder), T0 + at);
    }
    assert.deepEqual(
      (await queue.trail(d1, 1)).map(({ step, detail }) => [step, detail]),
      [
        ['enqueued', ''],
        ['handed-over', 'c1'],
        ['lock-ended', ''],
        ['handed-over', 'c2, delivery 2'],
        ['lock-ended', ''],
        ['handed-over', 'delivery 3'],
      ],
    );
  });

  check(
    'shows in the trail of a command each time its receipt was handed over, and that it was read',
    async (queue) => {
      for (const target of [d1, { deviceId: 'd2' }]) {
        await queue.enqueue(newCommand('m1', { target }), limits, T0);
        await queue.purge(target, T0 + 1);
      }
      const request = { lockToken: 'b', count: 1, lockMs: 1000, notAfter: T0 + 1, reader: 'policy p', endedBefore: 0 };
      const steps = async (target: IdentityKey) =>
        (await queue.trail(target, 1)).map(({ time, step }) => [time - T0, step]);
      const unread = [
        [0, 'enqueued'],
        [1, 'purged'],
      ];
      await queue.lockReceipts(request, T0 + 2);
      await queue.settleReceipts('b', 'abandon', T0 + 3);
      assert.deepEqual(await steps(d1), [...unread, [2, 'receipt-handed-over']]);
      assert.deepEqual((await queue.trail(d1, 1)).at(-1)?.detail, 'policy p');
      await queue.lockReceipts({ ...request, lockToken: 'c' }, T0 + 4);
      await queue.settleReceipts('c', 'complete', T0 + 5);
      const read = [...unread, [2, 'receipt-handed-over'], [4, 'receipt-handed-over'], [5, 'receipt-read']];
      assert.deepEqual([await steps(d1), await steps({ deviceId: 'd2' })], [read, unread]);
    },
  );

  check('a dead letter that is sent again says so, and what it was sent as', async (queue) => {
    await queue.enqueue(newCommand('m1'), limits, T0);
    await queue.purge(d1, T0 + 1);
    await queue.enqueue(newCommand('m1', { sentAgain: 1 }), limits, T0 + 2);
    await queue.enqueue(newCommand('m1', { sentAgain: 1 }), limits, T0 + 3);
    // One that is no longer there: the new command is sent all the same.
    assert.equal((await queue.enqueue(newCommand('m1', { sentAgain: 77 }), limits, T0 + 4)).kind, 'enqueued');
    const trail = async (sequence: number) =>
      (await queue.trail(d1, sequence)).map(({ time, step, detail }) => [time - T0, step, detail]);
    assert.deepEqual(await trail(1), [
      [0, 'enqueued', ''],
      [1, 'purged', ''],
      [2, 'sent-again', 'as command 2'],
      [3, 'sent-again', 'as command 3'],
    ]);
    assert.deepEqual(await trail(2), [[2, 'enqueued', 'command 1 again']]);
    assert.deepEqual(await trail(77), []);
  });

  check('bounds a trail, whose beginning and outcome stay', async (queue) => {
    await queue.enqueue(newCommand('m1'), limits, T0);
    for (let at = 0; at < bounds.commandTrailEntriesMax; at++) {
      await queue.lockNext(d1, 'g1', lock([`t${at}`]), T0 + at);
      await queue.releaseHolder(d1, 'c1', T0 + at);
    }
    await queue.purge(d1, T0 + 100);
    for (let at = 101; at < 101 + bounds.commandTrailEntriesMax; at++) {
      const request = { lockToken: 'b', count: 1, lockMs: 1000, notAfter: T0 + at, reader: '', endedBefore: 0 };
      await queue.lockReceipts(request, T0 + at);
      await queue.settleReceipts('b', 'abandon', T0 + at);
    }
    await queue.enqueue(newCommand('m1', { sentAgain: 1 }), limits, T0 + 1000);
    const trail = await queue.trail(d1, 1);
    assert.equal(trail.length, bounds.commandTrailEntriesMax);
    assert.deepEqual(
      [trail[0].step, trail.at(-2)?.step, trail.at(-1)?.step],
      [...['enqueued', 'receipt-handed-over', 'sent-again']],
    );
    assert.equal(trail.filter(({ step }) => step === 'purged').length, 1);
  });

  check('keeps dead letters and trails until they are removed', async (queue) => {
    for (const id of ['done', 'dead']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1', 't2']), T0 + 1);
    await queue.settle(d1, 't1', 'complete', limits, T0 + 2);
    await queue.settle(d1, 't2', 'reject', limits, T0 + 3);
    const dead = await queue.deadLetters(d1, 10);
    assert.deepEqual(
      dead.map((command) => command.message.messageId),
      ['dead'],
    );
    assert.equal(Buffer.from(dead[0].message.body).toString(), 'body of dead');
    const [found] = await queue.find(d1, { messageId: 'dead' });
    assert.deepEqual(
      (await queue.trail(d1, found.sequence)).map((entry) => [entry.time - T0, entry.step]),
      [
        [0, 'enqueued'],
        [1, 'handed-over'],
        [3, 'rejected'],
      ],
    );
    await queue.enqueue(newCommand('waits'), limits, T0 + 3);
    const newest = async (count: number) =>
      (await queue.find(d1, { newest: count })).map((command) => [command.message.messageId, command.state.kind]);
    assert.deepEqual(await newest(10), [
      ['waits', 'enqueued'],
      ['dead', 'ended'],
      ['done', 'ended'],
    ]);
    assert.deepEqual(await newest(2), [
      ['waits', 'enqueued'],
      ['dead', 'ended'],
    ]);
    assert.equal(await queue.removeEnded(T0 + 3, 10), 1);
    assert.equal(await queue.removeEnded(T0 + 4, 10), 1);
    assert.deepEqual(await queue.find(d1, { messageId: 'dead' }), []);
    assert.deepEqual(await queue.trail(d1, found.sequence), []);
  });
}

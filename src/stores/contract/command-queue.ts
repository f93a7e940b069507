import assert from 'node:assert/strict';
import type { EndedCommand, NewCommand } from '../../core/commands/ports.ts';
import type { CommandMessage } from '../../core/commands/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { commandOwnersContract } from './command-owners.ts';
import { commandReceiptsContract } from './command-receipts.ts';
import { commandTrailsContract } from './command-trails.ts';
import { allReceipts, d1, limits, lock, m1, newCommand, type OpenedQueue, queueChecks, T0 } from './fresh-queue.ts';

/** What every `CommandQueue` does: the way of commands here; receipts, trails and owners each in a file of their own. */
export function commandQueueContract(name: string, open: () => Promise<OpenedQueue>): void {
  const check = queueChecks(name, open);

  check('hands commands over in the order in which they were sent, as they were sent', async (queue) => {
    for (const id of ['m1', 'm2', 'm3']) await queue.enqueue(newCommand(id), limits, T0);
    const taken = await queue.lockNext(d1, 'g1', lock(['t1', 't2']), T0 + 1);
    assert.deepEqual(
      taken.map((command) => [
        command.sequence,
        command.message.messageId,
        Buffer.from(command.message.body).toString(),
      ]),
      [
        [1, 'm1', 'body of m1'],
        [2, 'm2', 'body of m2'],
      ],
    );
    assert.deepEqual(taken[0].message.properties, [['a', 'b']]);
    assert.deepEqual(taken[0].state, {
      kind: 'locked',
      lockToken: 't1',
      lockedUntil: T0 + 1 + limits.lockMs,
      holder: 'c1',
    });
    assert.deepEqual([taken[0].handedOver, taken[0].deliveryCount, taken[0].enqueuedTime], [1, 0, T0]);
    const rest = await queue.lockNext(d1, 'g1', lock(['t3', 't4']), T0 + 2);
    assert.deepEqual(
      rest.map((command) => command.message.messageId),
      ['m3'],
    );
  });

  check('keeps every part of a message, types of ids among them', async (queue, opened) => {
    const plain = newCommand('m1').message;
    const whole: CommandMessage = {
      ...plain,
      messageId: '7',
      correlationId: 'ff00',
      idTypes: { messageId: 'ulong', correlationId: 'hex' },
      userId: 'u',
      contentType: 'a/b',
      contentEncoding: 'utf-8',
      expiry: T0 + 1000,
    };
    for (const message of [whole, plain]) await queue.enqueue({ ...newCommand(''), message }, limits, T0);
    const reader = opened.reopen === undefined ? queue : await opened.reopen();
    const taken = await reader.lockNext(d1, 'g1', lock(['t1', 't2']), T0 + 1);
    for (const [at, { body, ...message }] of [whole, plain].entries()) {
      const { body: kept, ...rest } = taken[at].message;
      assert.deepEqual(rest, message);
      assert.deepEqual(Buffer.from(kept), Buffer.from(body));
    }
  });

  check('takes no more commands than its depth, and counts locked ones too', async (queue) => {
    for (let at = 0; at < limits.queueDepthMax; at++) await queue.enqueue(newCommand(`m${at}`), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1']), T0);
    assert.deepEqual(await queue.enqueue(newCommand('over'), limits, T0), { kind: 'full', depth: 5 });
    assert.deepEqual(await queue.settle(d1, 't1', 'complete', limits, T0), { kind: 'ended', outcome: 'completed' });
    assert.equal((await queue.enqueue(newCommand('fits'), limits, T0)).kind, 'enqueued');
  });

  check('keeps the queues of a device, its modules and other devices apart', async (queue) => {
    await queue.enqueue(newCommand('for-module', { target: m1 }), limits, T0);
    await queue.enqueue(newCommand('for-other', { target: { deviceId: 'd2' } }), limits, T0);
    assert.deepEqual(await queue.lockNext(d1, 'g1', lock(['t']), T0), []);
    assert.deepEqual(await queue.depths([d1, m1, { deviceId: 'd2' }, { deviceId: 'nobody' }], T0), [0, 1, 1, 0]);
    const [taken] = await queue.lockNext(m1, 'g1', lock(['t']), T0);
    assert.deepEqual(taken.target, m1);
  });

  check('delivers again after the lock has run out, first in order, without counting an attempt', async (queue) => {
    for (const id of ['m1', 'm2']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1']), T0);
    const later = T0 + limits.lockMs;
    assert.deepEqual(await queue.settle(d1, 't1', 'complete', limits, later), { kind: 'lockLost' });
    const again = await queue.lockNext(d1, 'g1', lock(['t2', 't3']), later);
    assert.deepEqual(
      again.map((command) => [command.message.messageId, command.handedOver, command.deliveryCount]),
      [
        ['m1', 2, 0],
        ['m2', 1, 0],
      ],
    );
  });

  check('gives a command up after the last allowed abandon', async (queue) => {
    await queue.enqueue(newCommand('m1'), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1']), T0);
    assert.deepEqual(await queue.settle(d1, 't1', 'abandon', limits, T0), { kind: 'again' });
    await queue.lockNext(d1, 'g1', lock(['t2']), T0);
    assert.deepEqual(await queue.settle(d1, 't2', 'abandon', limits, T0), {
      kind: 'ended',
      outcome: 'deliveryCountExceeded',
    });
    assert.deepEqual(await allReceipts(queue, T0), [['m1', 'deliveryCountExceeded']]);
  });

  check('puts back what a lost connection held, and nothing of others', async (queue) => {
    for (const id of ['m1', 'm2']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1'], 'c1'), T0);
    await queue.lockNext(d1, 'g1', lock(['t2'], 'c2'), T0);
    assert.equal(await queue.releaseHolder(d1, 'c1', T0), 1);
    const again = await queue.lockNext(d1, 'g1', lock(['t3', 't4'], 'c3'), T0);
    assert.deepEqual(
      again.map((command) => command.message.messageId),
      ['m1'],
    );
    assert.deepEqual(await queue.settle(d1, 't2', 'complete', limits, T0), { kind: 'ended', outcome: 'completed' });
  });

  check(
    'puts back what older connections have taken when a newer one takes first, and nothing of requests',
    async (queue) => {
      for (const id of ['m1', 'm2', 'm3', 'm4']) await queue.enqueue(newCommand(id), limits, T0);
      await queue.lockNext(d1, 'g1', lock(['t1'], 'gone'), T0);
      await queue.lockNext(d1, 'g1', lock(['t2'], ''), T0);
      await queue.lockNext(d1, 'g1', lock(['t3'], 'displaced'), T0);
      const first = { ...lock(['n1', 'n2', 'n3', 'n4'], 'newer'), putsBack: { others: true, but: [] } };
      const taken = await queue.lockNext(d1, 'g1', first, T0 + 1);
      assert.deepEqual(
        taken.map(({ message, handedOver, deliveryCount }) => [message.messageId, handedOver, deliveryCount]),
        [
          ['m1', 2, 0],
          ['m3', 2, 0],
          ['m4', 1, 0],
        ],
      );
      // What a displaced connection says too late is nothing: there are never two outcomes.
      assert.deepEqual(await queue.settle(d1, 't1', 'complete', limits, T0 + 1), { kind: 'lockLost' });
      assert.deepEqual(await queue.settle(d1, 't3', 'reject', limits, T0 + 1), { kind: 'lockLost' });
      assert.deepEqual(await queue.settle(d1, 'n1', 'complete', limits, T0 + 1), {
        kind: 'ended',
        outcome: 'completed',
      });
      assert.deepEqual(await queue.settle(d1, 't2', 'complete', limits, T0 + 1), {
        kind: 'ended',
        outcome: 'completed',
      });
      assert.deepEqual(
        (await queue.trail(d1, 1)).map(({ step, detail }) => [step, detail]),
        [
          ['enqueued', ''],
          ['handed-over', 'gone'],
          ['connection-lost', 'gone'],
          ['handed-over', 'newer, delivery 2'],
          ['completed', ''],
        ],
      );
    },
  );

  check('puts back what was taken under an answer that was lost, but for what the taker knows', async (queue) => {
    for (const id of ['m1', 'm2', 'm3']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['known']), T0);
    await queue.lockNext(d1, 'g1', lock(['lost']), T0);
    await queue.lockNext(d1, 'g1', lock(['wire'], 'c2'), T0);
    const again = { ...lock(['t1', 't2']), putsBack: { others: false, but: ['known'] } };
    const taken = await queue.lockNext(d1, 'g1', again, T0 + 1);
    assert.deepEqual(
      taken.map(({ message }) => message.messageId),
      ['m2'],
    );
    for (const token of ['known', 't1', 'wire']) {
      const outcome = await queue.settle(d1, token, 'complete', limits, T0 + 1);
      assert.deepEqual(outcome, { kind: 'ended', outcome: 'completed' }, token);
    }
  });

  check('expires what waits too long, also when nobody asks, and says when to look again', async (queue) => {
    await queue.enqueue(newCommand('short', { expiresAt: T0 + 1000 }), limits, T0);
    await queue.enqueue(newCommand('long'), limits, T0);
    assert.equal((await queue.sweep(T0 + 1, 100)).nextDue, T0 + 1000);
    const swept = await queue.sweep(T0 + 1000, 100);
    assert.equal(swept.ended, 1);
    assert.equal(swept.nextDue, T0 + 3_600_000);
    assert.deepEqual(await allReceipts(queue, T0 + 1000), [['short', 'expired']]);
    assert.equal((await queue.sweep(T0 + 1001, 100)).ended, 0);
  });

  check('tells whose locks have run out, so that they can be delivered again', async (queue) => {
    await queue.enqueue(newCommand('m1'), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1']), T0);
    assert.deepEqual((await queue.sweep(T0 + 1, 100)).deliverable, []);
    assert.deepEqual((await queue.sweep(T0 + limits.lockMs, 100)).deliverable, [d1]);
  });

  check('purges what waits and what is locked; the lock is lost then', async (queue) => {
    for (const id of ['m1', 'm2']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1']), T0);
    assert.equal(await queue.purge(d1, T0), 2);
    assert.equal(await queue.purge(d1, T0), 0);
    assert.deepEqual(await queue.settle(d1, 't1', 'complete', limits, T0), { kind: 'lockLost' });
    assert.deepEqual(await allReceipts(queue, T0), [
      ['m1', 'purged'],
      ['m2', 'purged'],
    ]);
  });

  check('tells each command that has ended once, by whatever call it was found out', async (queue) => {
    const told: EndedCommand[] = [];
    const again: EndedCommand[] = [];
    const end = queue.watch((ended) => told.push(...ended));
    queue.watch((ended) => again.push(...ended));
    const taken = (): readonly string[] =>
      told.splice(0).map(({ target, sequence, messageId, outcome, endedTime }) => {
        return `${target.deviceId}/${target.moduleId ?? ''} ${sequence} ${messageId} ${outcome} ${endedTime - T0}`;
      });
    const short = (id: string, target: IdentityKey = d1): NewCommand =>
      newCommand(id, { target, expiresAt: T0 + 1000, ack: 'none' });

    await queue.enqueue(short('by-lock'), limits, T0);
    assert.deepEqual(taken(), []);
    assert.deepEqual(await queue.lockNext(d1, 'g1', lock(['t1']), T0 + 1000), []);
    assert.deepEqual(taken(), ['d1/ 1 by-lock expired 1000']);

    for (let at = 0; at < limits.queueDepthMax; at++) await queue.enqueue(short(`full-${at}`, m1), limits, T0);
    assert.equal((await queue.enqueue(newCommand('room', { target: m1 }), limits, T0 + 1000)).kind, 'enqueued');
    assert.deepEqual(
      taken(),
      Array.from({ length: limits.queueDepthMax }, (_, at) => `d1/m1 ${at + 1} full-${at} expired 1000`),
    );

    await queue.enqueue(short('by-settle'), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t2']), T0 + 1);
    const late = T0 + 1 + limits.lockMs;
    assert.deepEqual(await queue.settle(d1, 't2', 'complete', limits, late), { kind: 'lockLost' });
    assert.deepEqual(taken(), [`d1/ 2 by-settle expired ${late - T0}`]);

    await queue.enqueue(short('by-release'), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t3']), T0 + 1);
    await queue.releaseHolder(d1, 'c1', T0 + 2000);
    assert.deepEqual(taken(), ['d1/ 3 by-release expired 2000']);

    await queue.enqueue(short('by-abandon'), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t4']), T0 + 1);
    assert.deepEqual(await queue.settle(d1, 't4', 'abandon', limits, T0 + 2000), { kind: 'ended', outcome: 'expired' });
    assert.deepEqual(taken(), ['d1/ 4 by-abandon expired 2000']);

    for (const id of ['given-up', 'rejected', 'completed']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['a', 'b', 'c']), T0);
    await queue.settle(d1, 'a', 'abandon', limits, T0 + 1);
    await queue.lockNext(d1, 'g1', lock(['d']), T0 + 2);
    await queue.settle(d1, 'd', 'abandon', limits, T0 + 3);
    await queue.settle(d1, 'b', 'reject', limits, T0 + 4);
    await queue.settle(d1, 'c', 'complete', limits, T0 + 5);
    assert.deepEqual(taken(), [
      'd1/ 5 given-up deliveryCountExceeded 3',
      'd1/ 6 rejected rejected 4',
      'd1/ 7 completed completed 5',
    ]);

    await queue.enqueue(newCommand('purged'), limits, T0);
    await queue.enqueue(short('by-sweep'), limits, T0);
    await queue.purge(m1, T0 + 1);
    assert.deepEqual(taken(), ['d1/m1 6 room purged 1']);
    await queue.sweep(T0 + 1000, 100);
    assert.deepEqual(taken(), ['d1/ 9 by-sweep expired 1000']);
    await queue.sweep(T0 + 1001, 100);
    await queue.depths([d1, m1], T0 + 7_200_000);
    await queue.totals(T0 + 7_200_000);
    assert.deepEqual(taken(), []);
    end();
    await queue.purge(d1, T0 + 1002);
    assert.deepEqual([told.length, again.at(-1)?.messageId], [0, 'purged']);
  });

  check('counts what waits, what is locked, and how commands ended', async (queue) => {
    for (const id of ['m1', 'm2', 'm3']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1', 't2']), T0 + 1);
    await queue.settle(d1, 't1', 'complete', limits, T0 + 2);
    const totals = await queue.totals(T0 + 2);
    assert.deepEqual([totals.waiting, totals.locked, totals.receipts, totals.oldestEnqueuedTime], [1, 1, 1, T0]);
    assert.equal(totals.outcomes.completed, 1);
  });

  check('remembers everything after it was closed and opened again', async (queue, opened) => {
    if (opened.reopen === undefined) return;
    for (const id of ['m1', 'm2']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t1']), T0);
    await queue.settle(d1, 't1', 'complete', limits, T0);
    await queue.lockNext(d1, 'g1', lock(['t2']), T0);
    const again = await opened.reopen();
    assert.deepEqual(await allReceipts(again, T0), [['m1', 'completed']]);
    assert.deepEqual(await again.settle(d1, 't2', 'complete', limits, T0 + 1), { kind: 'ended', outcome: 'completed' });
    const next = await again.enqueue(newCommand('m3'), limits, T0 + 2);
    assert.deepEqual(next, { kind: 'enqueued', sequence: 3 });
  });

  commandReceiptsContract(check);
  commandTrailsContract(check);
  commandOwnersContract(check);
}

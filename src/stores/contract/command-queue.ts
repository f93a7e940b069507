import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits as bounds } from '../../base/limits.ts';
import type { CommandQueue, EndedCommand, NewCommand } from '../../core/commands/ports.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import type { CommandMessage } from '../../core/commands/types.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { exampleIdentity } from './identities.ts';

export interface OpenedQueue {
  readonly queue: CommandQueue;
  /** Those that the queue looks at; a deletion takes the identity's commands along. */
  readonly identities: IdentityStore;
  close(): Promise<void>;
  /** Closes and opens again what is stored; absent where nothing outlives the process. */
  reopen?(): Promise<CommandQueue>;
}

const limits = { ...defaultCommandLimits, queueDepthMax: 5, deliveryCountMax: 2 };
const d1: IdentityKey = { deviceId: 'd1' };
const T0 = Date.UTC(2026, 0, 1);

export function newCommand(
  messageId: string,
  change: Partial<NewCommand> & { ack?: CommandMessage['ack'] } = {},
): NewCommand {
  const { ack = 'full', ...others } = change;
  return {
    target: d1,
    generationId: 'g1',
    message: { messageId, ack, properties: [['a', 'b']], body: Buffer.from(`body of ${messageId}`) },
    expiresAt: T0 + 3_600_000,
    ...others,
  };
}

/** Creates identities, so that commands can be sent to them. Those that exist stay as they are. */
export async function admitIdentities(
  identities: Pick<IdentityStore, 'write'>,
  keys: readonly IdentityKey[],
  generationId = 'g1',
): Promise<void> {
  await identities.write(
    keys.map((key) => ({ kind: 'create', identity: exampleIdentity(key, { generationId }), countMax: 1000 })),
  );
}

const m1: IdentityKey = { deviceId: 'd1', moduleId: 'm1' };
const everybody: readonly IdentityKey[] = [
  ...[d1, m1, { deviceId: 'd2' }, { deviceId: 'done' }, { deviceId: 'refused' }],
];

const lock = (tokens: readonly string[], holder = 'c1') => ({ tokens, holder, lockMs: limits.lockMs });

/** What every `CommandQueue` does. */
export function commandQueueContract(name: string, open: () => Promise<OpenedQueue>): void {
  const check = (sentence: string, body: (queue: CommandQueue, opened: OpenedQueue) => Promise<void>): void => {
    test(`${name}: ${sentence}`, async () => {
      const opened = await open();
      try {
        await admitIdentities(opened.identities, everybody);
        await body(opened.queue, opened);
      } finally {
        await opened.close();
      }
    });
  };
  const allReceipts = async (queue: CommandQueue, now: number) => {
    const batch = await queue.lockReceipts(
      { lockToken: 'r', count: 1000, lockMs: 1000, notAfter: now, reader: 'policy p', endedBefore: 0 },
      now,
    );
    return (batch?.receipts ?? []).map((receipt) => [receipt.originalMessageId, receipt.outcome]);
  };

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

  check('writes the receipts that were asked for, and no others', async (queue) => {
    for (const ack of ['none', 'positive', 'negative', 'full'] as const) {
      await queue.enqueue(newCommand(`${ack}-done`, { ack, target: { deviceId: 'done' } }), limits, T0);
      await queue.enqueue(newCommand(`${ack}-refused`, { ack, target: { deviceId: 'refused' } }), limits, T0);
    }
    for (let at = 0; at < 4; at++) {
      await queue.lockNext({ deviceId: 'done' }, 'g1', lock([`d${at}`]), T0);
      await queue.settle({ deviceId: 'done' }, `d${at}`, 'complete', limits, T0);
      await queue.lockNext({ deviceId: 'refused' }, 'g1', lock([`r${at}`]), T0);
      await queue.settle({ deviceId: 'refused' }, `r${at}`, 'reject', limits, T0);
    }
    assert.deepEqual((await allReceipts(queue, T0)).sort(), [
      ['full-done', 'completed'],
      ['full-refused', 'rejected'],
      ['negative-refused', 'rejected'],
      ['positive-done', 'completed'],
    ]);
  });

  check(
    'hands receipts out in full batches at once and smaller ones after a wait, each to one back end',
    async (queue) => {
      for (let at = 0; at < 3; at++) await queue.enqueue(newCommand(`m${at}`), limits, T0);
      await queue.purge(d1, T0);
      const ask = (lockToken: string, count: number, notAfter: number, now: number) =>
        queue.lockReceipts({ lockToken, count, lockMs: 16_000, notAfter, reader: 'policy p', endedBefore: 0 }, now);
      assert.equal((await ask('b1', 2, T0 - 1, T0))?.receipts.length, 2);
      assert.equal(await ask('b2', 2, T0 - 1, T0), undefined);
      assert.equal((await ask('b3', 2, T0, T0 + 15_000))?.receipts.length, 1);
      assert.equal(await queue.settleReceipts('b3', 'complete', T0 + 15_001), true);
      assert.equal(await queue.settleReceipts('b3', 'complete', T0 + 15_001), false);
      // The lock of the first batch runs out: its receipts are available again, to anybody.
      assert.equal(await queue.settleReceipts('b1', 'complete', T0 + 16_000), false);
      const again = await ask('b4', 10, T0 + 20_000, T0 + 20_000);
      assert.deepEqual(
        again?.receipts.map((receipt) => receipt.originalMessageId),
        ['m0', 'm1'],
      );
      assert.equal(await queue.settleReceipts('b4', 'abandon', T0 + 20_001), true);
      assert.equal((await ask('b5', 10, T0 + 20_002, T0 + 20_002))?.receipts.length, 2);
    },
  );

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

  check('drops receipts that nobody fetched within their own time', async (queue) => {
    await queue.enqueue(newCommand('m1'), limits, T0);
    await queue.purge(d1, T0);
    const late = T0 + 10_000;
    const request = { lockToken: 'b', count: 10, lockMs: 1000, notAfter: late, reader: 'policy p', endedBefore: T0 };
    assert.equal(await queue.lockReceipts(request, late), undefined);
    assert.equal((await queue.totals(late)).receipts, 1);
    assert.equal(await queue.dropReceipts(T0 - 1, 10, late), 0);
    assert.equal(await queue.dropReceipts(T0, 10, late), 1);
    assert.equal((await queue.totals(late)).receipts, 0);
  });

  check('does not drop receipts that a back end holds', async (queue) => {
    for (const id of ['m1', 'm2', 'm3']) await queue.enqueue(newCommand(id), limits, T0);
    await queue.purge(d1, T0);
    const request = { lockToken: 'b', count: 1, lockMs: 1000, notAfter: T0, reader: 'policy p', endedBefore: T0 - 1 };
    await queue.lockReceipts(request, T0);
    assert.equal(await queue.dropReceipts(T0, 1, T0 + 999), 1);
    assert.equal(await queue.dropReceipts(T0, 10, T0 + 999), 1);
    assert.equal(await queue.settleReceipts('b', 'complete', T0 + 999), true);
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

  check('takes nothing for an identity that is gone, or for another generation of it', async (queue, opened) => {
    const gone = { kind: 'gone' };
    assert.deepEqual(await queue.enqueue(newCommand('x', { target: { deviceId: 'nobody' } }), limits, T0), gone);
    assert.deepEqual(await queue.enqueue(newCommand('x', { generationId: 'g0' }), limits, T0), gone);
    await queue.enqueue(newCommand('before', { target: m1 }), limits, T0);
    await opened.identities.write([{ kind: 'delete', key: d1, ifMatch: '*' }]);
    for (const target of [d1, m1]) assert.deepEqual(await queue.enqueue(newCommand('x', { target }), limits, T0), gone);
    await admitIdentities(opened.identities, [d1], 'g2');
    assert.deepEqual(await queue.enqueue(newCommand('late'), limits, T0), gone);
    assert.deepEqual(await queue.depths([d1, m1], T0), [0, 0]);
    assert.equal((await queue.enqueue(newCommand('new', { generationId: 'g2' }), limits, T0)).kind, 'enqueued');
  });

  check('a deletion beside enqueues leaves no command behind', async (queue, opened) => {
    let [taken, refused] = [0, 0];
    for (let round = 0; round < 20; round++) {
      const generationId = `g${round}`;
      const target = { deviceId: 'racer' };
      const module = { deviceId: 'racer', moduleId: 'm1' };
      await admitIdentities(opened.identities, [target, module], generationId);
      const enqueue = async (nth: number): Promise<void> => {
        // Behind the deletion in some rounds, before it in others.
        for (let turn = 0; turn < (round + nth) % 7; turn++) await new Promise(setImmediate);
        const wanted = { target: nth % 2 === 0 ? target : module, generationId };
        const { kind } = await queue.enqueue(newCommand(`m${nth}`, wanted), limits, T0);
        if (kind === 'gone') refused++;
        else taken++;
      };
      await Promise.all([
        ...Array.from({ length: 8 }, (_, nth) => enqueue(nth)),
        (async () => {
          for (let turn = 0; turn < round % 5; turn++) await new Promise(setImmediate);
          await opened.identities.write([{ kind: 'delete', key: target, ifMatch: '*' }]);
        })(),
      ]);
      assert.deepEqual(await queue.depths([target, module], T0), [0, 0], `round ${round}`);
    }
    assert.deepEqual([(await queue.totals(T0)).waiting, taken + refused], [0, 160]);
    assert.ok(taken > 0 && refused > 0, `${taken} taken, ${refused} refused: the two have met`);
  });

  check('a re-created identity does not receive what was meant for the old one', async (queue, opened) => {
    await queue.enqueue(newCommand('old'), limits, T0);
    assert.deepEqual(await queue.lockNext(d1, 'g2', lock(['t1']), T0), []);
    await opened.identities.write([{ kind: 'delete', key: d1, ifMatch: '*' }]);
    await admitIdentities(opened.identities, [d1], 'g2');
    assert.equal(await queue.depth(d1, T0), 0);
    assert.deepEqual(await allReceipts(queue, T0), []);
    const after = await queue.enqueue(newCommand('new', { generationId: 'g2' }), limits, T0);
    assert.ok(after.kind === 'enqueued' && after.sequence > 1, 'sequence numbers are not used again');
  });

  check('forgetting a device forgets its modules; forgetting a module leaves the device', async (queue) => {
    for (const target of [d1, m1]) await queue.enqueue(newCommand('x', { target }), limits, T0);
    await queue.forget(m1);
    assert.deepEqual(await queue.depths([d1, m1], T0), [1, 0]);
    await queue.enqueue(newCommand('y', { target: m1 }), limits, T0);
    await queue.forget(d1);
    assert.deepEqual(await queue.depths([d1, m1], T0), [0, 0]);
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
    assert.equal(await queue.removeEnded(T0 + 3, 10), 1);
    assert.equal(await queue.removeEnded(T0 + 4, 10), 1);
    assert.deepEqual(await queue.find(d1, { messageId: 'dead' }), []);
    assert.deepEqual(await queue.trail(d1, found.sequence), []);
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
}

import assert from 'node:assert/strict';
import { allReceipts, d1, limits, lock, newCommand, type QueueCheck, T0 } from './fresh-queue.ts';

/** Receipts: which are written, and that each is handed to one back end until one has read it or its time is over. */
export function commandReceiptsContract(check: QueueCheck): void {
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
}

import assert from 'node:assert/strict';
import { admitIdentities, allReceipts, d1, limits, lock, m1, newCommand, type QueueCheck, T0 } from './fresh-queue.ts';

/** A command belongs to one generation of one identity, and goes with it: none is ever left without its owner. */
export function commandOwnersContract(check: QueueCheck): void {
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
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../base/assert.ts';
import { Acknowledgements } from './acknowledgements.ts';

const ids = (bytes: Buffer | undefined): number[] => {
  const found: number[] = [];
  for (let at = 0; bytes !== undefined && at < bytes.length; at += 4) {
    assert.deepEqual([bytes[at], bytes[at + 1]], [0x40, 2]);
    found.push(bytes.readUInt16BE(at + 2));
  }
  return found;
};

test('PUBACKs of a batch leave together, in order of arrival', () => {
  const waiting = new Acknowledgements();
  waiting.add(3, 1);
  waiting.add(1, 1);
  waiting.add(2, 2);
  assert.deepEqual(ids(waiting.settle(0)), []);
  assert.deepEqual(ids(waiting.settle(1)), [3, 1]);
  assert.deepEqual(ids(waiting.settle(9)), [2]);
  assert.equal(waiting.settle(9), undefined);
});

test('a message that waits for nothing keeps its place behind those that do', () => {
  const waiting = new Acknowledgements();
  assert.equal(waiting.addInOrder(7), false);
  waiting.add(1, 5);
  assert.equal(waiting.addInOrder(7), true);
  waiting.add(2, 6);
  assert.deepEqual(ids(waiting.settle(5)), [1, 7]);
});

test('a batch number that goes back is a broken invariant', () => {
  const waiting = new Acknowledgements();
  waiting.add(1, 5);
  assert.throws(() => waiting.add(2, 4), AssertionError);
});

test('any order of additions and batches gives every id once, in order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 200 }), { maxLength: 60 }), (runs) => {
      const waiting = new Acknowledgements();
      const added: number[] = [];
      const settled: number[] = [];
      for (const [batch, run] of runs.entries()) {
        for (let count = 0; count < run; count++) {
          const id = (added.length % 0xffff) + 1;
          waiting.add(id, batch);
          added.push(id);
        }
        if (run % 3 === 0) settled.push(...ids(waiting.settle(batch - (run % 2))));
        assert.equal(waiting.count, added.length - settled.length);
      }
      settled.push(...ids(waiting.settle(runs.length)));
      assert.deepEqual(settled, added);
    }),
  );
});

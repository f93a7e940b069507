import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldBuffers } from '../../../base/held-buffers.ts';
import { DeliveryPieces, type PartitionPieces } from './delivery-pieces.ts';

const BYTES = 1024;

function pool(): HeldBuffers {
  return new HeldBuffers({ bytesMin: 16, bytesMax: 64 * BYTES, freeBytesMax: 64 * BYTES });
}

/** Keeps `count` events from `firstSequence` on in a buffer that its writer has let go of. */
function lay(buffers: HeldBuffers, place: PartitionPieces, firstSequence: number, count = 10): Buffer {
  const frames = buffers.take(BYTES);
  place.keep({ firstSequence, count, frames, frameBytesMax: 100, isLent: false });
  buffers.letGo(frames);
  return frames;
}

test('a piece is found by every event in it, while its partition has two readers or more', () => {
  const buffers = pool();
  const pieces = new DeliveryPieces(buffers, 100 * BYTES);
  const log = {};
  const place = pieces.of(log, 0);
  assert.equal(pieces.of(log, 0), place);
  place.enter();
  lay(buffers, place, 0);
  assert.equal(place.find(0), undefined, 'nobody else is there');
  place.enter();
  lay(buffers, place, 20);
  lay(buffers, place, 30);
  for (const [sequence, first] of [
    [19, undefined],
    [20, 20],
    [29, 20],
    [30, 30],
    [39, 30],
    [40, undefined],
  ])
    assert.equal(place.find(sequence as number)?.firstSequence, first);
  assert.equal(pieces.of(log, 1).find(20), undefined, 'another partition');
  assert.equal(pieces.of({}, 0).find(20), undefined, 'another log');
  place.leave();
  assert.equal(place.isShared, false);
});

test('the oldest pieces go, of whatever partition, and their memory is used again', () => {
  const buffers = pool();
  const pieces = new DeliveryPieces(buffers, 3 * BYTES);
  const [one, two] = [pieces.of({}, 0), pieces.of({}, 1)];
  for (const place of [one, one, two, two]) place.enter();
  const oldest = lay(buffers, one, 0);
  lay(buffers, two, 0);
  lay(buffers, one, 10);
  assert.equal(pieces.bytes, 3 * BYTES);
  assert.equal(buffers.freeBytes, 0);
  lay(buffers, two, 10);
  assert.equal(pieces.bytes, 3 * BYTES);
  assert.equal(one.find(0), undefined);
  assert.equal(two.find(0)?.firstSequence, 0);
  assert.equal(buffers.take(BYTES).buffer, oldest.buffer);
});

test('a piece that is still being written is not used again when it is dropped', () => {
  const buffers = pool();
  const pieces = new DeliveryPieces(buffers, BYTES);
  const place = pieces.of({}, 0);
  place.enter();
  place.enter();
  const frames = buffers.take(BYTES);
  place.keep({ firstSequence: 0, count: 1, frames, frameBytesMax: 100, isLent: false });
  lay(buffers, place, 1);
  assert.equal(place.find(0), undefined);
  assert.equal(buffers.freeBytes, 0);
  buffers.letGo(frames);
  assert.equal(buffers.freeBytes, BYTES);
});

test('many small pieces are bounded by their number', () => {
  const buffers = pool();
  const pieces = new DeliveryPieces(buffers, Number.POSITIVE_INFINITY);
  const place = pieces.of({}, 0);
  place.enter();
  place.enter();
  for (let first = 0; first < 3000; first += 10) lay(buffers, place, first);
  assert.equal(pieces.bytes, 256 * BYTES);
  assert.equal(place.find(3000 - 2570), undefined);
  assert.equal(place.find(3000 - 2560)?.firstSequence, 440);
});

test('of the readers at one place one reads, and the others are woken when it has laid out or gone', () => {
  const place = new DeliveryPieces(pool(), BYTES).of({}, 0);
  const woken: string[] = [];
  const reader = (name: string) => ({
    pump: () => woken.push(name),
    cannotRead: (sequence: number, error: unknown) => woken.push(`${name} ${sequence} ${error}`),
  });
  const [leader, follower, third, elsewhere] = ['leader', 'follower', 'third', 'elsewhere'].map(reader);
  assert.equal(place.mayRead(leader, 5), true);
  assert.equal(place.mayRead(leader, 5), true);
  assert.equal(place.mayRead(follower, 5), false);
  assert.equal(place.mayRead(follower, 5), false);
  assert.equal(place.mayRead(third, 5), false);
  assert.equal(place.mayRead(elsewhere, 4), true, 'who is elsewhere reads for itself');
  place.laidOut(elsewhere);
  assert.deepEqual(woken, []);
  place.laidOut(leader);
  assert.deepEqual(woken, ['follower', 'third']);
  assert.equal(place.mayRead(follower, 6), true);
  assert.equal(place.mayRead(leader, 6), false);
  place.cannotRead(leader, 'it hangs');
  assert.equal(woken.length, 2);
  place.cannotRead(follower, 'it hangs');
  assert.deepEqual(woken.slice(2), ['leader 6 it hangs']);
  assert.equal(place.mayRead(third, 6), true);
});

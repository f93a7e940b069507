import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { SASL_HEADER } from './amqp-frames.ts';
import { FrameCutter } from './frame-cutter.ts';

test('frames come whole, however the bytes are cut, from one buffer that is written again and again', () => {
  const seed = Number(process.env.MOORING_TEST_SEED ?? Date.now() % 1e9);
  const { next, bytes } = seededRandom(seed);
  const below = (bound: number): number => Math.floor(next() * bound);
  const frames: Buffer[] = [SASL_HEADER];
  for (let n = 0; n < 2000; n++) {
    const frame = bytes(8 + below(below(50) === 0 ? 200_000 : 900));
    frame.writeUInt32BE(frame.length);
    frames.push(frame);
  }
  const all = Buffer.concat(frames);
  const buffer = Buffer.alloc(64 * 1024);
  const found: Buffer[] = [];
  const cutter = new FrameCutter((from, at, end) => found.push(Buffer.from(from.subarray(at, end))));
  for (let at = 0; at < all.length; ) {
    const length = Math.min(all.length - at, 1 + below(below(3) === 0 ? 12 : buffer.length));
    all.copy(buffer, 0, at, at + length);
    cutter.push(buffer, length);
    at += length;
  }
  assert.equal(found.length, frames.length);
  for (const [at, frame] of found.entries())
    assert.ok(frame.equals(frames[at]), `frame ${at}, MOORING_TEST_SEED=${seed}`);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { behindFrames, readdressTransfers, TRANSFER_HEAD_BYTES, writeTransferHead } from './transfer.ts';

interface Link {
  readonly channel: number;
  readonly handle: number;
  readonly deliveryId: number;
}

/** Deliveries of these payloads, a frame each, as `link` sends them. */
function layOut(payloads: readonly Buffer[], { channel, handle, deliveryId }: Link): Buffer {
  return Buffer.concat(
    payloads.map((payload, nth) => {
      const frame = Buffer.alloc(TRANSFER_HEAD_BYTES + payload.length);
      const at = writeTransferHead(frame, 0, channel, handle, (deliveryId + nth) >>> 0, false, payload.length);
      payload.copy(frame, at);
      return frame;
    }),
  );
}

test('transfers of one link become those of another, as if they had been laid out for it', () => {
  const seed = Number(process.env.MOORING_TEST_SEED ?? Date.now() % 1e9);
  const { next, bytes } = seededRandom(seed);
  const below = (bound: number): number => Math.floor(next() * bound);
  const link = (): Link => ({
    channel: below(0x10000),
    handle: below(2) === 0 ? below(8) : below(2 ** 32),
    // Ids begin again at 0 behind the last one, in the middle of a piece too.
    deliveryId: below(2) === 0 ? 2 ** 32 - 1 - below(20) : below(2 ** 32),
  });
  for (let round = 0; round < 200; round++) {
    const payloads = Array.from({ length: 1 + below(40) }, () => bytes(below(700)));
    const first = below(payloads.length);
    const count = below(payloads.length - first + 1);
    const other = link();
    const frames = layOut(payloads, link());
    const start = behindFrames(frames, 0, first);
    const copy = Buffer.from(frames.subarray(start));
    readdressTransfers(copy, count, other.channel, other.handle, other.deliveryId);
    const end = behindFrames(copy, 0, count);
    const wanted = layOut(payloads.slice(first, first + count), other);
    assert.deepEqual(copy.subarray(0, end), wanted, `MOORING_TEST_SEED=${seed}`);
    assert.deepEqual(copy.subarray(end), frames.subarray(start + wanted.length), 'what lies behind is left alone');
  }
});

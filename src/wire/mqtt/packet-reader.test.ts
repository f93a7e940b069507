import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mqttPacket from 'mqtt-packet';
import { PacketReader } from './packet-reader.ts';
import { MalformedPacket } from './packets.ts';

const BYTES_MAX = 400_000;

/** Feeds the chunks and copies every packet that is found. */
function read(reader: PacketReader, chunks: readonly Buffer[], bytesMax = BYTES_MAX): Buffer[] {
  const found: Buffer[] = [];
  for (const chunk of chunks) {
    // A copy that is wiped afterwards shows whether the reader keeps a view into a chunk over `settle`.
    const own = Buffer.from(chunk);
    reader.push(own);
    while (reader.next(bytesMax)) found.push(Buffer.from(reader.bytes.subarray(reader.start, reader.end)));
    reader.settle();
    own.fill(0xee);
  }
  return found;
}

const publish = (payloadBytes: number, content = 7): Buffer =>
  mqttPacket.generate({
    cmd: 'publish',
    topic: 't',
    payload: Buffer.alloc(payloadBytes, content),
    qos: 0,
    dup: false,
    retain: false,
  });

test('the same packets are found wherever the bytes are split', () => {
  const packets = [publish(0), Buffer.from([0xc0, 0]), publish(120), publish(200), Buffer.from([0xe0, 0])];
  const all = Buffer.concat(packets);
  for (let at = 0; at <= all.length; at++) {
    assert.deepEqual(read(new PacketReader(), [all.subarray(0, at), all.subarray(at)]), packets, `split at ${at}`);
  }
  const single = Array.from(all, (byte) => Buffer.from([byte]));
  assert.deepEqual(read(new PacketReader(), single), packets, 'one byte at a time');
});

test('packets behind an unfinished one are not copied, and may wait over several chunks', () => {
  const reader = new PacketReader();
  const packets = [publish(300), publish(40), publish(50), publish(60), publish(70)];
  const all = Buffer.concat(packets);
  const cut = packets[0].length - 5;
  reader.push(all.subarray(0, cut));
  assert.equal(reader.next(BYTES_MAX), false);
  reader.settle();
  assert.equal(reader.waiting, cut);
  const end = all.length - 20;
  const chunk = Buffer.from(all.subarray(cut, end));
  reader.push(chunk);
  assert.equal(reader.waiting, end);
  assert.equal(reader.firstByte, 0x30);
  const taken = (): Buffer => Buffer.from(reader.bytes.subarray(reader.start, reader.end));
  assert.equal(reader.next(BYTES_MAX), true);
  assert.deepEqual(taken(), packets[0]);
  assert.notEqual(reader.bytes.buffer, chunk.buffer);
  assert.equal(reader.firstByte, 0x30);
  assert.equal(reader.next(BYTES_MAX), true);
  assert.deepEqual(taken(), packets[1]);
  assert.equal(reader.bytes, chunk);
  // The rest of the chunk waits; nobody asks for it before the next one comes.
  reader.settle();
  chunk.fill(0xee);
  reader.push(all.subarray(end));
  for (const packet of packets.slice(2)) {
    assert.equal(reader.next(BYTES_MAX), true);
    assert.deepEqual(taken(), packet);
  }
  assert.equal(reader.next(BYTES_MAX), false);
  assert.deepEqual([reader.waiting, reader.firstByte], [0, undefined]);
});

test('any packets in any chunks come out as they went in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 }),
      (sizes, cuts) => {
        const packets = sizes.map((size) => publish(size));
        const all = Buffer.concat(packets);
        const chunks: Buffer[] = [];
        for (let at = 0, cut = 0; at < all.length; at += cuts[cut++ % cuts.length]) {
          chunks.push(all.subarray(at, at + cuts[cut % cuts.length]));
        }
        assert.deepEqual(read(new PacketReader(), chunks), packets);
      },
    ),
  );
});

test('packets that nobody took yet wait', () => {
  const reader = new PacketReader();
  const [one, two] = [publish(10), publish(20)];
  reader.push(Buffer.concat([one, two]));
  assert.ok(reader.next(BYTES_MAX));
  reader.settle();
  assert.equal(reader.waiting, two.length);
  assert.equal(reader.firstByte, 0x30);
  reader.push(one);
  assert.deepEqual(read(reader, []), []);
  const found: number[] = [];
  while (reader.next(BYTES_MAX)) found.push(reader.end - reader.start);
  assert.deepEqual(found, [two.length, one.length]);
});

test('a length over the bound is refused before its bytes have come', () => {
  const reader = new PacketReader();
  reader.push(Buffer.from([0x30, 0xff, 0x7f]));
  assert.throws(() => reader.next(16 * 1024), MalformedPacket);
  const exact = new PacketReader();
  exact.push(Buffer.from([0x30, 0xfd, 0x7f]));
  assert.equal(exact.next(16 * 1024), false);
});

test('a length of five bytes is refused', () => {
  const reader = new PacketReader();
  reader.push(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]));
  assert.throws(() => reader.next(2 ** 30), MalformedPacket);
});

test('a false length costs no memory until its bytes come', () => {
  const reader = new PacketReader();
  read(reader, [Buffer.from([0x30, 0xff, 0xff, 0x0f, 1, 2, 3])]);
  assert.equal(reader.waiting, 7);
  assert.ok(reader.capacity >= 7 && reader.capacity <= 1024, `${reader.capacity} bytes kept for 7`);
});

test('one byte at a time costs time in proportion to the bytes', () => {
  const packet = publish(300_000);
  const reader = new PacketReader();
  let found = 0;
  let buffers = 0;
  let last = reader.capacity;
  for (let at = 0; at < packet.length; at++) {
    reader.push(packet.subarray(at, at + 1));
    if (reader.next(BYTES_MAX)) found++;
    reader.settle();
    if (reader.capacity !== last) buffers++;
    last = reader.capacity;
  }
  assert.equal(found, 1);
  assert.ok(buffers > 1 && buffers < 30, `the bytes were moved ${buffers} times`);
});

test('packets come out as they went in, however many are taken at a time and wherever the bytes are split', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 300, max: 20_000 })), { maxLength: 10 }),
      fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 30_000 }), takes: fc.nat(4), settles: fc.boolean() }), {
        minLength: 1,
        maxLength: 20,
      }),
      (sizes, steps) => {
        const packets = sizes.map((size, at) => publish(size, at + 1));
        const all = Buffer.concat(packets);
        const reader = new PacketReader();
        const found: Buffer[] = [];
        const take = (): boolean => {
          if (!reader.next(BYTES_MAX)) return false;
          found.push(Buffer.from(reader.bytes.subarray(reader.start, reader.end)));
          return true;
        };
        let taken = 0;
        for (let at = 0, step = 0; at < all.length; step++) {
          const { bytes, takes, settles } = steps[step % steps.length];
          const own = Buffer.from(all.subarray(at, at + bytes));
          at += own.length;
          reader.push(own);
          for (let more = takes; more > 0 && take(); more--);
          taken = found.reduce((sum, packet) => sum + packet.length, 0);
          assert.equal(reader.waiting, at - taken);
          assert.equal(reader.firstByte, taken < at ? all[taken] : undefined);
          if (!settles) continue;
          reader.settle();
          own.fill(0xee);
          assert.equal(reader.capacity > 0, reader.waiting > 0, 'memory is kept exactly while something waits');
        }
        while (take());
        reader.settle();
        assert.deepEqual(found, packets);
        assert.equal(reader.capacity, 0);
      },
    ),
  );
});

test('of a chunk only what an unfinished packet lacks is copied', () => {
  const [long, short] = [publish(10_000), publish(300)];
  const reader = new PacketReader();
  read(reader, [long.subarray(0, 4000)]);
  const chunk = Buffer.concat([long.subarray(4000), short, short]);
  reader.push(chunk);
  assert.ok(reader.next(BYTES_MAX));
  assert.deepEqual(reader.bytes.subarray(reader.start, reader.end), long);
  assert.ok(reader.capacity <= long.length, `${reader.capacity} bytes kept for ${long.length}`);
  for (const _ of [1, 2]) {
    assert.ok(reader.next(BYTES_MAX));
    assert.equal(reader.bytes, chunk, 'a whole packet is left where it is');
    assert.deepEqual(chunk.subarray(reader.start, reader.end), short);
  }
});

test('memory of a packet that has been taken is used again by the next reader, without what was in it', () => {
  const packet = publish(50_000);
  const memoryOf = (): ArrayBufferLike => {
    const reader = new PacketReader();
    read(reader, [packet.subarray(0, 30_000)]);
    reader.push(packet.subarray(30_000));
    assert.ok(reader.next(BYTES_MAX));
    const memory = reader.bytes;
    assert.ok(memory.includes(7));
    reader.settle();
    assert.ok(memory.every((byte) => byte === 0));
    return memory.buffer;
  };
  assert.equal(memoryOf(), memoryOf());
});

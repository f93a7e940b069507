/** AMQP 1.0 as a peer might speak it who knows the grammar and means ill: values of every constructor, frames in any order. */
import { AmqpWriter } from '../../src/wire/amqp/writer.ts';
import { begin, flow, frame, HEADER, open, SASL_HEADER, transfer } from '../drivers/amqp-bytes.ts';
import type { Chance } from './campaign.ts';
import { damagedBytes } from './mutate.ts';

/** Constructors with how many bytes follow; `undefined` = of its own width. */
const fixed: readonly (readonly [code: number, bytes: number])[] = [
  [0x40, 0],
  [0x41, 0],
  [0x42, 0],
  [0x43, 0],
  [0x44, 0],
  [0x45, 0],
  [0x50, 1],
  [0x51, 1],
  [0x52, 1],
  [0x53, 1],
  [0x54, 1],
  [0x55, 1],
  [0x56, 1],
  [0x60, 2],
  [0x61, 2],
  [0x70, 4],
  [0x71, 4],
  [0x72, 4],
  [0x73, 4],
  [0x80, 8],
  [0x81, 8],
  [0x82, 8],
  [0x83, 8],
  [0x74, 4],
  [0x84, 8],
  [0x94, 16],
  [0x98, 16],
];

/** One encoded value: nested at times, false at times in its sizes and counts. */
export function amqpValue(chance: Chance, depth = 0): Buffer {
  const kind = chance.below(depth > 6 ? 7 : 12);
  if (kind < 5) {
    const [code, bytes] = chance.pick(fixed);
    return Buffer.concat([Buffer.of(code), chance.bytes(bytes)]);
  }
  if (kind < 7) {
    const long = chance.once(2);
    const content = chance.bytes(chance.below(40));
    const size = chance.once(12) ? chance.below(2 ** 31) : content.length;
    return Buffer.concat([Buffer.of((long ? 0xb0 : 0xa0) | chance.pick([0, 1, 3])), sized(long, size), content]);
  }
  if (kind === 7) return Buffer.concat([Buffer.of(0), amqpValue(chance, depth + 1), amqpValue(chance, depth + 1)]);
  if (kind === 8 && chance.once(10)) return Buffer.alloc(1 + chance.below(60), chance.pick([0x00, 0xc0, 0x45]));
  const count = chance.below(6);
  const long = chance.once(2);
  const isArray = chance.once(5);
  const elements = isArray
    ? Buffer.concat([Buffer.of(chance.pick(fixed)[0]), chance.bytes(chance.below(30))])
    : Buffer.concat(Array.from({ length: count }, () => amqpValue(chance, depth + 1)));
  const announced = chance.once(12) ? chance.below(2 ** 32) : count;
  const counted = Buffer.concat([sized(long, announced), elements]);
  const size = chance.once(15) ? chance.below(2 ** 31) : counted.length;
  const code = isArray ? 0xe0 : chance.pick([0xc0, 0xc1]);
  return Buffer.concat([Buffer.of(long ? code | 0x10 : code), sized(long, size), counted]);
}

function sized(long: boolean, value: number): Buffer {
  if (!long) return Buffer.of(value & 0xff);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** The message sections that back ends and devices send, some of them not well. */
export function amqpMessage(chance: Chance): Buffer {
  const sections = [0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78];
  return Buffer.concat(
    Array.from({ length: chance.below(6) }, () =>
      Buffer.concat([Buffer.of(0x00, 0x53, chance.pick(sections)), amqpValue(chance)]),
    ),
  );
}

/** A compound whose elements are small and very many, in a message's section or a frame's field. */
export function amqpSwollen(chance: Chance, where: 'message' | 'frame'): Buffer {
  const sizeMax = where === 'frame' ? 60_000 : 250_000;
  const unit = chance.once(2)
    ? Buffer.of(chance.pick([0x40, 0x41, 0x43, 0x44, 0x45]))
    : Buffer.concat([Buffer.of(chance.pick([0xa0, 0xa1, 0xa3, 0xc0, 0x50])), Buffer.of(0)]);
  const kind = chance.pick([0xd0, 0xd1, 0xf0]);
  const bytesMax = 1 + chance.below(sizeMax);
  let content: Buffer;
  let count: number;
  if (kind === 0xf0) {
    count = Math.floor(bytesMax);
    content = Buffer.concat([Buffer.of(chance.pick([0xa0, 0xa1, 0xa3, 0x50, 0x56])), Buffer.alloc(count)]);
  } else {
    count = 2 * Math.floor(bytesMax / unit.length / 2);
    content = Buffer.alloc(count * unit.length, unit);
  }
  const value = Buffer.concat([Buffer.of(kind), sized(true, content.length + 4), sized(true, count), content]);
  if (where === 'message') {
    return Buffer.concat([Buffer.of(0x00, 0x53, chance.pick([0x72, 0x73, 0x74, 0x75, 0x77])), value]);
  }
  return frame(0, chance.pick([0x11, 0x12, 0x13, 0x15]), [chance.once(2) ? 'name' : null, value]);
}

/** A request to `$cbs` or `$management` that is nearly one. */
export function amqpRequest(chance: Chance, properties: Readonly<Record<string, string>>, body: string): Buffer {
  const writer = new AmqpWriter();
  writer.descriptor(0x74);
  const map = writer.beginMap();
  for (const [name, value] of Object.entries(properties)) {
    writer.string(name);
    writer.string(value);
  }
  writer.end(map, Object.keys(properties).length * 2);
  writer.descriptor(0x77);
  writer.string(body);
  return chance.once(3) ? damagedBytes(chance, writer.copy()) : writer.copy();
}

/** A frame of any performative, its fields drawn from what fits and from what does not. */
export function amqpFrame(chance: Chance, addresses: readonly string[]): Buffer {
  const channel = chance.pick([0, 0, 0, 0, 1, 2, 1023, 1024, 65_535]);
  const handle = chance.pick([0, 0, 1, 1, 2, 3, 8191, 8192, 0xffffffff]);
  const part = chance.bytes(chance.below(chance.once(20) ? 60_000 : 80));
  switch (chance.below(13)) {
    case 0:
      return begin(channel, chance.pick([0, 1, 1000, 0xffffffff]));
    case 1:
    case 2:
    case 3: {
      const receives = chance.once(2);
      const place = (writer: AmqpWriter): void => {
        writer.descriptor(receives ? 0x28 : 0x29);
        const list = writer.beginList();
        writer.string(chance.pick(addresses));
        writer.end(list, 1);
      };
      const odd = amqpValue(chance);
      const fields = [`l${chance.below(4)}`, handle, receives, chance.below(3), chance.below(2)];
      const termini = chance.once(8) ? [odd, odd] : receives ? [place, null] : [null, place];
      return frame(channel, 0x12, [...fields, ...termini, null, null, 0, chance.once(4) ? odd : null]);
    }
    case 4:
    case 5:
      return flow(channel, {
        handle: chance.once(3) ? undefined : handle,
        credit: chance.pick([0, 1, 100, 0xffffffff]),
        drain: chance.once(3),
        echo: chance.once(4),
        window: chance.pick([0, 1, 1000, 0xffffffff]),
        seen: chance.pick([0, 1, 0xffffffff]),
      });
    case 6:
    case 7:
    case 8: {
      const payload = chance.once(3) ? part : amqpMessage(chance);
      return transfer(channel, handle, payload, { id: chance.below(100), more: chance.once(4) });
    }
    case 9:
      return frame(channel, 0x15, [
        chance.once(2),
        chance.below(9),
        chance.below(20),
        chance.once(2),
        amqpValue(chance),
      ]);
    case 10:
      return frame(channel, 0x16, [handle, chance.once(2)]);
    case 11:
      return frame(channel, chance.pick([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x40, 0x1f]), [
        amqpValue(chance),
        amqpValue(chance),
        amqpValue(chance),
      ]);
    default:
      return chance.pick([frame(channel, 0x17, []), SASL_HEADER, HEADER, open(), Buffer.of(0, 0, 0, 8, 2, 0, 0, 0)]);
  }
}

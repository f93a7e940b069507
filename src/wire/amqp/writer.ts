import { writeUint64BE } from '../../base/bytes.ts';

/** Constructors of AMQP 1.0 part 1 section 1.6, as far as the hub writes them. */
export const format = {
  described: 0x00,
  null: 0x40,
  true: 0x41,
  false: 0x42,
  uint0: 0x43,
  ulong0: 0x44,
  list0: 0x45,
  ubyte: 0x50,
  smallUint: 0x52,
  smallUlong: 0x53,
  smallLong: 0x55,
  uint: 0x70,
  int: 0x71,
  ulong: 0x80,
  long: 0x81,
  timestamp: 0x83,
  uuid: 0x98,
  binary8: 0xa0,
  string8: 0xa1,
  symbol8: 0xa3,
  binary32: 0xb0,
  string32: 0xb1,
  symbol32: 0xb3,
  list8: 0xc0,
  map8: 0xc1,
  list32: 0xd0,
  map32: 0xd1,
  array32: 0xf0,
} as const;

/** Descriptors of message sections (AMQP 1.0 part 3 section 3.2). */
export const section = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
} as const;

/** Bytes of a compound's head that `begin` leaves room for: constructor, size, count. */
const COMPOUND_HEAD = 9;

/**
 * Writes AMQP values one behind the other into memory of its own that grows as needed and is used again after `reset`.
 * Lists and maps are written with 32-bit heads, so that their size can be filled in when they end.
 */
export class AmqpWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 512) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written. Valid until the next write or `reset`. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written, with memory of its own. */
  copy(): Buffer {
    return Buffer.from(this.view());
  }

  reset(): this {
    this.#length = 0;
    return this;
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  null(): void {
    this.#byte(format.null);
  }

  boolean(value: boolean): void {
    this.#byte(value ? format.true : format.false);
  }

  ubyte(value: number): void {
    const at = this.#grow(2);
    this.#bytes[at] = format.ubyte;
    this.#bytes[at + 1] = value;
  }

  uint(value: number): void {
    const at = this.#grow(5);
    this.#bytes[at] = format.uint;
    this.#bytes.writeUInt32BE(value, at + 1);
  }

  int(value: number): void {
    const at = this.#grow(5);
    this.#bytes[at] = format.int;
    this.#bytes.writeInt32BE(value, at + 1);
  }

  /** A 64-bit number: from 0 to 2^53, or a whole one from 0 to 2^64 - 1. */
  ulong(value: number | bigint): void {
    if (typeof value === 'number') this.#wide(format.ulong, value);
    else {
      const at = this.#grow(9);
      this.#bytes[at] = format.ulong;
      this.#bytes.writeBigUInt64BE(value, at + 1);
    }
  }

  /** @param bytes the sixteen of it, in the order of its text */
  uuid(bytes: Uint8Array): void {
    this.#byte(format.uuid);
    this.raw(bytes);
  }

  /** A 64-bit signed number; exact between -(2^53) and 2^53. */
  long(value: number): void {
    this.#wide(format.long, value);
  }

  /** UTC milliseconds. */
  timestamp(value: number): void {
    this.#wide(format.timestamp, value);
  }

  string(text: string): void {
    this.#text(format.string8, format.string32, text);
  }

  symbol(text: string): void {
    this.#text(format.symbol8, format.symbol32, text);
  }

  binary(bytes: Uint8Array): void {
    this.#variableHead(format.binary8, format.binary32, bytes.length);
    this.raw(bytes);
  }

  /** An array of symbols. */
  symbols(texts: readonly string[]): void {
    this.#array(format.symbol32, texts);
  }

  /** An array of strings. */
  strings(texts: readonly string[]): void {
    this.#array(format.string32, texts);
  }

  /** The descriptor of the value that is written next; small ones only, as all of the standard are. */
  descriptor(code: number): void {
    const at = this.#grow(3);
    this.#bytes[at] = format.described;
    this.#bytes[at + 1] = format.smallUlong;
    this.#bytes[at + 2] = code;
  }

  /** Begins a list; give the result to `end`. */
  beginList(): number {
    return this.#begin(format.list32);
  }

  /** Begins a map; its keys and values follow in turns. */
  beginMap(): number {
    return this.#begin(format.map32);
  }

  /** Ends what `begin` began; `count` elements (for a map: keys and values) were written since. */
  end(begun: number, count: number): void {
    this.#bytes.writeUInt32BE(this.#length - begun - 5, begun + 1);
    this.#bytes.writeUInt32BE(count, begun + 5);
  }

  #array(element: number, texts: readonly string[]): void {
    const begun = this.#begin(format.array32);
    this.#byte(element);
    for (const text of texts) {
      const length = Buffer.byteLength(text);
      const at = this.#grow(4 + length);
      this.#bytes.writeUInt32BE(length, at);
      this.#bytes.write(text, at + 4);
    }
    this.end(begun, texts.length);
  }

  #begin(code: number): number {
    const at = this.#grow(COMPOUND_HEAD);
    this.#bytes[at] = code;
    return at;
  }

  #byte(value: number): void {
    const at = this.#grow(1);
    this.#bytes[at] = value;
  }

  #wide(code: number, value: number): void {
    const at = this.#grow(9);
    this.#bytes[at] = code;
    if (value >= 0) writeUint64BE(this.#bytes, at + 1, value);
    else this.#bytes.writeBigInt64BE(BigInt(value), at + 1);
  }

  #text(short: number, long: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.#variableHead(short, long, length);
    const at = this.#grow(length);
    this.#bytes.write(text, at);
  }

  #variableHead(short: number, long: number, length: number): void {
    if (length < 256) {
      const at = this.#grow(2);
      this.#bytes[at] = short;
      this.#bytes[at + 1] = length;
    } else {
      const at = this.#grow(5);
      this.#bytes[at] = long;
      this.#bytes.writeUInt32BE(length, at + 1);
    }
  }

  /** Makes room for `count` bytes and returns their place. */
  #grow(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    this.#length = needed;
    return at;
  }
}

import { limits } from '../../base/limits.ts';

/**
 * Values of AMQP 1.0 (part 1) as the hub reads them. Symbols are strings, timestamps UTC milliseconds, 64-bit numbers
 * that a double cannot hold are bigints, UUIDs, decimals and binaries are bytes, arrays are lists.
 */
export type AmqpValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | Described
  | readonly AmqpValue[]
  | ReadonlyMap<AmqpValue, AmqpValue>;

export class Described {
  readonly descriptor: AmqpValue;
  readonly value: AmqpValue;

  constructor(descriptor: AmqpValue, value: AmqpValue) {
    this.descriptor = descriptor;
    this.value = value;
  }
}

/** One pair of a map, and the constructor of its value. */
export interface MapEntry {
  readonly key: AmqpValue;
  readonly value: AmqpValue;
  readonly code: number;
}

/** The bytes are not what the standard allows; `condition` is the standard's name for it. */
export class AmqpDecodeError extends Error {
  override readonly name = 'AmqpDecodeError';
  readonly condition: string;
  /** The address of the link that it is about, where it is known. */
  subject: string | undefined;

  constructor(message: string, condition = 'amqp:decode-error') {
    super(message);
    this.condition = condition;
  }
}

/** The elements of a list; `raw` gives the bytes of one as they came. */
export interface AmqpList {
  readonly values: readonly AmqpValue[];
  /** @param element below `values.length` */
  raw(element: number): Buffer;
}

/**
 * What values take in memory, about, in bytes (V8 with 64 bits, measured): an empty binary is one byte on the wire and a
 * hundred times that as an object, so the bytes on the wire say nothing. A reference in a list is part of each value.
 */
const heapBytes = { scalar: 24, bytes: 128, text: 40, list: 64, described: 64, map: 256, pair: 64 } as const;

/** Bytes of memory that values may still take: of one reader, or shared by those that read parts of one whole. */
export class HeapBudget {
  left: number;

  constructor(bytes: number) {
    this.left = bytes;
  }
}

/**
 * Reads values one behind the other. Reads nothing beyond `end`, goes at most `limits.amqpNestingMax` deep, and counts what
 * each value takes in memory before it makes it: never more than its budget.
 */
export class AmqpReader {
  readonly bytes: Buffer;
  /** Place of the next value. */
  at: number;
  readonly end: number;
  readonly #budget: HeapBudget;

  constructor(
    bytes: Buffer,
    at = 0,
    end = bytes.length,
    budget: HeapBudget = new HeapBudget(limits.amqpMessageDecodedBytesMax),
  ) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    this.#budget = budget;
  }

  get isDone(): boolean {
    return this.at >= this.end;
  }

  /** @throws AmqpDecodeError */
  value(depth = 0): AmqpValue {
    return this.#body(this.#take(1), depth);
  }

  /** The descriptor of the described value that begins here; its value follows. @throws AmqpDecodeError */
  descriptor(): number | bigint | string {
    if (this.#byte() !== 0x00) throw new AmqpDecodeError('a described value was expected');
    const descriptor = this.value(1);
    if (typeof descriptor === 'number' || typeof descriptor === 'bigint' || typeof descriptor === 'string') {
      return descriptor;
    }
    throw new AmqpDecodeError('a descriptor is neither a number nor a symbol');
  }

  /**
   * The elements of the list that begins here, of a long one no more than the first `elementsMax`.
   * @throws AmqpDecodeError if it is no list.
   */
  list(elementsMax = Number.POSITIVE_INFINITY): AmqpList {
    const { bytes } = this;
    const values: AmqpValue[] = [];
    /** Where each element begins, and where the last one ends. */
    const places: number[] = [];
    const raw = (element: number): Buffer => bytes.subarray(places[element], places[element + 1]);
    const code = this.#byte();
    if (code === 0x45) return { values, raw };
    if (code !== 0xc0 && code !== 0xd0) throw new AmqpDecodeError('a list was expected');
    const { count, end } = this.#compound(code === 0xc0);
    for (let element = 0; element < count && element < elementsMax; element++) {
      places.push(this.at);
      values.push(this.value(1));
    }
    places.push(this.at);
    if (count > elementsMax) this.at = end;
    else this.#mustEnd(end);
    return { values, raw };
  }

  /** Bytes that the elements of the list have that begins here; zero if it is no list, or cut off. */
  get listBytes(): number {
    const { bytes, at, end } = this;
    if (bytes[at] === 0xc0 && at + 1 < end) return bytes[at + 1];
    return bytes[at] === 0xd0 && at + 4 < end ? bytes.readUInt32BE(at + 1) : 0;
  }

  /**
   * The pairs of the map that begins here, in order, each value with its constructor: a UUID and a binary are both bytes, a
   * timestamp and a long both numbers. @throws AmqpDecodeError if it is no map.
   */
  entries(): readonly MapEntry[] {
    const code = this.#byte();
    if (code !== 0xc1 && code !== 0xd1) throw new AmqpDecodeError('a map was expected');
    const { count, end } = this.#compound(code === 0xc1);
    if (count % 2 !== 0) throw new AmqpDecodeError('a map has a key without a value');
    const entries: MapEntry[] = [];
    for (let pair = 0; pair < count; pair += 2) {
      this.#charge(heapBytes.pair);
      const key = this.value(1);
      const constructorAt = this.at;
      const value = this.value(1);
      entries.push({ key, value, code: this.bytes[constructorAt] });
    }
    this.#mustEnd(end);
    return entries;
  }

  #body(codeAt: number, depth: number): AmqpValue {
    if (depth > limits.amqpNestingMax) throw new AmqpDecodeError('values are nested too deeply');
    const code = this.bytes[codeAt];
    if (code === 0x00) {
      this.#charge(heapBytes.described);
      return new Described(this.value(depth + 1), this.value(depth + 1));
    }
    if (code === 0xc0 || code === 0xd0) return this.#list(code === 0xc0, depth);
    if (code === 0xc1 || code === 0xd1) return this.#map(code === 0xc1, depth);
    if (code === 0xe0 || code === 0xf0) return this.#array(code === 0xe0, depth);
    return this.#scalar(code);
  }

  #scalar(code: number): AmqpValue {
    const { bytes } = this;
    this.#charge(heapBytes.scalar);
    switch (code) {
      case 0x40:
        return null;
      case 0x41:
        return true;
      case 0x42:
        return false;
      case 0x43:
      case 0x44:
        return 0;
      case 0x45:
        this.#charge(heapBytes.list);
        return [];
      case 0x50:
      case 0x52:
      case 0x53:
        return this.#byte();
      case 0x51:
      case 0x54:
      case 0x55:
        return bytes.readInt8(this.#take(1));
      case 0x56:
        return this.#byte() !== 0;
      case 0x60:
        return bytes.readUInt16BE(this.#take(2));
      case 0x61:
        return bytes.readInt16BE(this.#take(2));
      case 0x70:
        return bytes.readUInt32BE(this.#take(4));
      case 0x71:
        return bytes.readInt32BE(this.#take(4));
      case 0x72:
        return bytes.readFloatBE(this.#take(4));
      case 0x73:
        return String.fromCodePoint(Math.min(bytes.readUInt32BE(this.#take(4)), 0x10ffff));
      case 0x80:
        return safe(bytes.readBigUInt64BE(this.#take(8)));
      case 0x81:
      case 0x83:
        return safe(bytes.readBigInt64BE(this.#take(8)));
      case 0x82:
        return bytes.readDoubleBE(this.#take(8));
      case 0x74:
        return this.#slice(4);
      case 0x84:
        return this.#slice(8);
      case 0x94:
      case 0x98:
        return this.#slice(16);
      case 0xa0:
        return this.#slice(this.#byte());
      case 0xb0:
        return this.#slice(bytes.readUInt32BE(this.#take(4)));
      case 0xa1:
        return this.#text(this.#byte(), 'utf8');
      case 0xb1:
        return this.#text(bytes.readUInt32BE(this.#take(4)), 'utf8');
      case 0xa3:
        return this.#text(this.#byte(), 'latin1');
      case 0xb3:
        return this.#text(bytes.readUInt32BE(this.#take(4)), 'latin1');
      default:
        throw new AmqpDecodeError(`unknown constructor 0x${code.toString(16)}`);
    }
  }

  #list(short: boolean, depth: number): readonly AmqpValue[] {
    const { count, end } = this.#compound(short);
    this.#charge(heapBytes.list);
    const values: AmqpValue[] = [];
    for (let element = 0; element < count; element++) values.push(this.value(depth + 1));
    this.#mustEnd(end);
    return values;
  }

  #map(short: boolean, depth: number): ReadonlyMap<AmqpValue, AmqpValue> {
    const { count, end } = this.#compound(short);
    if (count % 2 !== 0) throw new AmqpDecodeError('a map has a key without a value');
    this.#charge(heapBytes.map);
    const map = new Map<AmqpValue, AmqpValue>();
    for (let pair = 0; pair < count; pair += 2) {
      this.#charge(heapBytes.pair);
      map.set(this.value(depth + 1), this.value(depth + 1));
    }
    this.#mustEnd(end);
    return map;
  }

  #array(short: boolean, depth: number): readonly AmqpValue[] {
    const { count, end } = this.#compound(short);
    this.#charge(heapBytes.list);
    const values: AmqpValue[] = [];
    if (count === 0) {
      this.at = end;
      return values;
    }
    const codeAt = this.#take(1);
    if (this.bytes[codeAt] === 0x00) throw new AmqpDecodeError('arrays of described values are not read');
    for (let element = 0; element < count; element++) values.push(this.#body(codeAt, depth + 1));
    this.#mustEnd(end);
    return values;
  }

  /** Head of a compound: every element takes a byte at least, also in arrays, where the standard would allow none. */
  #compound(short: boolean): { readonly count: number; readonly end: number } {
    const size = short ? this.#byte() : this.bytes.readUInt32BE(this.#take(4));
    const end = this.at + size;
    if (end > this.end) throw new AmqpDecodeError('a compound value is longer than its frame');
    const count = short ? this.#byte() : this.bytes.readUInt32BE(this.#take(4));
    if (count > size) throw new AmqpDecodeError('a compound value announces more elements than it has bytes');
    return { count, end };
  }

  #mustEnd(end: number): void {
    if (this.at !== end) throw new AmqpDecodeError('the elements of a compound value do not fill its size');
  }

  #byte(): number {
    return this.bytes[this.#take(1)];
  }

  #slice(length: number): Buffer {
    const at = this.#take(length);
    this.#charge(heapBytes.bytes);
    return this.bytes.subarray(at, at + length);
  }

  #text(length: number, encoding: 'utf8' | 'latin1'): string {
    const at = this.#take(length);
    // A byte that is no UTF-8 becomes a character of two bytes.
    this.#charge(heapBytes.text + (encoding === 'utf8' ? 2 * length : length));
    return this.bytes.toString(encoding, at, at + length);
  }

  #charge(bytes: number): void {
    this.#budget.left -= bytes;
    if (this.#budget.left < 0)
      throw new AmqpDecodeError('the values take too much memory', 'amqp:resource-limit-exceeded');
  }

  #take(length: number): number {
    const at = this.at;
    if (at + length > this.end) throw new AmqpDecodeError('a value is cut off');
    this.at = at + length;
    return at;
  }
}

function safe(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

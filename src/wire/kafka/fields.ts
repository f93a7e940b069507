/**
 * The fields of Kafka's requests and answers ("flexible" versions: compact lengths and tagged fields, KIP-482). Numbers are
 * big-endian; lengths are unsigned varints, one more than the length, 0 = null.
 */
import { readUint64BE, writeUint64BE } from '../../base/bytes.ts';

/** An answer that is not what the protocol says: the connection that it came by is given up. */
export class MalformedKafka extends Error {
  override readonly name = 'MalformedKafka';
}

/** Puts fields one behind the other. */
export class FieldWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  int8(value: number): this {
    const at = this.#room(1);
    this.#bytes.writeInt8(value, at);
    return this;
  }

  int16(value: number): this {
    const at = this.#room(2);
    this.#bytes.writeInt16BE(value, at);
    return this;
  }

  int32(value: number): this {
    const at = this.#room(4);
    this.#bytes.writeInt32BE(value, at);
    return this;
  }

  /** @param value from -2^53 to 2^53 */
  int64(value: number): this {
    const at = this.#room(8);
    if (value < 0) this.#bytes.writeBigInt64BE(BigInt(value), at);
    else writeUint64BE(this.#bytes, at, value);
    return this;
  }

  bool(value: boolean): this {
    return this.int8(value ? 1 : 0);
  }

  uvarint(value: number): this {
    let rest = value;
    for (; rest >= 0x80; rest >>>= 7) this.int8((((rest & 0x7f) | 0x80) << 24) >> 24);
    return this.int8(rest);
  }

  /** Of versions that are not flexible: a length of 16 bits. */
  shortText(text: string | null): this {
    if (text === null) return this.int16(-1);
    return this.int16(Buffer.byteLength(text)).raw(Buffer.from(text));
  }

  text(text: string | null): this {
    if (text === null) return this.uvarint(0);
    return this.uvarint(Buffer.byteLength(text) + 1).raw(Buffer.from(text));
  }

  bytes(bytes: Uint8Array | null): this {
    return bytes === null ? this.uvarint(0) : this.uvarint(bytes.length + 1).raw(bytes);
  }

  list<Item>(items: readonly Item[], write: (item: Item) => void): this {
    this.uvarint(items.length + 1);
    for (const item of items) write(item);
    return this;
  }

  /** No tagged fields. */
  noTags(): this {
    return this.uvarint(0);
  }

  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** What was written; in memory of its own. */
  done(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** To be called before `#bytes` is looked at, which may be another one afterwards. */
  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }
}

/** Reads fields one behind the other; never beyond the end. Every method throws `MalformedKafka` where the bytes end too soon. */
export class FieldReader {
  readonly source: Buffer;
  at: number;
  readonly end: number;

  constructor(source: Buffer, at = 0, end = source.length) {
    this.source = source;
    this.at = at;
    this.end = end;
  }

  int8(): number {
    return this.source.readInt8(this.#take(1));
  }

  int16(): number {
    return this.source.readInt16BE(this.#take(2));
  }

  int32(): number {
    return this.source.readInt32BE(this.#take(4));
  }

  /** A number that is small enough to be exact, or negative: of Kafka's numbers of 64 bits all but producers' ids are. */
  int64(): number {
    const at = this.#take(8);
    return this.source[at] < 0x80 ? readUint64BE(this.source, at) : Number(this.source.readBigInt64BE(at));
  }

  wideInt64(): bigint {
    return this.source.readBigInt64BE(this.#take(8));
  }

  bool(): boolean {
    return this.int8() !== 0;
  }

  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      const byte = this.source[this.#take(1)];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new MalformedKafka('a number has more than five bytes');
  }

  shortText(): string | null {
    const length = this.int16();
    return length < 0 ? null : this.#text(length);
  }

  text(): string | null {
    const length = this.uvarint();
    return length === 0 ? null : this.#text(length - 1);
  }

  /** The bytes where they lie; null counts as none. */
  bytes(): Buffer {
    const length = Math.max(0, this.uvarint() - 1);
    const at = this.#take(length);
    return this.source.subarray(at, at + length);
  }

  list<Item>(read: () => Item): Item[] {
    return this.#items(this.uvarint() - 1, read);
  }

  /** Of versions that are not flexible: a count of 32 bits. */
  longList<Item>(read: () => Item): Item[] {
    return this.#items(this.int32(), read);
  }

  /** Leaves tagged fields out: none that is asked for has one that is needed. */
  skipTags(): void {
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint();
      this.#take(this.uvarint());
    }
  }

  /** As many as the count says: each has a byte at least, so that a wrong count ends at the end of the bytes. */
  #items<Item>(count: number, read: () => Item): Item[] {
    if (count > this.end - this.at) throw new MalformedKafka('a list has more items than the answer has bytes');
    const items: Item[] = [];
    while (items.length < count) items.push(read());
    return items;
  }

  #text(length: number): string {
    const at = this.#take(length);
    return this.source.toString('utf8', at, at + length);
  }

  #take(count: number): number {
    const at = this.at;
    if (count > this.end - at) throw new MalformedKafka('an answer ends within a field');
    this.at = at + count;
    return at;
  }
}

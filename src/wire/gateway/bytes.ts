/** A gateway's bytes do not mean what they should. */
export class GatewayDecodeError extends Error {
  override readonly name = 'GatewayDecodeError';
}

const VARINT_BYTES_MAX = 8;

/** Writes numbers and texts one behind the other into a buffer that grows. */
export class ByteWriter {
  #bytes: Buffer;
  #end = 0;

  constructor(capacity = 4096) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#end;
  }

  reset(): void {
    this.#end = 0;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#end++] = value;
  }

  /** Seven bits a byte, the lowest first. @param value a safe integer from 0 on */
  varint(value: number): void {
    this.#reserve(VARINT_BYTES_MAX);
    let left = value;
    while (left >= 0x80) {
      this.#bytes[this.#end++] = (left % 0x80) | 0x80;
      left = Math.floor(left / 0x80);
    }
    this.#bytes[this.#end++] = left;
  }

  /** Small in either direction is short. @param value an integer of at most 2^51 */
  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** With its length in front. */
  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#end);
    this.#end += value.length;
  }

  /** UTF-8, with its length in front. */
  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.varint(length);
    this.#reserve(length);
    this.#bytes.write(value, this.#end, 'utf8');
    this.#end += length;
  }

  /** A copy of what was written. */
  copy(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#end));
  }

  #reserve(more: number): void {
    const needed = this.#end + more;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#end);
    this.#bytes = grown;
  }
}

/** Reads what `ByteWriter` has written. Each of its calls throws GatewayDecodeError where the bytes end too early. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isDone(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    if (this.isDone) throw new GatewayDecodeError('the bytes end too early');
    return this.#bytes[this.#at++];
  }

  varint(): number {
    let value = 0;
    for (let scale = 1, read = 0; read < VARINT_BYTES_MAX; read++, scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte >= 0x80) continue;
      if (!Number.isSafeInteger(value)) break;
      return value;
    }
    throw new GatewayDecodeError('a number is too large');
  }

  signed(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A view, not a copy. */
  bytes(): Buffer {
    const length = this.varint();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new GatewayDecodeError('the bytes end too early');
    const value = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return value;
  }

  text(): string {
    return this.bytes().toString('utf8');
  }
}

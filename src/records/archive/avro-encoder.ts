/**
 * Files of Avro (specification 1.11, object container files) as Azure writes them: the record `Microsoft.Azure.Devices.Message`,
 * blocks plain (`avro`) or deflated (`avrodeflate`).
 */
import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { limits } from '../../base/limits.ts';
import { azureMessage } from './azure-message.ts';
import type { ArchiveEncoder } from './encoder.ts';
import { bodyOf, type EventRow } from './event-row.ts';

const schema =
  '{"type":"record","name":"Message","namespace":"Microsoft.Azure.Devices","fields":[{"name":"EnqueuedTimeUtc","type":"string"},{"name":"Properties","type":{"type":"map","values":"string"}},{"name":"SystemProperties","type":{"type":"map","values":"string"}},{"name":"Body","type":["null","bytes"]}]}';

/** @param name what the file is of: with its name its blocks are told from those of another file */
export function avroEncoder(codec: 'null' | 'deflate', name: string): ArchiveEncoder {
  return new AvroEncoder(codec, name);
}

class AvroEncoder implements ArchiveEncoder {
  readonly #codec: 'null' | 'deflate';
  /** Stands behind each block. A file that is written again gets the same one: it is the same file. */
  readonly #sync: Buffer;
  readonly #block = new AvroWriter();
  #rows = 0;
  #pieces: Uint8Array<ArrayBuffer>[] = [];

  constructor(codec: 'null' | 'deflate', name: string) {
    this.#codec = codec;
    this.#sync = createHash('sha256').update(name).digest().subarray(0, 16);
    const head = new AvroWriter();
    head.raw(Buffer.from('Obj\x01', 'latin1'));
    head.map([
      ['avro.codec', codec],
      ['avro.schema', schema],
    ]);
    head.raw(this.#sync);
    this.#pieces.push(head.copy());
  }

  add(row: EventRow): void {
    const { enqueuedTimeUtc, properties, systemProperties } = azureMessage(row);
    const block = this.#block;
    block.text(enqueuedTimeUtc);
    block.map(properties);
    block.map(systemProperties);
    block.long(1);
    block.bytes(bodyOf(row));
    this.#rows++;
    if (block.length >= limits.archivePieceBytes) this.#endBlock();
  }

  take(): Uint8Array<ArrayBuffer>[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  finish(): Uint8Array<ArrayBuffer>[] {
    if (this.#rows > 0) this.#endBlock();
    return this.take();
  }

  #endBlock(): void {
    const rows = this.#block.view();
    const bytes = this.#codec === 'deflate' ? deflateRawSync(rows) : rows;
    const whole = new AvroWriter(bytes.length + 64);
    whole.long(this.#rows);
    whole.bytes(bytes);
    whole.raw(this.#sync);
    this.#pieces.push(whole.copy());
    this.#block.clear();
    this.#rows = 0;
  }
}

/** Values as Avro's binary encoding has them. */
class AvroWriter {
  #buffer: Buffer;
  length = 0;

  constructor(size = 64 * 1024) {
    this.#buffer = Buffer.allocUnsafe(size);
  }

  /** Zigzag, then seven bits a byte, the lowest first. */
  long(value: number): void {
    this.#room(10);
    let rest = value < 0 ? -value * 2 - 1 : value * 2;
    while (rest >= 0x80) {
      this.#buffer[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.length++] = rest;
  }

  bytes(value: Uint8Array): void {
    this.long(value.length);
    this.raw(value);
  }

  text(value: string): void {
    const size = Buffer.byteLength(value);
    this.long(size);
    this.#room(size);
    this.length += this.#buffer.write(value, this.length);
  }

  map(entries: readonly (readonly [name: string, value: string])[]): void {
    if (entries.length > 0) {
      this.long(entries.length);
      for (const [name, value] of entries) {
        this.text(name);
        this.text(value);
      }
    }
    this.long(0);
  }

  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#buffer.set(value, this.length);
    this.length += value.length;
  }

  view(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  copy(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.view());
  }

  clear(): void {
    this.length = 0;
  }

  #room(size: number): void {
    if (this.length + size <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.length + size));
    larger.set(this.view());
    this.#buffer = larger;
  }
}

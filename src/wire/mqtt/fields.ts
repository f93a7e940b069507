/** The fields that packets are made of, sections 1.5 and 2.2 to 2.3; MQTT 5 has them too, and some more (`v5`). */
import { isUtf8 } from 'node:buffer';
import { limits } from '../../base/limits.ts';
import { MalformedPacket } from './packets.ts';

/** The fields of one packet in order; nothing is read over its end. */
export class Fields {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  byte(): number {
    return this.#bytes[this.#advance(1)];
  }

  number(): number {
    return this.#bytes.readUInt16BE(this.#advance(2));
  }

  packetId(): number {
    const id = this.number();
    if (id === 0) throw new MalformedPacket('packet identifier is 0 [MQTT-2.3.1-1]');
    return id;
  }

  /** Binary data behind its length, as wills and passwords are. */
  block(): Buffer {
    const length = this.number();
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** UTF-8 text, section 1.5.3. */
  text(): string {
    const bytes = this.block();
    if (!isUtf8(bytes)) throw new MalformedPacket('text is not UTF-8 [MQTT-1.5.3-1]');
    if (bytes.includes(0)) throw new MalformedPacket('text holds U+0000 [MQTT-1.5.3-2]');
    return bytes.toString('utf8');
  }

  /**
   * A topic's name or a filter. Wildcards in a name [MQTT-3.3.2-2] are not refused here: device ids and property values
   * may hold `+` and `#` (device reference 2.3, 5.2), so only the addresses know which are wrong.
   */
  topic(): string {
    const name = this.text();
    if (name === '') throw new MalformedPacket('an empty topic [MQTT-4.7.3-1]');
    return name;
  }

  /** Four bytes, MQTT 5 section 1.5.3. */
  number32(): number {
    return this.#bytes.readUInt32BE(this.#advance(4));
  }

  /** MQTT 5 section 1.5.5: at most four bytes of seven bits, the least significant first. */
  variableNumber(): number {
    let value = 0;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new MalformedPacket('a variable byte integer has more than four bytes [MQTT5-1.5.5]');
  }

  /** The next `count` bytes as fields of their own. */
  part(count: number): Fields {
    const at = this.#advance(count);
    return new Fields(this.#bytes, at, at + count);
  }

  rest(): Buffer {
    const at = this.#at;
    this.#at = this.#end;
    return this.#bytes.subarray(at, this.#end);
  }

  finish(): void {
    if (!this.done) throw new MalformedPacket(`${this.#end - this.#at} bytes too many behind the last field (2.2.3)`);
  }

  #advance(count: number): number {
    const at = this.#at;
    if (at + count > this.#end) throw new MalformedPacket('the packet ends within a field (2.2.3)');
    this.#at = at + count;
    return at;
  }
}

/** Before one more is kept: a packet may hold eighty thousand. */
export function boundFilters(count: number): void {
  const max = limits.mqttFiltersPerPacketMax;
  if (count >= max) throw new MalformedPacket(`more filters in one packet than the ${max} that are allowed`);
}

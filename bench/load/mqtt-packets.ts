/** The few MQTT 3.1.1 packets that a load needs, encoded by hand: the bench must not share the hub's codec. */

export const DISCONNECT = Buffer.from([0xe0, 0]);

export interface ConnectFields {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  readonly cleanSession: boolean;
  readonly keepAliveSeconds: number;
}

/** CONNECT, clause 3.1, without a will. Empty user name and password are left out. */
export function connectPacket(fields: ConnectFields): Buffer {
  const flags =
    (fields.username === '' ? 0 : 0x80) | (fields.password === '' ? 0 : 0x40) | (fields.cleanSession ? 0x02 : 0);
  const variable = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, flags, 0, 0]);
  variable.writeUInt16BE(fields.keepAliveSeconds, 8);
  const texts = [fields.clientId, fields.username, fields.password].filter((text, at) => at === 0 || text !== '');
  return packet(0x10, Buffer.concat([variable, ...texts.map(textField)]));
}

/** PUBLISH, clause 3.3. `packetId` is left out at QoS 0. */
export function publishPacket(topic: string, payload: Uint8Array, qos: 0 | 1, packetId = 0): Buffer {
  const id = qos === 0 ? [] : [Buffer.from([packetId >> 8, packetId & 0xff])];
  return packet(0x30 | (qos << 1), Buffer.concat([textField(topic), ...id, payload]));
}

/** SUBSCRIBE of one filter, clause 3.8. */
export function subscribePacket(packetId: number, filter: string, qos: 0 | 1): Buffer {
  return packet(
    0x82,
    Buffer.concat([Buffer.from([packetId >> 8, packetId & 0xff]), textField(filter), Buffer.from([qos])]),
  );
}

function textField(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** Fixed header with the remaining length, clause 2.2. */
function packet(first: number, body: Buffer): Buffer {
  const header = [first];
  let left = body.length;
  do {
    header.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>>= 7;
  } while (left > 0);
  return Buffer.concat([Buffer.from(header), body]);
}

export interface ShortPackets {
  connack(returnCode: number): void;
  puback(packetId: number): void;
}

/** Splits what a server sends to a publisher: packets of two or four bytes only (CONNACK, PUBACK, PINGRESP). */
export class ShortPacketReader {
  readonly #rest = Buffer.alloc(4);
  #held = 0;

  /** @throws Error on any other packet. */
  take(bytes: Uint8Array, length: number, to: ShortPackets): void {
    let at = 0;
    while (this.#held > 0 && at < length) {
      this.#rest[this.#held++] = bytes[at++];
      if (this.#held >= 2 && this.#held === this.#rest[1] + 2) {
        deliver(this.#rest, 0, to);
        this.#held = 0;
      }
    }
    while (at < length) {
      const end = at + 1 < length ? at + 2 + bytes[at + 1] : length + 1;
      if (end > length) {
        if (length - at > 3) throw new Error(`unexpected packet ${bytes[at].toString(16)} from the server`);
        while (at < length) this.#rest[this.#held++] = bytes[at++];
        return;
      }
      deliver(bytes, at, to);
      at = end;
    }
  }
}

function deliver(bytes: Uint8Array, at: number, to: ShortPackets): void {
  if (bytes[at] === 0x40) to.puback((bytes[at + 2] << 8) | bytes[at + 3]);
  else if (bytes[at] === 0x20) to.connack(bytes[at + 3]);
  else if (bytes[at] !== 0xd0) throw new Error(`unexpected packet ${bytes[at].toString(16)} from the server`);
}

/**
 * As much of MQTT 3.1.1 as a simulated device needs: CONNECT, PUBLISH with QoS 1, SUBSCRIBE, PINGREQ. Over a WebSocket of the
 * admin port, which the hub leads to its MQTT door: the device proves itself there as any other.
 */
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface MqttEvents {
  /** The hub has said whether the device may come in: 0 = yes (section 3.2.2.3). */
  connected(returnCode: number): void;
  /** The hub has stored the message with this number. */
  acknowledged(id: number): void;
  message(topic: string, body: Uint8Array): void;
  closed(): void;
}

const KEEP_ALIVE_S = 60;

export class MqttClient {
  readonly #socket: WebSocket;
  readonly #events: MqttEvents;
  #rest = new Uint8Array();
  #nextId = 1;
  #ping: ReturnType<typeof setInterval> | undefined;

  constructor(address: string, login: { clientId: string; username: string; password: string }, events: MqttEvents) {
    this.#events = events;
    this.#socket = new WebSocket(address, ['mqtt']);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onopen = () => {
      const { clientId, username, password } = login;
      // Clean session, user name and password.
      const head = [...text('MQTT'), 4, 0xc2, KEEP_ALIVE_S >> 8, KEEP_ALIVE_S & 0xff];
      this.#send(0x10, [...head, ...text(clientId), ...text(username), ...text(password)]);
      this.#ping = setInterval(() => this.#send(0xc0, []), (KEEP_ALIVE_S * 1000) / 2);
    };
    this.#socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => this.#read(new Uint8Array(data));
    this.#socket.onclose = () => {
      clearInterval(this.#ping);
      events.closed();
    };
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** @returns the number by which it is acknowledged */
  publish(topic: string, body: string): number {
    const id = this.#nextId++ & 0xffff || this.#nextId++;
    this.#send(0x32, [...text(topic), id >> 8, id & 0xff, ...encoder.encode(body)]);
    return id;
  }

  subscribe(filter: string): void {
    this.#send(0x82, [0, this.#nextId++ & 0xff, ...text(filter), 1]);
  }

  close(): void {
    if (this.isOpen) this.#send(0xe0, []);
    this.#socket.close();
  }

  #send(first: number, body: readonly number[]): void {
    if (!this.isOpen) return;
    this.#socket.send(new Uint8Array([first, ...lengthOf(body.length), ...body]));
  }

  #read(chunk: Uint8Array): void {
    const all = new Uint8Array(this.#rest.length + chunk.length);
    all.set(this.#rest);
    all.set(chunk, this.#rest.length);
    let at = 0;
    for (;;) {
      const packet = packetAt(all, at);
      if (packet === undefined) break;
      at = packet.end;
      this.#take(packet.first, packet.body);
    }
    this.#rest = all.slice(at);
  }

  #take(first: number, body: Uint8Array): void {
    const kind = first >> 4;
    if (kind === 2) this.#events.connected(body[1] ?? 255);
    else if (kind === 4) this.#events.acknowledged(number16(body, 0));
    else if (kind === 3) {
      const length = number16(body, 0);
      const topic = decoder.decode(body.subarray(2, 2 + length));
      const hasId = ((first >> 1) & 3) > 0;
      const from = 2 + length + (hasId ? 2 : 0);
      this.#events.message(topic, body.subarray(from));
      if (hasId) this.#send(0x40, [...body.subarray(2 + length, from)]);
    }
  }
}

const number16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** Two bytes of length, then UTF-8. */
function text(value: string): number[] {
  const bytes = encoder.encode(value);
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

/** Seven bits to a byte (section 2.2.3). */
function lengthOf(length: number): number[] {
  const bytes: number[] = [];
  let rest = length;
  do {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return bytes;
}

function packetAt(all: Uint8Array, start: number): { first: number; body: Uint8Array; end: number } | undefined {
  let [length, factor, at] = [0, 1, start + 1];
  for (;;) {
    const byte = all[at++];
    if (byte === undefined || at - start > 5) return undefined;
    length += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte < 0x80) break;
  }
  const end = at + length;
  return end > all.length ? undefined : { first: all[start] ?? 0, body: all.subarray(at, end), end };
}

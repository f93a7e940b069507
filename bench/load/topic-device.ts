import net from 'node:net';
import { PacketReader } from '../../src/wire/mqtt/packet-reader.ts';
import { connectPacket, publishPacket, subscribePacket } from './mqtt-packets.ts';

const PACKET_BYTES_MAX = 1 << 20;
const CONNACK = 2;
const PUBLISH = 3;
const SUBACK = 9;
/** Granted at QoS 0 or 1; all else is a refusal (clause 3.9.3). */
const GRANTED_MAX = 1;

export interface TopicLogin {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

/** A device that subscribes at QoS 0 to some topics, hears what comes on them, and publishes at QoS 0. */
export class TopicDevice {
  readonly id: string;
  /** Of a topic and a payload, which is only good until it returns. */
  hear: (topic: string, payload: Buffer) => void = () => {};
  readonly #socket: net.Socket;
  readonly #reader = new PacketReader();
  readonly #filters: readonly string[];
  #granted = 0;
  #ready: () => void = () => {};
  #failed: (error: Error) => void = () => {};

  private constructor(id: string, socket: net.Socket, filters: readonly string[]) {
    this.id = id;
    this.#socket = socket;
    this.#filters = filters;
  }

  /** Resolves when each subscription is granted. A connection that ends afterwards, but by `close`, ends the process. */
  static open(port: number, login: TopicLogin, filters: readonly string[]): Promise<TopicDevice> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    const device = new TopicDevice(login.clientId, socket, filters);
    socket.write(connectPacket({ ...login, cleanSession: true, keepAliveSeconds: 0 }));
    socket.on('data', (chunk: Buffer) => device.#receive(chunk));
    return new Promise((resolve, reject) => {
      device.#ready = () => {
        device.#failed = (error) => {
          throw error;
        };
        resolve(device);
      };
      device.#failed = reject;
      socket.on('error', (error) => device.#failed(error));
      socket.on('close', () => device.#failed(new Error(`${login.clientId}: the server closed the connection`)));
    });
  }

  publish(topic: string, payload: Uint8Array): void {
    this.#socket.write(publishPacket(topic, payload, 0));
  }

  close(): void {
    this.#failed = () => {};
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    const reader = this.#reader;
    reader.push(chunk);
    while (reader.next(PACKET_BYTES_MAX)) {
      const { bytes, start, body, end } = reader;
      const kind = bytes[start] >> 4;
      if (kind === CONNACK) this.#connected(bytes[body + 1]);
      else if (kind === SUBACK) this.#subscribed(bytes[body + 2]);
      else if (kind === PUBLISH) this.#told(bytes, start, body, end);
    }
    reader.settle();
  }

  #connected(code: number): void {
    if (code !== 0) this.#failed(new Error(`${this.id}: CONNACK ${code}`));
    else for (const [at, filter] of this.#filters.entries()) this.#socket.write(subscribePacket(at + 1, filter, 0));
  }

  #subscribed(code: number): void {
    if (code > GRANTED_MAX) this.#failed(new Error(`${this.id}: SUBACK ${code}`));
    else if (++this.#granted === this.#filters.length) this.#ready();
  }

  #told(bytes: Buffer, start: number, body: number, end: number): void {
    const topicEnd = body + 2 + bytes.readUInt16BE(body);
    const payloadStart = (bytes[start] & 0x06) === 0 ? topicEnd : topicEnd + 2;
    this.hear(bytes.toString('latin1', body + 2, topicEnd), bytes.subarray(payloadStart, end));
  }
}

/** Opens one for each login, some at a time. */
export async function openDevices(
  port: number,
  logins: readonly TopicLogin[],
  filtersOf: (id: string) => readonly string[],
): Promise<readonly TopicDevice[]> {
  const AT_ONCE = 50;
  const devices: TopicDevice[] = [];
  for (let at = 0; at < logins.length; at += AT_ONCE) {
    const some = logins.slice(at, at + AT_ONCE);
    devices.push(...(await Promise.all(some.map((login) => TopicDevice.open(port, login, filtersOf(login.clientId))))));
  }
  return devices;
}

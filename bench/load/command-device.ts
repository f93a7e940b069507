import net from 'node:net';
import { PacketReader } from '../../src/wire/mqtt/packet-reader.ts';
import { connectPacket, subscribePacket } from './mqtt-packets.ts';
import type { PublisherLogin } from './publisher.ts';

const PACKET_BYTES_MAX = 1 << 20;
const CONNACK = 2;
const PUBLISH = 3;
const SUBACK = 9;
const MESSAGE_ID = /%24\.mid=([^&]+)/;

/** A device that takes its commands over MQTT at QoS 1 and completes each at once. */
export class CommandDevice {
  readonly id: string;
  readonly #socket: net.Socket;
  readonly #reader = new PacketReader();
  readonly #took: (messageId: string) => void;
  #subscribed: () => void = () => {};
  #failed: (error: Error) => void = () => {};

  private constructor(id: string, socket: net.Socket, took: (messageId: string) => void) {
    this.id = id;
    this.#socket = socket;
    this.#took = took;
  }

  /** Resolves when the subscription is granted. @param took hears the message id of each command before its PUBACK leaves. */
  static open(port: number, login: PublisherLogin, took: (messageId: string) => void): Promise<CommandDevice> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    const device = new CommandDevice(login.clientId, socket, took);
    const { clientId, username, password } = login;
    socket.write(connectPacket({ clientId, username, password, cleanSession: true, keepAliveSeconds: 0 }));
    socket.on('data', (chunk: Buffer) => device.#receive(chunk));
    return new Promise((resolve, reject) => {
      device.#subscribed = () => resolve(device);
      device.#failed = reject;
      socket.on('error', reject);
      socket.on('close', () => reject(new Error(`${clientId}: the hub closed the connection`)));
    });
  }

  close(): void {
    this.#socket.removeAllListeners('close').destroy();
  }

  #receive(chunk: Buffer): void {
    const reader = this.#reader;
    reader.push(chunk);
    while (reader.next(PACKET_BYTES_MAX)) {
      const kind = reader.bytes[reader.start] >> 4;
      if (kind === CONNACK) this.#connected(reader.bytes[reader.body + 1]);
      else if (kind === SUBACK) this.#subscribed();
      else if (kind === PUBLISH) this.#command();
    }
    reader.settle();
  }

  #connected(code: number): void {
    if (code === 0) this.#socket.write(subscribePacket(1, `devices/${this.id}/messages/devicebound/#`, 1));
    else this.#failed(new Error(`${this.id}: CONNACK ${code}`));
  }

  #command(): void {
    const { bytes, body } = this.#reader;
    const topicEnd = body + 2 + bytes.readUInt16BE(body);
    const messageId = MESSAGE_ID.exec(bytes.toString('latin1', body + 2, topicEnd))?.[1];
    if (messageId !== undefined) this.#took(messageId);
    this.#socket.write(Buffer.from([0x40, 2, bytes[topicEnd], bytes[topicEnd + 1]]));
  }
}

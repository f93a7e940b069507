import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { connectPacket, DISCONNECT, publishPacket, ShortPacketReader } from '../../bench/load/mqtt-packets.ts';
import type { PublisherLogin } from '../../bench/load/publisher.ts';

const IN_FLIGHT = 40;

/** What became of one message as its sender knows it. */
type Fate = 'sent' | 'acknowledged';

/**
 * One device that sends numbered messages at QoS 1 over many connections' lives. It never sends a number twice: one that
 * is unacknowledged when its connection dies may or may not be stored, once.
 */
export class KillPublisher {
  readonly #login: PublisherLogin;
  readonly #seed: number;
  readonly #paceMs: number;
  readonly #fates: Fate[] = [];
  /** Numbers and packet ids that wait for their PUBACK, oldest first. */
  #waiting: { readonly n: number; readonly packetId: number }[] = [];
  #packetId = 0;
  #acknowledgedCount = 0;
  #sending = false;
  #socket: net.Socket | undefined;

  /** @param paceMs between an acknowledgement and the next message, one in flight; 0 = as fast as it goes, many in flight */
  constructor(login: PublisherLogin, seed: number, paceMs = 0) {
    this.#login = login;
    this.#paceMs = paceMs;
    this.#seed = seed;
  }

  get deviceId(): string {
    return this.#login.clientId;
  }

  fate(n: number): Fate | undefined {
    return this.#fates[n];
  }

  acknowledgedNumbers(): readonly number[] {
    return [...this.#fates.keys()].filter((n) => this.#fates[n] === 'acknowledged');
  }

  get acknowledgedCount(): number {
    return this.#acknowledgedCount;
  }

  get sentCount(): number {
    return this.#fates.length;
  }

  /** Connects and begins to send. Resolves when the hub has accepted the connection. */
  async start(port: number): Promise<void> {
    this.#waiting = [];
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    socket.on('error', () => {});
    await once(socket, 'connect');
    const reader = new ShortPacketReader();
    await new Promise<void>((resolve, reject) => {
      socket.on('close', () => reject(new Error(`${this.deviceId}: closed before CONNACK`)));
      socket.on('data', (chunk) =>
        reader.take(chunk, chunk.length, {
          connack: (code) => (code === 0 ? resolve() : reject(new Error(`${this.deviceId}: CONNACK ${code}`))),
          puback: (packetId) => this.#acknowledged(packetId),
        }),
      );
      socket.write(connectPacket({ ...this.#login, cleanSession: false, keepAliveSeconds: 300 }));
    });
    this.#sending = true;
    this.#fill();
  }

  /** Resolves when the connection is over and every acknowledgement that reached this machine is counted. */
  async ended(): Promise<void> {
    this.#sending = false;
    if (this.#socket !== undefined && !this.#socket.closed) await once(this.#socket, 'close');
  }

  /** Breaks the connection off. */
  cut(): void {
    this.#sending = false;
    this.#socket?.destroy();
  }

  /** Sends no more, waits for what is unacknowledged, and leaves. */
  async finish(): Promise<void> {
    this.#sending = false;
    while (this.#waiting.length > 0) await once(this.#socket as net.Socket, 'data');
    this.#socket?.end(DISCONNECT);
    await this.ended();
  }

  #fill(): void {
    const packets: Buffer[] = [];
    while (this.#sending && this.#waiting.length < (this.#paceMs > 0 ? 1 : IN_FLIGHT)) {
      const n = this.#fates.push('sent') - 1;
      this.#packetId = (this.#packetId % 0xffff) + 1;
      this.#waiting.push({ n, packetId: this.#packetId });
      const { bag, body } = numberedMessage(this.#seed, this.deviceId, n);
      packets.push(publishPacket(`${this.#login.topic}${bag}`, body, 1, this.#packetId));
    }
    if (packets.length > 0) this.#socket?.write(Buffer.concat(packets));
  }

  #acknowledged(packetId: number): void {
    const oldest = this.#waiting.shift();
    if (oldest?.packetId !== packetId) {
      throw new Error(`${this.deviceId}: PUBACK ${packetId} instead of ${oldest?.packetId}`);
    }
    this.#fates[oldest.n] = 'acknowledged';
    this.#acknowledgedCount++;
    if (this.#paceMs > 0) setTimeout(() => this.#fill(), this.#paceMs);
    else this.#fill();
  }
}

export interface NumberedMessage {
  /** As it goes behind the topic. */
  readonly bag: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A device's n-th message, made from the seed: sizes from empty to about two kilobytes. */
export function numberedMessage(seed: number, deviceId: string, n: number): NumberedMessage {
  const digest = createHash('sha256').update(`${seed}/${deviceId}/${n}`).digest();
  const size = digest.readUInt16LE(0) % 5 === 0 ? 0 : digest.readUInt16LE(2) % (n % 50 === 0 ? 2048 : 300);
  const body = Buffer.alloc(size, digest);
  const odd = `${digest.toString('base64')} ä&=${n}`;
  const properties = { n: String(n), odd };
  return { bag: `n=${n}&odd=${encodeURIComponent(odd)}`, properties, body };
}

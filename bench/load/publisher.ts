import net from 'node:net';
import tls from 'node:tls';
import type { Histogram } from './histogram.ts';
import { connectPacket, DISCONNECT, publishPacket, ShortPacketReader } from './mqtt-packets.ts';

export interface PublisherLogin {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  readonly topic: string;
}

export interface PublisherTarget {
  readonly host: string;
  readonly port: number;
  /** PEM of the authority that signed the server's certificate; absent = plain TCP. */
  readonly ca?: string;
  readonly inFlight: number;
  readonly payloadBytes: number;
}

/**
 * One connection that keeps up to `inFlight` QoS 1 messages unacknowledged. Its packets are encoded once: slot s carries
 * packet id s + 1. Acknowledgements come in order (the hub promises it, and so does Mosquitto), so the free slots are
 * always a run of a ring; the ring is laid out twice, and any run is one slice and one write. An acknowledgement that is
 * not the expected one ends the load with an error: the figures would mean nothing.
 */
export class Publisher {
  readonly #login: PublisherLogin;
  readonly #target: PublisherTarget;
  readonly #latency: Histogram;
  readonly #ring: Buffer;
  readonly #packetBytes: number;
  readonly #sentAt: Float64Array;
  readonly #reader = new ShortPacketReader();
  #socket: net.Socket | undefined;
  #next = 0;
  #oldest = 0;
  #inFlight = 0;
  #sending = false;
  /** Due times of messages that wait for a free slot: open loop only. */
  #due: number[] = [];
  #openLoop = false;
  #arrived = 0;
  #onConnack: ((code: number) => void) | undefined;
  #onFailure: (error: Error) => void;
  acknowledged = 0;

  constructor(
    login: PublisherLogin,
    target: PublisherTarget,
    latency: Histogram,
    payload: Buffer,
    onFailure: (error: Error) => void,
  ) {
    this.#login = login;
    this.#target = target;
    this.#latency = latency;
    this.#onFailure = onFailure;
    const packets = Array.from({ length: target.inFlight }, (_, slot) =>
      publishPacket(topicOf(login, slot), payload, 1, slot + 1),
    );
    this.#packetBytes = packets[0].length;
    this.#ring = Buffer.concat([...packets, ...packets]);
    this.#sentAt = new Float64Array(target.inFlight);
  }

  get inFlight(): number {
    return this.#inFlight + this.#due.length;
  }

  /** Resolves when the server has accepted the CONNECT. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { host, port, ca } = this.#target;
      const fail = (error: Error): void => {
        reject(error);
        this.#onFailure(error);
      };
      // A plain socket reads into one buffer of its own; TLS sockets have no such option.
      const room = Buffer.allocUnsafe(16 * 1024);
      const socket =
        ca === undefined
          ? net.connect({
              host,
              port,
              noDelay: true,
              onread: {
                buffer: room,
                callback: (length: number) => {
                  this.#take(room, length, fail);
                  return true;
                },
              },
            })
          : tls.connect({ host, port, ca, servername: host === '127.0.0.1' ? 'localhost' : host });
      this.#socket = socket;
      if (ca !== undefined) {
        socket.setNoDelay(true);
        socket.on('data', (chunk) => this.#take(chunk, chunk.length, fail));
      }
      this.#onConnack = (code) =>
        code === 0 ? resolve() : fail(new Error(`${this.#login.clientId}: refused with CONNACK ${code}`));
      socket.on('error', fail);
      socket.on('close', () => fail(new Error(`${this.#login.clientId}: the server closed the connection`)));
      socket.write(connectPacket({ ...this.#login, cleanSession: true, keepAliveSeconds: 600 }));
    });
  }

  /** Closed loop: fills the window and keeps it full. */
  start(): void {
    this.#sending = true;
    this.#send(this.#target.inFlight, performance.now());
  }

  /** Open loop: one message that was due at `due`; its latency counts from there, also when it has to wait. */
  publishDue(due: number): void {
    this.#openLoop = true;
    if (this.#inFlight < this.#target.inFlight) this.#send(1, due);
    else this.#due.push(due);
  }

  stop(): void {
    this.#sending = false;
    this.#due = [];
  }

  close(): void {
    this.#onFailure = () => {};
    this.#socket?.end(DISCONNECT);
  }

  #send(count: number, since: number): void {
    const start = this.#next * this.#packetBytes;
    for (let left = count; left > 0; left--) {
      this.#sentAt[this.#next] = since;
      this.#next = this.#next + 1 === this.#target.inFlight ? 0 : this.#next + 1;
    }
    this.#inFlight += count;
    this.#socket?.write(this.#ring.subarray(start, start + count * this.#packetBytes));
  }

  #take(bytes: Uint8Array, length: number, fail: (error: Error) => void): void {
    this.#arrived = performance.now();
    const before = this.#inFlight;
    try {
      this.#reader.take(bytes, length, this);
    } catch (error) {
      fail(error as Error);
      this.#socket?.destroy();
      return;
    }
    const freed = before - this.#inFlight;
    if (freed === 0) return;
    if (this.#openLoop) for (const due of this.#due.splice(0, freed)) this.#send(1, due);
    else if (this.#sending) this.#send(freed, this.#arrived);
  }

  connack(code: number): void {
    this.#onConnack?.(code);
  }

  puback(packetId: number): void {
    if (packetId !== this.#oldest + 1 || this.#inFlight === 0) {
      throw new Error(`${this.#login.clientId}: PUBACK ${packetId} instead of ${this.#oldest + 1}`);
    }
    this.#latency.record(this.#arrived - this.#sentAt[this.#oldest]);
    this.#oldest = packetId === this.#target.inFlight ? 0 : packetId;
    this.#inFlight--;
    this.acknowledged++;
  }
}

/** `{slot}` in a topic becomes the slot's number, five digits long: a message id of its own for each, for example. */
function topicOf({ topic }: PublisherLogin, slot: number): string {
  return topic.replaceAll('{slot}', String(slot).padStart(5, '0'));
}

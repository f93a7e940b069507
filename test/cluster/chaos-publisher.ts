/** A device of the chaos suite that sends numbered telemetry, and comes back by itself whenever its connection ends or falls silent. */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectPacket, DISCONNECT, publishPacket, ShortPacketReader } from '../../bench/load/mqtt-packets.ts';
import type { PublisherLogin } from '../../bench/load/publisher.ts';
import { signSas } from '../../src/api/sas.ts';
import { DEVICE_KEY, makeDevice } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';

/** So long an answer may be missing before the device connects anew; shorter than a lease, so that it comes back before that is over. */
const SILENCE_MS = 4000;
const CONNECT_MS = 13_000;
const AGAIN_MS = 100;
const [SENT, ACKNOWLEDGED, FOUND] = [1, 2, 4];

interface Session {
  readonly socket: net.Socket;
  readonly waiting: { readonly n: number; readonly packetId: number }[];
  packetId: number;
  lastHeard: number;
}

export interface Found {
  /** Of a number that came before, or of one that is behind a greater one. */
  reordered: number;
  /** Never sent. */
  strange: number;
  count: number;
  /** What was reordered, in words. */
  readonly faults: string[];
}

/** No number is sent twice: what is not acknowledged may be stored, once. So what is stored must have ascending numbers. */
export class ChaosPublisher {
  readonly deviceId: string;
  readonly found: Found = { reordered: 0, strange: 0, count: 0, faults: [] };
  acknowledged = 0;
  connects = 0;
  /** When it was last told of an acknowledgement, `performance.now()`. */
  lastTime = performance.now();
  /** The longest time between two acknowledgements since it was set to 0. */
  longestMs = 0;
  readonly #login: PublisherLogin;
  readonly #port: number;
  readonly #inFlight: number;
  #fates = new Uint8Array(1 << 12);
  #next = 0;
  #lastFound = -1;
  #isOn = false;
  #current: Session | undefined;
  readonly #older = new Set<Session>();

  /** Makes the device at the hub. @param inFlight messages that may wait for their acknowledgement */
  static async make(
    hub: Pick<TestHub, 'endpoints' | 'ca'>,
    deviceId: string,
    inFlight: number,
  ): Promise<ChaosPublisher> {
    await makeDevice(hub, deviceId);
    const resource = `localhost/devices/${deviceId}`;
    const password = await signSas({ resource, key: DEVICE_KEY, expiresAt: Date.now() + 24 * 3_600_000 });
    const username = `localhost/${deviceId}/?api-version=2021-04-12`;
    const login = { clientId: deviceId, username, password, topic: `devices/${deviceId}/messages/events/` };
    return new ChaosPublisher(login, hub.endpoints.ports.mqtt ?? 0, inFlight);
  }

  /** @param port of the balancer */
  private constructor(login: PublisherLogin, port: number, inFlight: number) {
    this.deviceId = login.clientId;
    this.#login = login;
    this.#port = port;
    this.#inFlight = inFlight;
  }

  /** Sends until `stop`. */
  async run(): Promise<void> {
    this.#isOn = true;
    while (this.#isOn) {
      const session = this.#current ?? (await this.#connect());
      if (session === undefined) await sleep(AGAIN_MS);
      else await this.#watch(session);
    }
  }

  /** A second connection of the same device, while the first one sends. */
  async duel(): Promise<void> {
    await this.#connect();
  }

  /** Breaks its connection off, and comes back. */
  cut(): void {
    this.#current?.socket.destroy();
  }

  /** Connections that a newer one of the device has displaced, and that the hub has not ended. */
  get olderCount(): number {
    return this.#older.size;
  }

  /** Sends nothing new, waits for what is under way, and leaves. */
  async stop(): Promise<void> {
    this.#isOn = false;
    for (const end = performance.now() + SILENCE_MS; (this.#current?.waiting.length ?? 0) > 0; await sleep(5)) {
      if (performance.now() > end) break;
    }
    this.#current?.socket.end(DISCONNECT);
    for (const { socket } of this.#older) socket.destroy();
  }

  /** Takes a stored number, in the order in which they lie in the partition. */
  take(n: number): void {
    this.found.count++;
    if (!(n < this.#next)) this.found.strange++;
    if (n <= this.#lastFound) {
      this.found.reordered++;
      const fate = (this.#fates[n] & ACKNOWLEDGED) === 0 ? 'not acknowledged' : 'acknowledged';
      const twice = (this.#fates[n] & FOUND) === 0 ? '' : ', twice';
      this.found.faults.push(`${this.deviceId}/${n} (${fate}${twice}) behind ${this.#lastFound}`);
    }
    this.#lastFound = Math.max(this.#lastFound, n);
    this.#fates[n] |= FOUND;
  }

  /** Numbers that were acknowledged and are not found. */
  lost(): readonly number[] {
    const lost: number[] = [];
    for (let n = 0; n < this.#next; n++) if ((this.#fates[n] & (ACKNOWLEDGED | FOUND)) === ACKNOWLEDGED) lost.push(n);
    return lost;
  }

  /** Undefined: refused, or no answer. */
  #connect(): Promise<Session | undefined> {
    return new Promise((resolve) => {
      const socket = net.connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
      const session: Session = { socket, waiting: [], packetId: 0, lastHeard: performance.now() };
      const reader = new ShortPacketReader();
      const timer = setTimeout(() => socket.destroy(), CONNECT_MS);
      socket.on('error', () => {});
      socket.on('close', () => {
        clearTimeout(timer);
        this.#older.delete(session);
        if (this.#current === session) this.#current = undefined;
        resolve(undefined);
      });
      socket.on('connect', () => {
        socket.write(connectPacket({ ...this.#login, cleanSession: false, keepAliveSeconds: 300 }));
      });
      socket.on('data', (chunk) => {
        session.lastHeard = performance.now();
        reader.take(chunk, chunk.length, {
          connack: (code) => {
            clearTimeout(timer);
            if (code !== 0) return void socket.destroy();
            this.connects++;
            // The older one may hear the answers to what it has sent; it sends nothing more.
            if (this.#current !== undefined) this.#older.add(this.#current);
            this.#current = session;
            this.#fill(session);
            resolve(session);
          },
          puback: (packetId) => this.#acknowledged(session, packetId),
        });
      });
    });
  }

  /** Resolves when the session is over, or another is the current one. */
  async #watch(session: Session): Promise<void> {
    while (this.#isOn && this.#current === session) {
      await sleep(20);
      const isSilent = performance.now() - session.lastHeard > SILENCE_MS;
      if (isSilent && session.waiting.length > 0) {
        this.#current = undefined;
        session.socket.destroy();
      }
    }
  }

  #fill(session: Session): void {
    if (!this.#isOn || this.#current !== session) return;
    const packets: Buffer[] = [];
    while (session.waiting.length < this.#inFlight) {
      const n = this.#next++;
      if (n >= this.#fates.length) {
        const longer = new Uint8Array(this.#fates.length * 2);
        longer.set(this.#fates);
        this.#fates = longer;
      }
      this.#fates[n] |= SENT;
      session.packetId = (session.packetId % 0xffff) + 1;
      session.waiting.push({ n, packetId: session.packetId });
      packets.push(publishPacket(`${this.#login.topic}n=${n}`, Buffer.from(`{"n":${n}}`), 1, session.packetId));
    }
    if (packets.length > 0) session.socket.write(Buffer.concat(packets));
  }

  #acknowledged(session: Session, packetId: number): void {
    const oldest = session.waiting.shift();
    if (oldest?.packetId !== packetId) {
      throw new Error(`${this.deviceId}: PUBACK ${packetId} instead of ${oldest?.packetId}`);
    }
    this.#fates[oldest.n] |= ACKNOWLEDGED;
    this.acknowledged++;
    const now = performance.now();
    this.longestMs = Math.max(this.longestMs, now - this.lastTime);
    this.lastTime = now;
    this.#fill(session);
  }
}

/**
 * One connection to the broker, from its CONNECT to its end. A message is acknowledged when the hub has it on a disk: what was not is
 * the broker's, which sends it again to the next connection.
 */
import net from 'node:net';
import tls from 'node:tls';
import { limits } from '../../../base/limits.ts';
import type { Host } from '../../../gateway/index.ts';
import type { PacketReader } from '../../../wire/mqtt/packet-reader.ts';
import { version4 } from '../dialogue.ts';
import { Inbox, type InboxOwner, type Sink } from '../inbox.ts';
import { Intake, type IntakeOwner } from '../intake.ts';
import { Deliveries } from '../listener/deliveries.ts';
import { Lost } from '../route.ts';
import type { Outgoing } from '../rules.ts';
import {
  connectBytes,
  decodeServerPacket,
  disconnect,
  pingreq,
  type ServerPacket,
  subscribeBytes,
} from './server-packets.ts';

export interface LinkOptions {
  readonly url: URL;
  readonly userName: string | undefined;
  readonly password: string | undefined;
  readonly ca: string | undefined;
  readonly clientId: string;
  readonly keepAliveSeconds: number;
  readonly persistent: boolean;
  readonly filters: readonly string[];
}

const refusals = [
  '',
  'the protocol',
  'the client id',
  'it is not available',
  'user name or password',
  'it is not authorized',
];

export class Link implements InboxOwner, IntakeOwner {
  readonly #host: Host;
  readonly #options: LinkOptions;
  readonly #socket: net.Socket;
  readonly #intake: Intake;
  readonly #inbox: Inbox;
  readonly #deliveries = new Deliveries(limits.mqttTopicsInflightMax);
  readonly #ready = Promise.withResolvers<void>();
  readonly #over = Promise.withResolvers<string>();
  #isReady = false;
  #heardAt: number;
  #pinged = false;
  #ended = false;
  #cancelPulse: () => void = () => {};

  constructor(host: Host, options: LinkOptions, sink: Sink) {
    this.#host = host;
    this.#options = options;
    this.#heardAt = host.clock.monotonic();
    this.#inbox = new Inbox(host, sink, version4, this);
    this.#ready.promise.catch(() => {});
    const { url, ca } = options;
    const isTls = url.protocol === 'mqtts:';
    const place = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || (isTls ? 8883 : 1883)) };
    const socket = isTls
      ? tls.connect({ ...place, servername: net.isIP(place.host) ? '' : place.host, ...(ca !== undefined && { ca }) })
      : net.connect(place);
    this.#socket = socket;
    this.#intake = new Intake(socket, this);
    socket.setNoDelay(true);
    socket.once(isTls ? 'secureConnect' : 'connect', () => this.#connect());
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', (error) => this.end(error.message));
    socket.on('close', () => this.end('the broker has closed the connection'));
    socket.on('drain', () => this.resume());
    this.#pulse();
  }

  /** Resolves when it has subscribed. @throws Error that says why not */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves with why it has ended. */
  get over(): Promise<string> {
    return this.#over.promise;
  }

  get isReady(): boolean {
    return this.#isReady && !this.#ended;
  }

  /** Resolves when the broker has it; at QoS 0, when it is written. @throws Lost; what `signal` was aborted with */
  async publish({ topic, body, rule }: Outgoing, signal: AbortSignal): Promise<void> {
    if (!this.isReady) throw new Lost('the broker cannot be reached');
    // Not `Lost`: that would be tried again at once.
    if (this.#deliveries.isFull) throw new Error('the broker has too many unacknowledged messages');
    const waiting = rule.qos === 1 ? this.#deliveries.wait(signal) : undefined;
    this.write(
      version4.publish({
        topic,
        payload: body,
        retain: rule.retain,
        duplicate: false,
        packetId: waiting?.packetId ?? 0,
      }),
    );
    await waiting?.acknowledged;
  }

  /** Says goodbye. */
  close(): void {
    if (this.#isReady) this.write(disconnect);
    this.end('the adapter stops');
  }

  end(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelPulse();
    this.#ready.reject(new Error(why));
    this.#deliveries.close();
    this.#socket.end();
    this.#host.clock.after(limits.mqttLingerMs, () => this.#socket.destroy());
    this.#over.resolve(why);
  }

  giveUp(): void {
    this.end('the hub takes no more for now');
  }

  hold(until: Promise<unknown>): void {
    this.#intake.hold(until);
  }

  resume(): void {
    this.#intake.resume();
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  get isFull(): boolean {
    return this.#inbox.isFull;
  }

  takeNext(reader: PacketReader): boolean {
    if (!reader.next(limits.mqttTopicsListBytesMax)) return false;
    this.#packet(decodeServerPacket(reader.bytes, reader.start, reader.body, reader.end));
    return true;
  }

  broken(error: unknown): void {
    this.end((error as Error).message);
  }

  write(bytes: Buffer): void {
    if (!this.#ended) this.#socket.write(bytes);
  }

  #connect(): void {
    const { clientId, keepAliveSeconds, persistent, userName, password } = this.#options;
    this.write(
      connectBytes({
        ...{ clientId, keepalive: keepAliveSeconds, clean: !persistent },
        ...(userName !== undefined && { username: userName }),
        ...(password !== undefined && { password: Buffer.from(password) }),
      }),
    );
  }

  #receive(bytes: Buffer): void {
    if (this.#ended) return;
    this.#heardAt = this.#host.clock.monotonic();
    this.#pinged = false;
    this.#intake.receive(bytes);
  }

  #packet(packet: ServerPacket): void {
    switch (packet.kind) {
      case 'connack':
        if (packet.code !== 0)
          this.end(`the broker refuses the connection: ${refusals[packet.code] ?? `code ${packet.code}`}`);
        // Also to a session that is kept: its filters may be those of other settings.
        else this.write(subscribeBytes(1, this.#options.filters));
        break;
      case 'suback': {
        const refused = this.#options.filters.filter((_, at) => packet.granted[at] === 0x80);
        if (refused.length > 0)
          this.#host.log.warn('The broker does not let the bridge subscribe', { filters: refused.join(' ') });
        if (refused.length === this.#options.filters.length)
          this.end('the broker lets the bridge subscribe to nothing');
        else {
          this.#isReady = true;
          this.#ready.resolve();
        }
        break;
      }
      case 'publish':
        this.#inbox.publish(packet);
        break;
      case 'pubrel':
        this.#inbox.release(packet.packetId);
        break;
      case 'puback':
        this.#deliveries.acknowledged(packet.packetId);
        break;
      default:
        break;
    }
  }

  /** Sends PINGREQ after a silence, and gives the broker up that does not answer. */
  #pulse(): void {
    this.#cancelPulse = this.#host.clock.after(limits.mqttTopicsPulseMs, () => {
      const silentMs = this.#host.clock.monotonic() - this.#heardAt;
      const allowedMs = this.#isReady ? this.#options.keepAliveSeconds * 1000 : limits.mqttTopicsConnectMs;
      // A broker whose messages wait for the hub is not silent.
      if (silentMs >= allowedMs * (this.#isReady ? 1.5 : 1) && this.#intake.isReading) {
        this.end('the broker does not answer');
        return;
      }
      if (this.#isReady && silentMs >= allowedMs * 0.75 && !this.#pinged) {
        this.#pinged = true;
        this.write(pingreq);
      }
      this.#pulse();
    });
  }
}

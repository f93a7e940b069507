import net from 'node:net';
import tls from 'node:tls';
import mqtt, { type Packet } from 'mqtt-packet';
import { signSas } from '../../api/sas.ts';
import { limits } from '../../base/limits.ts';
import { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import { packetTypes } from '../../wire/mqtt/packets.ts';
import { Failure, networkFailure } from '../failure.ts';
import { OwnSide, type OwnSideEvents, type OwnSideOptions } from './own-side.ts';

/** Of one connection, not of the device: each connection has a new one. */
const TOKEN_LIFE_MS = 24 * 3600_000;
const KEEP_ALIVE_S = 60;
/** Nothing came for so long although pings were sent: the peer has vanished. */
const SILENCE_MS_MAX = 1.5 * KEEP_ALIVE_S * 1000;

export interface DeviceTarget {
  readonly hostName: string;
  readonly port: number;
  /** Absent = plain TCP. One context for all devices: parsing the CA for each costs more than the handshake. */
  readonly secureContext: tls.SecureContext | undefined;
  readonly serverName: string;
}

export interface DeviceIdentity {
  readonly id: string;
  /** Base64. */
  readonly key: string;
}

export interface DeviceEvents extends OwnSideEvents {
  /** QoS 1: the hub has taken a message, so long after it was first sent. */
  acknowledged(device: SimulatedDevice, latencyMs: number): void;
  /** There is room to send again. */
  ready(device: SimulatedDevice): void;
  /** The connection ended without being asked to; what is unacknowledged is sent again on the next one. */
  lost(device: SimulatedDevice, failure: Failure): void;
}

interface Unacknowledged {
  readonly bytes: Buffer;
  /** Monotonic milliseconds. */
  readonly sentAt: number;
}

/** One device over the real protocol (device reference 2): MQTT 3.1.1 with its own key's token, clean session. */
export class SimulatedDevice {
  readonly id: string;
  /** Messages that it should have sent by now and has not. */
  owed = 0;
  /** Messages that it has sent. */
  sent = 0;
  readonly #key: string;
  readonly #topic: string;
  readonly #qos: 0 | 1;
  readonly #windowMax: number;
  readonly #events: DeviceEvents;
  readonly #unacknowledged = new Map<number, Unacknowledged>();
  readonly #ownSide: OwnSide;
  #socket: net.Socket | undefined;
  #connected = false;
  #congested = false;
  #packetId = 0;
  #heardAt = 0;
  #saidAt = 0;

  constructor(
    identity: DeviceIdentity,
    options: { readonly qos: 0 | 1; readonly windowMax: number; readonly properties: string } & OwnSideOptions,
    events: DeviceEvents,
  ) {
    this.id = identity.id;
    this.#key = identity.key;
    this.#topic = `devices/${identity.id}/messages/events/${options.properties}`;
    this.#qos = options.qos;
    this.#windowMax = options.windowMax;
    this.#events = events;
    this.#ownSide = new OwnSide(options, events);
  }

  get connected(): boolean {
    return this.#connected;
  }

  get unacknowledged(): number {
    return this.#unacknowledged.size;
  }

  get unansweredReports(): number {
    return this.#ownSide.unanswered;
  }

  /** Whether `send` may be called: connected, room in the window and in the socket. */
  get canSend(): boolean {
    return this.#connected && !this.#congested && this.#unacknowledged.size < this.#windowMax;
  }

  /** @throws Failure when nothing answers, the hub refuses, or no answer came in time. */
  async connect(target: DeviceTarget): Promise<void> {
    const place = `${target.hostName}:${target.port}`;
    const password = await signSas({
      resource: `${target.hostName}/devices/${this.id}`,
      key: this.#key,
      expiresAt: Date.now() + TOKEN_LIFE_MS,
    });
    const socket = openSocket(target);
    this.#socket = socket;
    socket.setTimeout(limits.handshakeMs, () => socket.destroy(new Error('no answer in time')));
    await new Promise<void>((resolve, reject) => {
      let accepted = false;
      let reason: Failure | undefined;
      const reader = new PacketReader();
      const take = (): void => {
        const type = reader.bytes[reader.start] >> 4;
        if (accepted) {
          if (type === packetTypes.puback) this.#acknowledge(reader.bytes.readUInt16BE(reader.body));
          else if (type === packetTypes.publish) this.#hear(reader);
          return;
        }
        const code = type === packetTypes.connack ? reader.bytes[reader.body + 1] : undefined;
        if (code === 0) {
          accepted = true;
          socket.setTimeout(0);
          this.#begin();
          resolve();
        } else {
          reason ??= code === undefined ? new Failure('The hub speaks, but not MQTT.') : refusal(code);
          socket.destroy();
        }
      };
      socket.on('data', (chunk: Buffer) => {
        this.#heardAt = performance.now();
        try {
          reader.push(chunk);
          while (!socket.destroyed && reader.next(limits.mqttPacketBytesMax)) take();
          reader.settle();
        } catch (error) {
          socket.destroy(error as Error);
        }
      });
      socket.on('drain', () => {
        this.#congested = false;
        if (this.canSend) this.#events.ready(this);
      });
      socket.on('error', (error) => {
        reason ??= networkFailure(error, place);
      });
      socket.on('close', () => {
        const failure = reason ?? new Failure('The hub closed the connection.');
        if (!accepted) return reject(failure);
        // A socket that was closed on purpose is not this device's any more.
        if (this.#socket === socket) this.#end(failure);
      });
      socket.on(target.secureContext === undefined ? 'connect' : 'secureConnect', () => {
        socket.write(
          mqtt.generate({
            cmd: 'connect',
            protocolId: 'MQTT',
            protocolVersion: 4,
            clientId: this.id,
            clean: true,
            keepalive: KEEP_ALIVE_S,
            username: `${target.hostName}/${this.id}/?api-version=2021-04-12&DeviceClientType=mooring-simulate`,
            password: Buffer.from(password),
          }),
        );
      });
    });
  }

  /** Sends one message; only when `canSend`. */
  send(payload: string): void {
    const now = performance.now();
    const messageId = this.#nextId();
    const publish = {
      cmd: 'publish',
      topic: this.#topic,
      payload,
      qos: this.#qos,
      dup: false,
      retain: false,
      messageId,
    } as const;
    const bytes = mqtt.generate(publish);
    if (this.#qos === 1) this.#unacknowledged.set(messageId, { bytes, sentAt: now });
    this.sent += 1;
    this.#write(bytes, now);
  }

  /** Reports its state, if it is connected and the connection takes more; what is not reported now is not owed. */
  report(): boolean {
    if (!this.#connected || this.#congested) return false;
    this.#write(this.#ownSide.report(Date.now()), performance.now());
    return true;
  }

  /** Keeps the connection alive, and notices a peer that has gone silently. Called every few seconds. */
  tick(now: number): void {
    if (!this.#connected) return;
    if (now - this.#heardAt > SILENCE_MS_MAX) this.#socket?.destroy(new Error('the hub has fallen silent'));
    else if (now - Math.min(this.#saidAt, this.#heardAt) > (KEEP_ALIVE_S * 1000) / 2) this.#write(pingreq, now);
  }

  /** Says good-bye; resolves when the connection is gone, at the latest after a second. */
  close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#connected = false;
    if (socket === undefined || socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => socket.destroy(), 1000);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.end(disconnect);
    });
  }

  #begin(): void {
    this.#connected = true;
    this.#congested = false;
    const now = performance.now();
    this.#heardAt = now;
    const subscribe = this.#ownSide.begin(this.#nextId());
    if (subscribe !== undefined) this.#write(subscribe, now);
    for (const { bytes } of this.#unacknowledged.values()) {
      bytes[0] |= DUP;
      this.#write(bytes, now);
    }
  }

  #nextId(): number {
    this.#packetId = (this.#packetId % 0xffff) + 1;
    return this.#packetId;
  }

  /** At QoS 0, as it has subscribed. */
  #hear({ bytes, body, end }: PacketReader): void {
    const topicEnd = body + 2 + bytes.readUInt16BE(body);
    const answer = this.#ownSide.heard(bytes.toString('utf8', body + 2, topicEnd), bytes.subarray(topicEnd, end));
    if (answer !== undefined) this.#write(answer, performance.now());
  }

  #acknowledge(id: number): void {
    const entry = this.#unacknowledged.get(id);
    if (entry === undefined) return;
    this.#unacknowledged.delete(id);
    this.#events.acknowledged(this, performance.now() - entry.sentAt);
    if (this.canSend) this.#events.ready(this);
  }

  #write(bytes: Buffer, now: number): void {
    this.#saidAt = now;
    if (this.#socket?.write(bytes) === false) this.#congested = true;
  }

  #end(failure: Failure): void {
    this.#connected = false;
    this.#socket = undefined;
    this.#events.lost(this, failure);
  }
}

/** Bit 3 of a PUBLISH's first byte: it may have been sent before (MQTT 3.1.1 section 3.3.1.1). */
const DUP = 0x08;
const pingreq = mqtt.generate({ cmd: 'pingreq' });
const disconnect = mqtt.generate({ cmd: 'disconnect' } as Packet);

function openSocket({ hostName: host, port, secureContext, serverName }: DeviceTarget): net.Socket {
  if (secureContext === undefined) return net.connect({ host, port, noDelay: true });
  const socket = tls.connect({ host, port, secureContext, servername: serverName });
  socket.setNoDelay(true);
  return socket;
}

/** MQTT 3.1.1 section 3.2.2.3. */
function refusal(code: number): Failure {
  const meaning = ['', 'protocol version', 'client id', 'unavailable', 'bad credentials', 'not authorized'][code];
  return new Failure(`The hub refused the device (CONNACK ${code}: ${meaning ?? 'unknown'}).`, {
    code: `CONNACK${code}`,
    hint: code === 3 ? 'The hub is overloaded or starting; try again.' : 'The hub’s log says why.',
  });
}

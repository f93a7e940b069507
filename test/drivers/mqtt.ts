/**
 * A raw MQTT 3.1.1 client for tests: sends any bytes, awaits packets one by one, sees the end of the connection. What
 * the hub sends is read by the mqtt-packet library, not by the hub's own codec.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import mqttPacket, { type IConnectPacket, type IPublishPacket, type Packet } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';

/** As `until` waits: only a fault takes so long, however busy the machine is. */
const WAIT_MS_MAX = 25_000;

export interface MqttPlace {
  readonly port: number;
  readonly host?: string;
  /** PEM of the authority: TLS. Absent = plain. */
  readonly ca?: string;
  /** Client certificate with its intermediates, and its key, in PEM. */
  readonly cert?: string;
  readonly key?: string;
  /** A session of before, to be resumed. */
  readonly session?: Buffer;
  readonly maxVersion?: tls.SecureVersion;
}

export class MqttDriver {
  readonly socket: net.Socket;
  /** Resolves when the hub has closed the connection, whether politely or not. */
  readonly closed: Promise<void>;
  /** Bytes of each chunk that came, for tests of how packets share writes. */
  readonly chunks: Buffer[] = [];
  readonly #packets: Packet[] = [];
  #waiting: ((packet: Packet | undefined) => void)[] = [];
  #isClosed = false;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    parser.on('packet', (packet) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#packets.push(packet);
      else next(packet);
    });
    parser.on('error', (error) => socket.destroy(error));
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      parser.parse(chunk);
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true;
        for (const next of this.#waiting) next(undefined);
        this.#waiting = [];
        resolve();
      });
    });
  }

  /** Opens the connection and sends nothing. */
  static open({ port, host = '127.0.0.1', ca, ...more }: MqttPlace): Promise<MqttDriver> {
    return new Promise((resolve, reject) => {
      const socket =
        ca === undefined
          ? net.connect({ port, host, noDelay: true })
          : tls.connect({ port, host, ca, servername: 'localhost', ...more });
      socket.once('error', reject);
      socket.once(ca === undefined ? 'connect' : 'secureConnect', () => {
        socket.off('error', reject);
        resolve(new MqttDriver(socket));
      });
    });
  }

  /** Opens one over a WebSocket of the HTTPS port. */
  static async openWebSocket({ port, ca }: MqttPlace): Promise<MqttDriver> {
    const socket = new WebSocket(`wss://localhost:${port}/$iothub/websocket`, ['mqtt'], { ca });
    await once(socket, 'open');
    return new MqttDriver(createWebSocketStream(socket, { allowHalfOpen: false }) as unknown as net.Socket);
  }

  /** Opens a connection, sends a CONNECT and awaits its CONNACK. */
  static async connect(
    place: MqttPlace,
    fields: Partial<IConnectPacket>,
    opened: Promise<MqttDriver> = MqttDriver.open(place),
  ): Promise<{ readonly client: MqttDriver; readonly returnCode: number; readonly sessionPresent: boolean }> {
    const client = await opened;
    client.send(connectPacket(fields));
    const packet = await client.next('connack');
    return { client, returnCode: packet.returnCode ?? -1, sessionPresent: packet.sessionPresent };
  }

  send(what: Packet | Uint8Array): void {
    this.socket.write(what instanceof Uint8Array ? what : mqttPacket.generate(what));
  }

  publish(fields: Partial<IPublishPacket> & { readonly topic: string }): void {
    this.send(publishPacket(fields));
  }

  /**
   * The next packet, which must be of the kind (any, if none is given).
   * @throws Error when it is another one, or the connection ends first.
   */
  async next<Kind extends Packet['cmd']>(kind?: Kind): Promise<Packet & { cmd: Kind }> {
    const packet = this.#packets.shift() ?? (await this.#arrival(kind ?? 'packet'));
    if (packet === undefined) throw new Error(`the connection ended instead of a ${kind ?? 'packet'}`);
    if (kind !== undefined && packet.cmd !== kind) throw new Error(`a ${packet.cmd} came instead of a ${kind}`);
    return packet as Packet & { cmd: Kind };
  }

  /** Sends a PINGREQ and awaits its answer: everything sent before has then been handled. */
  async ping(): Promise<void> {
    this.send({ cmd: 'pingreq' });
    await this.next('pingresp');
  }

  /** Packets that have come and were not asked for. */
  get unread(): readonly Packet[] {
    return this.#packets;
  }

  /** Waits for the end of the connection. @throws Error when it does not come. */
  async untilClosed(): Promise<void> {
    await within(this.closed, 'the hub did not close the connection');
  }

  /** Says good-bye and waits for the hub to close. */
  async disconnect(): Promise<void> {
    this.send({ cmd: 'disconnect' });
    await this.untilClosed();
  }

  /** Breaks the connection off without a good-bye. */
  destroy(): void {
    this.socket.destroy();
  }

  #arrival(kind: string): Promise<Packet | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined);
    const arrival = new Promise<Packet | undefined>((resolve) => this.#waiting.push(resolve));
    return within(arrival, `no ${kind} came`);
  }
}

export function connectPacket(fields: Partial<IConnectPacket>): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 60,
    clientId: '',
    ...fields,
  };
}

export function publishPacket(fields: Partial<IPublishPacket> & { readonly topic: string }): IPublishPacket {
  return { cmd: 'publish', qos: 0, dup: false, retain: false, payload: Buffer.alloc(0), ...fields };
}

function within<Value>(promise: Promise<Value>, otherwise: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${otherwise} within ${WAIT_MS_MAX} ms`)), WAIT_MS_MAX);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

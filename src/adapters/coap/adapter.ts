/** The adapter: its listeners, and what they share. */
import { randomBytes, randomInt } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import type { Adapter, DatagramSocket, Host, TcpOptions, UdpOptions } from '../../gateway/index.ts';
import { codes } from '../../wire/coap/messages.ts';
import type { Carrier } from './datagrams/endpoint.ts';
import { MessageLayer } from './datagrams/messages.ts';
import { DtlsServer } from './dtls/server.ts';
import type { DtlsSession } from './dtls/session.ts';
import { Echo } from './echo.ts';
import { refusal, type Serve } from './exchange.ts';
import { OscoreContexts } from './oscore/contexts.ts';
import { OscoreNumbers } from './oscore/numbers.ts';
import { CoapServer } from './server.ts';
import { isPlainAllowed, type Settings } from './settings.ts';
import { proofOf, StreamConnection } from './streams/connection.ts';

const SWEEP_MS = 5_000;

export class CoapAdapter implements Adapter {
  readonly #host: Host;
  readonly #settings: Settings;
  readonly #server: CoapServer;
  #layers: MessageLayer[] = [];
  #dtls: DtlsServer | undefined;
  #oscore: OscoreContexts | undefined;
  #cancelSweep: () => void = () => {};

  constructor(host: Host, settings: Settings) {
    this.#host = host;
    this.#settings = settings;
    this.#server = new CoapServer(host, {
      acknowledge: settings.acknowledge,
      idleSeconds: settings.idleSeconds,
      tag: () => randomBytes(4),
      revoked: (device) => {
        this.#oscore?.revoked(device);
        this.#dtls?.revoked(device);
      },
    });
  }

  async start(): Promise<void> {
    const { udp, dtls, tcp, tls } = this.#settings;
    if (udp !== undefined) await this.#openUdp(udp);
    if (dtls !== undefined) await this.#openDtls(dtls);
    if (tcp !== undefined) await this.#openStream(tcp, 'CoAP over TCP is open');
    if (tls !== undefined) {
      const { certificateFile, keyFile, clientCertificates, sharedKeys, ...listener } = tls;
      const certificate =
        certificateFile !== undefined && keyFile !== undefined ? { certificateFile, keyFile } : 'host';
      const secured = { ...listener, tls: { certificate, clientCertificates, sharedKeys, alpn: ['coap'] } as const };
      await this.#openStream(secured, 'CoAP over TLS is open');
    }
    this.#sweepLater();
  }

  async stop(): Promise<void> {
    this.#cancelSweep();
    await this.#server.stop();
    this.#dtls?.stop();
  }

  async #openUdp(udp: NonNullable<Settings['udp']>): Promise<void> {
    const isPlain = isPlainAllowed(udp);
    const echo = new Echo(this.#host.clock);
    const served = udp.echo ? echo.before(this.#server.serve) : this.#server.serve;
    const plain: Serve = isPlain ? served : () => refusal(codes.unauthorized, 'OSCORE is required');
    let serve = plain;
    if (udp.oscore) {
      const numbers = new OscoreNumbers(this.#host);
      await numbers.open();
      this.#oscore = new OscoreContexts(this.#host, numbers, this.#server.serve, plain);
      serve = this.#oscore.serve;
    }
    const layer = this.#layer(serve);
    const socket: DatagramSocket = await this.#host.listeners.udp(udp, ({ bytes, peer, peerPort }) => {
      layer.receive(plainCarrier(socket, peer, peerPort), bufferOf(bytes));
    });
    this.#host.log.info('CoAP over UDP is open', {
      host: socket.host,
      port: socket.port,
      plain: isPlain,
      oscore: udp.oscore,
    });
  }

  async #openDtls(listener: UdpOptions): Promise<void> {
    const layer = this.#layer(this.#server.serve);
    const carriers = new Map<DtlsSession, Carrier>();
    let sessions = 0;
    const server = new DtlsServer({
      clock: this.#host.clock,
      send: (bytes, peer, peerPort) => socket.send(bytes, peer, peerPort),
      keyOf: (identity, peer) => this.#host.sharedKey(identity, peer),
      established: (session, peer) => {
        if (session.proved === undefined) return;
        const { identity: device, key } = session.proved;
        sessions++;
        carriers.set(session, {
          key: `dtls ${sessions}`,
          peer,
          via: 'dtls',
          proof: { kind: 'psk', device, key },
          send: (bytes) => session.send(bytes),
        });
      },
      received: (session, bytes) => {
        const carrier = carriers.get(session);
        if (carrier !== undefined) layer.receive(carrier, bytes);
      },
      ended: (session) => {
        const carrier = carriers.get(session);
        carriers.delete(session);
        if (carrier === undefined) return;
        layer.forget(carrier.key);
        this.#server.ended(carrier.key);
      },
      count: (what) => this.#host.metrics.count(what),
    });
    this.#dtls = server;
    const socket: DatagramSocket = await this.#host.listeners.udp(listener, ({ bytes, peer, peerPort }) =>
      server.receive(bufferOf(bytes), peer, peerPort),
    );
    this.#host.log.warn('CoAP over DTLS is open: it is experimental', { host: socket.host, port: socket.port });
  }

  async #openStream(options: TcpOptions, sentence: string): Promise<void> {
    const { silenceSeconds = limits.coapStreamSilenceMs / 1000 } = options;
    const listening = await this.#host.listeners.tcp({ ...options, silenceSeconds }, async (connection) => {
      const stream = new StreamConnection(connection, this.#server.serve, await proofOf(connection, this.#host));
      try {
        await stream.run();
      } finally {
        this.#server.ended(stream.key);
      }
    });
    this.#host.log.info(sentence, { host: listening.host, port: listening.port });
  }

  #layer(serve: Serve): MessageLayer {
    const layer = new MessageLayer(
      serve,
      {
        clock: this.#host.clock,
        chance: () => randomInt(1 << 24) / (1 << 24),
        messageId: () => randomInt(1 << 16),
        unacknowledged: new Map(),
      },
      (what) => this.#host.metrics.count(what),
    );
    this.#layers.push(layer);
    return layer;
  }

  #sweepLater(): void {
    this.#cancelSweep = this.#host.clock.after(SWEEP_MS, () => {
      for (const layer of this.#layers) layer.sweep();
      this.#dtls?.sweep();
      this.#server.sweep();
      this.#sweepLater();
    });
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function plainCarrier(socket: DatagramSocket, peer: string, peerPort: number): Carrier {
  return {
    key: `udp ${peer} ${peerPort}`,
    peer,
    via: 'udp',
    proof: undefined,
    send: (bytes) => socket.send(bytes, peer, peerPort),
  };
}

import net from 'node:net';
import tls from 'node:tls';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { offerText, readClientHello } from './client-hello.ts';
import type { ConnectionGate, Place, Proved } from './connection-gate.ts';
import { failureReason, type HandshakeFailure } from './handshake-failure.ts';
import { Handshakes } from './handshakes.ts';
import { readsShared, shareTlsReads, withSharedReads } from './shared-reads.ts';

export interface TlsIdentity {
  /** Certificates with their chains, one of each kind of key at most. */
  readonly cert: readonly string[];
  /** Their private keys, in the same order. */
  readonly key: readonly string[];
  /**
   * 48 bytes with which session tickets are sealed. Listeners of several threads on one port need the same, else a
   * client resumes its session only where it was before. Absent = the listener makes its own.
   */
  readonly ticketKeys?: Buffer;
}

/** Certificates and keys in PEM; the hub swaps them while it runs, and connections that are open stay so. */
export interface TlsSource {
  current(): TlsIdentity;
  /** Calls `listener` when `current` answers differently. The returned function ends it. */
  watch(listener: () => void): () => void;
}

export interface ListenerOptions {
  /** For the log and for messages: the setting's name, e.g. `mqttsPort`. */
  readonly name: string;
  /** 0 = any free port, the same one on every address. */
  readonly port: number;
  readonly addresses: readonly string[];
  /** Absent = plain TCP. */
  readonly tls?: TlsSource;
  /** Other listeners may share the port; the system spreads connections among them. Not on every platform. */
  readonly reusePort?: boolean;
  /** Sockets come as `SharedReader`, without `data` events, where the runtime lets them. */
  readonly sharedReads?: boolean;
  readonly log: Log;
  /** Bounds the connections of all listeners that share it; absent = the operator's port, and tests. */
  readonly gate?: ConnectionGate;
  /** Hears of every TLS handshake that came to nothing, except for a peer that simply left. */
  readonly failed?: (failure: HandshakeFailure) => void;
  /**
   * The socket is open (TLS: after the handshake) and has an error handler; the callee owns it from here.
   * @param proved to be called when a client has proved who it is.
   * @param peer the address, without its port. A socket that is asked for it keeps one of its own.
   */
  accept(socket: net.Socket, proved: Proved, peer: string): void;
}

/** A port that accepts, on one or more addresses. */
export interface Listener {
  readonly port: number;
  /** Takes no more connections; those that are open live on. */
  close(): Promise<void>;
}

const TRIES_FOR_ONE_PORT = 20;

// The runtime reads it from its own module, where it may be set; its types do not know that.
(tls as { CLIENT_RENEG_LIMIT: number }).CLIENT_RENEG_LIMIT = limits.tlsRenegotiationsMax;

/**
 * Opens the port on every address. TLS 1.2 and 1.3 (device reference 1.4: one SDK speaks 1.2 only); a client
 * certificate is asked for and never required.
 * @throws Error whose message names the setting, the address and what to do.
 */
export async function listen(options: ListenerOptions): Promise<Listener> {
  for (let attempt = 1; ; attempt++) {
    const servers: net.Server[] = [];
    try {
      let port = options.port;
      for (const address of options.addresses) {
        const server = createServer(options);
        await bind(server, port, address, options.reusePort === true);
        servers.push(server);
        port = (server.address() as net.AddressInfo).port;
      }
      return { port, close: () => closeAll(servers) };
    } catch (error) {
      await closeAll(servers);
      const code = (error as NodeJS.ErrnoException).code;
      if (options.port === 0 && code === 'EADDRINUSE' && attempt < TRIES_FOR_ONE_PORT) continue;
      throw new Error(explain(options, code, error), { cause: error });
    }
  }
}

/**
 * Finds the port for listeners that will share it: free now, for this program alone, on every address. Sharing hides
 * that another program, also another hub, holds the port; so it is opened once without.
 * @throws Error as `listen`
 */
export async function findPort(options: Pick<ListenerOptions, 'name' | 'port' | 'addresses' | 'log'>): Promise<number> {
  const listener = await listen({ ...options, accept: (socket) => socket.destroy() });
  await listener.close();
  return listener.port;
}

/** Whether listeners can share a port here. */
export async function canSharePorts(): Promise<boolean> {
  const server = net.createServer();
  try {
    await bind(server, 0, '127.0.0.1', true);
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

function createServer(options: ListenerOptions): net.Server {
  const failed = (error: Error): void =>
    options.log.debug({ listener: options.name, error: error.message }, 'socket error');
  const hand = (socket: net.Socket, proved: Proved, peer: string): void => {
    socket.on('error', failed);
    socket.setNoDelay(true);
    options.accept(socket, proved, peer);
  };
  return options.tls === undefined ? plainServer(options, hand) : tlsServer(options, options.tls, hand);
}

type Hand = ListenerOptions['accept'];

function plainServer({ gate, sharedReads }: ListenerOptions, hand: Hand): net.Server {
  return net.createServer({ noDelay: true }, (accepted) => {
    // Asked for before the move: what a socket has once answered it keeps.
    const peer = accepted.remoteAddress ?? '';
    const socket = sharedReads === true ? withSharedReads(accepted) : accepted;
    if (gate === undefined) {
      hand(socket, nobody, peer);
      return;
    }
    const place = admitted(gate, socket, peer);
    if (place !== undefined) hand(socket, (by) => place.proved(by), peer);
  });
}

/** Lets the connection in, and takes care that its place is left. */
function admitted(gate: ConnectionGate, socket: net.Socket, peer: string): Place | undefined {
  const place = gate.admit(socket, peer);
  if (place === undefined) return undefined;
  if (readsShared(socket)) socket.place = place;
  else socket.once('close', () => place.leave());
  return place;
}

/** A connection whose handshake is not done. */
interface Newcomer {
  readonly raw: net.Socket;
  readonly peer: string;
  readonly proved: Proved;
  /** The handshake is done. */
  secured(): void;
  /** What it has said first, as far as it is kept. */
  hello: Buffer | undefined;
}

/** By the raw connection: TLS hands over another socket than the one that came. */
class Newcomers {
  readonly #byEnds = new Map<string, Newcomer>();
  readonly #bySocket = new WeakMap<net.Socket, Newcomer>();

  add(newcomer: Newcomer): void {
    const ends = endsOf(newcomer.raw);
    this.#byEnds.set(ends, newcomer);
    this.#bySocket.set(newcomer.raw, newcomer);
    newcomer.raw.once('close', () => {
      // The peer may have come again from the same port before this one was noticed to be gone.
      if (this.#byEnds.get(ends) === newcomer) this.#byEnds.delete(ends);
    });
  }

  /** Its handshake is done: nothing more is kept of it. */
  take(socket: tls.TLSSocket): Newcomer | undefined {
    const ends = endsOf(socket);
    const found = this.#byEnds.get(ends);
    this.#byEnds.delete(ends);
    if (found === undefined) return undefined;
    this.#bySocket.delete(found.raw);
    // Its functions live on with the connection, and it with them.
    found.hello = undefined;
    return found;
  }

  /** Its handshake has failed, and mostly its ends are not known any more. `_parent` is a field of the runtime without a document. */
  failed(socket: tls.TLSSocket): Newcomer | undefined {
    const { _parent: raw } = socket as { readonly _parent?: net.Socket | null };
    return (raw && this.#bySocket.get(raw)) ?? this.#byEnds.get(endsOf(socket));
  }
}

function tlsServer(options: ListenerOptions, source: TlsSource, hand: Hand): net.Server {
  const { sharedReads } = options;
  const newcomers = new Newcomers();
  const server = tls.createServer(
    {
      ...contextOf(source),
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: limits.handshakeMs,
    },
    (socket) => {
      const newcomer = newcomers.take(socket);
      newcomer?.secured();
      if (sharedReads === true) shareTlsReads(socket);
      hand(socket, newcomer?.proved ?? nobody, socket.remoteAddress ?? '');
    },
  );
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    const newcomer = newcomers.failed(socket);
    const code = error.code ?? 'unknown';
    const offer = newcomer?.hello && readClientHello(newcomer.hello);
    options.failed?.({
      port: options.name,
      peer: newcomer?.peer ?? socket.remoteAddress ?? '',
      reason: failureReason(code),
      code,
      ...(offer !== undefined && { offered: offerText(offer) }),
    });
    options.log.debug({ listener: options.name, peer: newcomer?.peer, error: error.message }, 'TLS handshake failed');
  });
  const unwatch = source.watch(() => server.setSecureContext(contextOf(source)));
  server.on('close', unwatch);
  welcome(server, options.gate, newcomers);
  return server;
}

/**
 * Shows every connection to the gate before anybody else sees it, lets their handshakes begin one after the other, and looks at
 * what each says first.
 */
function welcome(server: net.Server, gate: ConnectionGate | undefined, newcomers: Newcomers): void {
  const handshakes = new Handshakes();
  const listeners = server.listeners('connection') as ((socket: net.Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (raw: net.Socket) => {
    const peer = raw.remoteAddress ?? '';
    const place = gate && admitted(gate, raw, peer);
    if (gate !== undefined && place === undefined) return;
    const newcomer: Newcomer = {
      ...{ raw, peer, hello: undefined },
      proved(by) {
        handshakes.settled(raw);
        place?.proved(by);
      },
      secured: () => handshakes.done(raw),
    };
    newcomers.add(newcomer);
    handshakes.add(raw, peer, () => {
      newcomer.hello = beginningOf(raw);
      for (const listener of listeners) listener.call(server, raw);
    });
  });
}

/** A copy of the first bytes that wait in a socket. They stay in it: TLS takes what was read already as if it came now. */
function beginningOf(socket: net.Socket): Buffer | undefined {
  const bytes: Buffer | null = socket.read();
  if (bytes === null) return undefined;
  socket.unshift(bytes);
  return Buffer.from(bytes.subarray(0, limits.clientHelloBytesMax));
}

const endsOf = ({ remoteAddress, remotePort, localAddress }: net.Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress}`;

function nobody(): void {}

/** The runtime's own id differs from one program file to the next, and so between threads of one hub. */
const SESSION_ID_CONTEXT = 'mooring';

/**
 * In the order of the hub's preference, which is what counts. With a certificate of each kind of key, the first suite of TLS 1.2
 * that both sides know also says which certificate is shown: an ECDSA signature costs a tenth of one by RSA. All exchange keys
 * by ECDHE; suites in which RSA itself carries the secret are not offered: an attacker who learns the key later could read what was said.
 */
const CIPHERS = [
  ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  ...['ECDSA', 'RSA'].flatMap((kind) => [
    `ECDHE-${kind}-AES128-GCM-SHA256`,
    `ECDHE-${kind}-AES256-GCM-SHA384`,
    `ECDHE-${kind}-CHACHA20-POLY1305`,
  ]),
  ...['ECDHE-ECDSA-AES128-CCM', 'ECDHE-ECDSA-AES256-CCM'],
  ...['ECDSA', 'RSA'].flatMap((kind) => [
    `ECDHE-${kind}-AES128-SHA256`,
    `ECDHE-${kind}-AES256-SHA384`,
    `ECDHE-${kind}-AES128-SHA`,
    `ECDHE-${kind}-AES256-SHA`,
  ]),
].join(':');

/** What the runtime needs to speak TLS as all ports of the hub do. */
export function contextOf(source: TlsSource): tls.SecureContextOptions {
  const { cert, key, ...rest } = source.current();
  return {
    ...rest,
    cert: [...cert],
    key: [...key],
    ciphers: CIPHERS,
    honorCipherOrder: true,
    minVersion: 'TLSv1.2',
    sessionIdContext: SESSION_ID_CONTEXT,
  };
}

function bind(server: net.Server, port: number, address: string, reusePort: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const backlog = limits.listenBacklogMax;
    server.listen({ port, host: address, ipv6Only: address.includes(':'), reusePort, backlog }, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve();
    });
  });
}

/** Stops listening. The runtime tells of a server's close only after its last connection, which may live on for hours. */
async function closeAll(servers: readonly net.Server[]): Promise<void> {
  for (const server of servers) server.close();
  // The sockets that listened are given back at the end of this turn of the loop.
  await new Promise<void>((resolve) => setImmediate(resolve));
}

function explain(options: ListenerOptions, code: string | undefined, error: unknown): string {
  const place = `${options.name}: port ${options.port} on ${options.addresses.join(', ')}`;
  if (code === 'EADDRINUSE') return `${place} is taken by another program. Choose another one, or 0 for any free port.`;
  if (code === 'EACCES') return `${place} may not be bound by this user. Choose a port over 1023.`;
  return `${place} could not be opened: ${error instanceof Error ? error.message : String(error)}`;
}

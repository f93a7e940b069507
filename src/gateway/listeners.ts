/** The listeners of one adapter, the same in every host: admission, TLS, bounds, and an end for all of them. */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { addressShare } from '../base/address.ts';
import { limits } from '../base/limits.ts';
import { openDatagrams } from './datagrams.ts';
import { PskGate } from './psk-gate.ts';
import type { Connection, Listeners, Listening, TcpOptions, TlsOptions } from './sockets.ts';
import type { Log } from './types.ts';

/** Certificates with their chains and their keys, in PEM. */
export interface TlsMaterial {
  readonly cert: readonly string[];
  readonly key: readonly string[];
}

export interface ListenersParts {
  readonly log: Log;
  /** What `certificate: 'host'` shows; undefined = the host has none. Asked for with each handshake, for it may change. */
  readonly certificate: () => TlsMaterial | undefined;
  readonly sharedKey: (identity: string, peer: string) => Promise<Uint8Array | undefined>;
  /** Counts what was refused, by a word: `connections`, `connections_of_address`, `handshakes`, `output`, `silence`, `datagrams`. */
  readonly count: (what: string) => void;
}

export interface OpenListeners extends Listeners {
  /** Takes nothing new; what is open lives on. */
  stopAccepting(): Promise<void>;
  /** Ends everything. */
  close(): Promise<void>;
}

interface Open {
  stop(): Promise<void>;
  close(): Promise<void>;
}

export function createListeners(parts: ListenersParts): OpenListeners {
  const open = new Set<Open>();
  const kept = <L extends Listening & { readonly stop: () => Promise<void> }>(listening: L): L => {
    open.add(listening);
    const close = (): Promise<void> => {
      open.delete(listening);
      return listening.close();
    };
    return { ...listening, close };
  };
  return {
    tcp: async (options, serve) => kept(await openTcp(options, serve, parts)),
    udp: async (options, serve) => kept(await openDatagrams(options, serve, parts)),
    async stopAccepting() {
      await Promise.all([...open].map((each) => each.stop()));
    },
    async close() {
      await Promise.all([...open].map((each) => each.close()));
      open.clear();
    },
  };
}

type Serve = (connection: Connection) => Promise<void> | void;

async function openTcp(
  options: TcpOptions,
  serve: Serve,
  parts: ListenersParts,
): Promise<Listening & { stop(): Promise<void> }> {
  const { log, count } = parts;
  const { connectionsMax = limits.adapterConnectionsMax } = options;
  const { connectionsPerAddressMax = limits.adapterConnectionsPerAddressMax } = options;
  const sockets = new Map<net.Socket, { bytes: number; since: number }>();
  const byAddress = new Map<string, number>();

  const hand = (stream: Duplex, socket: net.Socket, proved: Partial<Connection>): void => {
    const facts = { peer: peerOf(socket), peerPort: socket.remotePort ?? 0, certificates: [], ...proved };
    const connection = Object.assign(stream, facts) as Connection;
    connection.on('error', () => {});
    writeTogether(connection);
    connection.once('finish', () => linger(connection));
    served(serve, connection).catch((error: unknown) => {
      if (!connection.destroyed)
        log.warn('a connection could not be served', { peer: facts.peer, error: textOf(error) });
      connection.destroy();
    });
  };
  const shake = options.tls === undefined ? undefined : handshakes(options.tls, options, parts, hand);
  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const share = addressShare(peerOf(socket));
    const ofAddress = byAddress.get(share) ?? 0;
    socket.on('error', () => {});
    if (sockets.size >= connectionsMax || ofAddress >= connectionsPerAddressMax) {
      count(ofAddress >= connectionsPerAddressMax ? 'connections_of_address' : 'connections');
      socket.destroy();
      return;
    }
    sockets.set(socket, { bytes: 0, since: performance.now() });
    byAddress.set(share, ofAddress + 1);
    socket.once('close', () => {
      sockets.delete(socket);
      const left = (byAddress.get(share) ?? 1) - 1;
      if (left === 0) byAddress.delete(share);
      else byAddress.set(share, left);
    });
    if (shake === undefined) hand(socket, socket, {});
    else shake(socket);
  });

  const sweep = setInterval(() => {
    const now = performance.now();
    for (const [socket, seen] of sockets) {
      if (socket.bytesRead !== seen.bytes) Object.assign(seen, { bytes: socket.bytesRead, since: now });
      const isSilent = options.silenceSeconds !== undefined && now - seen.since > options.silenceSeconds * 1000;
      if (!isSilent && socket.writableLength <= limits.adapterOutputBytesMax) continue;
      count(isSilent ? 'silence' : 'output');
      socket.destroy();
    }
  }, limits.adapterSweepMs);
  sweep.unref();

  const { host = '127.0.0.1', port } = options;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((error) => {
    clearInterval(sweep);
    throw error;
  });
  server.on('error', (error) => log.warn('a listener failed', { port, error: error.message }));
  const stop = async (): Promise<void> => {
    if (server.listening) server.close();
  };
  return {
    host,
    port: (server.address() as net.AddressInfo).port,
    stop,
    async close() {
      const closed = new Promise((resolve) => (server.listening ? server.once('close', resolve) : resolve(undefined)));
      await stop();
      clearInterval(sweep);
      for (const socket of sockets.keys()) socket.destroy();
      await closed;
    },
  };
}

/** The adapter has said its last word: the peer gets time to read it, and what it still sends is ignored. */
function linger(connection: Connection): void {
  connection.resume();
  const timer = setTimeout(() => connection.destroy(), limits.adapterLingerMs);
  connection.once('close', () => clearTimeout(timer));
}

/** What is written in one turn of the loop is one write of the system: adapters answer many messages at a time. */
function writeTogether(connection: Connection): void {
  const write = connection.write.bind(connection) as (...args: unknown[]) => boolean;
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    connection.uncork();
  };
  connection.write = (...args: unknown[]): boolean => {
    if (!isCorked) {
      isCorked = true;
      connection.cork();
      process.nextTick(uncork);
    }
    return write(...args);
  };
}

/** Suites with pre-shared keys beside the usual ones; the runtime has them off. */
const PSK_CIPHERS = `PSK-AES128-CCM8:PSK-AES128-CCM:PSK+AESGCM:ECDHE-PSK-CHACHA20-POLY1305:${tls.DEFAULT_CIPHERS.replace(':!PSK', '')}`;

/** What takes an admitted socket through its handshake, and hands it on. */
function handshakes(
  wanted: TlsOptions,
  { handshakeSeconds }: TcpOptions,
  { certificate, sharedKey, count, log }: ListenersParts,
  hand: (stream: Duplex, socket: net.Socket, proved: Partial<Connection>) => void,
): (socket: net.Socket) => void {
  const { clientCertificates = false, sharedKeys = false, alpn } = wanted;
  const timeoutMs = handshakeSeconds === undefined ? limits.adapterHandshakeMs : handshakeSeconds * 1000;
  let material = materialOf(wanted, certificate);
  const makeContext = (): tls.SecureContext =>
    tls.createSecureContext({
      ...{ cert: [...material.cert], key: [...material.key], minVersion: 'TLSv1.2' },
      // Without it a listener that asks for certificates ends each connection that resumes a session, instead of resuming it.
      sessionIdContext: 'mooring-adapter',
      // The runtime asks for pre-shared keys in 1.2 only.
      ...(sharedKeys && { maxVersion: 'TLSv1.2', ciphers: PSK_CIPHERS }),
    });
  let context = makeContext();
  /** The certificate may have been renewed since. */
  const currentContext = (): tls.SecureContext => {
    try {
      const next = materialOf(wanted, certificate);
      if (next.cert.join() !== material.cert.join()) {
        material = next;
        context = makeContext();
      }
    } catch (error) {
      log.warn('the certificate of a listener cannot be read; the previous one is shown', { error: textOf(error) });
    }
    return context;
  };
  return (socket) => {
    const peer = peerOf(socket);
    let shown: { readonly identity: string; readonly key: Uint8Array | undefined } | undefined;
    const prepare = async (identity: string): Promise<void> => {
      shown = { identity, key: await sharedKey(identity, peer) };
    };
    const options = {
      isServer: true,
      secureContext: currentContext(),
      ...(clientCertificates && { requestCert: true, rejectUnauthorized: false }),
      ...(alpn !== undefined && { ALPNProtocols: [...alpn] }),
      ...(sharedKeys && {
        pskCallback: (_: unknown, identity: string) => (shown?.identity === identity ? (shown.key ?? null) : null),
      }),
    };
    // Any stream of bytes will do, which its types do not say.
    const under = (sharedKeys ? new PskGate(socket, prepare) : socket) as net.Socket;
    const secure = new tls.TLSSocket(under, options as tls.TLSSocketOptions);
    const failed = (): void => {
      clearTimeout(timer);
      count('handshakes');
      socket.destroy();
    };
    const timer = setTimeout(failed, timeoutMs);
    under.on('error', () => {});
    secure.once('error', failed);
    secure.once('close', () => clearTimeout(timer));
    secure.once('secure', () => {
      clearTimeout(timer);
      secure.off('error', failed);
      const certificates = clientCertificates ? chainOf(secure) : [];
      const hasProvedKey = shown?.key !== undefined && secure.getCipher().name.includes('PSK');
      hand(secure, socket, {
        certificates,
        ...(hasProvedKey && { pskIdentity: shown?.identity }),
        ...(typeof secure.alpnProtocol === 'string' && { alpn: secure.alpnProtocol }),
      });
    });
  };
}

function materialOf(wanted: TlsOptions, certificate: ListenersParts['certificate']): TlsMaterial {
  if (wanted.certificate === 'none') return { cert: [], key: [] };
  if (wanted.certificate !== 'host') {
    const { certificateFile, keyFile } = wanted.certificate;
    return { cert: [readFileSync(certificateFile, 'utf8')], key: [readFileSync(keyFile, 'utf8')] };
  }
  const found = certificate();
  if (found === undefined) {
    const hub = 'in the hub set "hubCertificate": true beside the adapter\'s settings';
    const gateway = 'in a gateway its certificateFile and keyFile';
    throw new Error(`The host has no certificate for this adapter: ${hub}, ${gateway}, or name files in the settings.`);
  }
  return found;
}

/** The leaf and what the client sent with it; a root names itself as its issuer. */
function chainOf(secure: tls.TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<string>();
  for (let next = secure.getPeerX509Certificate(); next !== undefined; next = next.issuerCertificate) {
    if (seen.has(next.fingerprint256) || chain.length > limits.certificateIntermediatesMax + 1) break;
    seen.add(next.fingerprint256);
    chain.push(next.raw);
  }
  return chain;
}

/** What `serve` throws at once is a rejection too. */
const served = async (serve: Serve, connection: Connection): Promise<void> => serve(connection);

const peerOf = (socket: net.Socket): string => (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Where other nodes open links to this one. Nobody is heard that has no certificate of a node. */
import type net from 'node:net';
import tls from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { ThreadLink } from '../threads/calls.ts';
import { openSocketLink } from '../threads/socket-link.ts';
import { isNode, type NodeTls } from './node-tls.ts';

export interface NodePortParts {
  /** 0 = any free one, the same on every address. */
  readonly port: number;
  readonly addresses: readonly string[];
  readonly tls: NodeTls;
  readonly clock: Clock;
  readonly log: Log;
  /** A link of a node, which has not said yet which it is. It has to within `nodeDialMs`, by `greeted`. */
  accept(link: ThreadLink, greeted: () => void): void;
}

export interface NodePort {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws Error whose message names the setting and what to do */
export async function openNodePort(parts: NodePortParts): Promise<NodePort> {
  const { addresses, tls: nodeTls, clock, log } = parts;
  const open = new Set<net.Socket>();
  /** By the peer's address and port: the handshake's socket is another object than the one behind it. */
  const unproved = new Set<string>();
  const accept = (socket: tls.TLSSocket): void => {
    open.add(socket);
    unproved.delete(peerOf(socket));
    socket.once('close', () => open.delete(socket));
    if (!isNode(socket.getPeerCertificate())) {
      log.warn({ peer: socket.remoteAddress }, 'who came to the port of nodes has no certificate of a node');
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    const late = clock.after(limits.nodeDialMs, () => socket.destroy());
    socket.once('close', late);
    parts.accept(openSocketLink(socket), late);
  };
  const servers: tls.Server[] = [];
  let { port } = parts;
  const renewal = setInterval(() => {
    nodeTls.renew().then(
      (isNew) => isNew && servers.forEach((server) => void server.setSecureContext(nodeTls.server())),
      (error: unknown) => log.error({ error }, 'the certificate of this node could not be made again'),
    );
  }, limits.nodeCertificateMs / 30);
  renewal.unref();
  const close = async (): Promise<void> => {
    clearInterval(renewal);
    for (const socket of open) socket.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => void server.close(resolve))));
  };
  try {
    for (const host of addresses) {
      const server = tls.createServer({ ...nodeTls.server(), handshakeTimeout: limits.nodeDialMs }, accept);
      server.on('tlsClientError', (error, socket) => {
        log.debug({ error: error.message }, 'a handshake at the port of nodes has failed');
        socket.destroy();
      });
      // Whoever reaches the port can begin a handshake.
      server.on('connection', (socket: net.Socket) => {
        const peer = peerOf(socket);
        if (unproved.size >= limits.nodeUnprovedLinksMax) socket.destroy();
        else unproved.add(peer);
        socket.once('close', () => unproved.delete(peer));
      });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port }, resolve);
      });
      servers.push(server);
      port = (server.address() as net.AddressInfo).port;
    }
  } catch (error) {
    await close();
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'EADDRINUSE' ? 'something else listens there' : (error as Error).message;
    throw new Error(`nodePort: port ${port} cannot be opened (${reason}). Name another port, or 0 for any free one.`, {
      cause: error,
    });
  }
  return { port, close };
}

const peerOf = ({ remoteAddress, remotePort }: net.Socket): string => `${remoteAddress} ${remotePort}`;

/** A UDP listener of an adapter: as many datagrams of all senders, and of one address, as are allowed in a second. */
import dgram from 'node:dgram';
import dns from 'node:dns';
import net from 'node:net';
import { addressShare } from '../base/address.ts';
import { limits } from '../base/limits.ts';
import type { Datagram, DatagramSocket, UdpOptions } from './sockets.ts';
import type { Log } from './types.ts';

export async function openDatagrams(
  options: UdpOptions,
  serve: (datagram: Datagram) => Promise<void> | void,
  { log, count }: { readonly log: Log; readonly count: (what: string) => void },
): Promise<DatagramSocket & { stop(): Promise<void> }> {
  const { host = '127.0.0.1', port } = options;
  const { datagramsPerSecondMax: max = limits.adapterDatagramsPerSecond } = options;
  const { datagramsPerAddressPerSecondMax: ofOneMax = limits.adapterDatagramsPerAddressPerSecond } = options;
  const seen = new Map<string, number>();
  let all = 0;
  let second = 0;
  let isStopped = false;

  /** Counts it in the running second. Addresses beyond those that are told apart are one. */
  const isAllowed = (peer: string): boolean => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      second = now;
      all = 0;
      seen.clear();
    }
    const share = addressShare(peer);
    const name = seen.has(share) || seen.size < limits.adapterDatagramAddressesMax ? share : '';
    const ofOne = (seen.get(name) ?? 0) + 1;
    seen.set(name, ofOne);
    return ++all <= max && ofOne <= ofOneMax;
  };

  const failed = (peer: string, error: unknown): void =>
    log.warn('a datagram could not be served', { peer, error: error instanceof Error ? error.message : String(error) });
  const family = host.includes(':') ? 6 : 4;
  const socket = dgram.createSocket({ type: `udp${family}`, lookup: addressOrName });
  socket.on('message', (bytes, { address: peer, port: peerPort }) => {
    if (isStopped) return;
    if (!isAllowed(peer)) {
      count('datagrams');
      return;
    }
    try {
      const served = serve({ bytes, peer, peerPort });
      if (served instanceof Promise) served.catch((error: unknown) => failed(peer, error));
    } catch (error) {
      failed(peer, error);
    }
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, host, () => {
      socket.off('error', reject);
      resolve();
    });
  });
  socket.on('error', (error) => log.warn('a datagram socket failed', { port, error: error.message }));
  let isOpen = true;
  return {
    host,
    port: socket.address().port,
    send(bytes, peer, peerPort) {
      // Without a callback, what the system does not take is lost without a word.
      if (isOpen) socket.send(bytes, peerPort, peer);
    },
    async stop() {
      isStopped = true;
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await new Promise<void>((resolve) => socket.close(() => resolve()));
    },
  };
}

/** Peers are addresses, which need no look-up: the runtime would make one of each datagram that is sent. */
const addressOrName: NonNullable<dgram.SocketOptions['lookup']> = (host, options, callback) => {
  const family = net.isIP(host);
  if (family === 0) dns.lookup(host, options, callback);
  else callback(null, host, family);
};

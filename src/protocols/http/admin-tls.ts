/**
 * TLS on the admin port, for the portal: a client that begins with a TLS handshake gets it, any other is read as plain
 * HTTP, as probes and scrapers speak it. The first byte tells them apart: a handshake record has 22 there (RFC 8446 section
 * 5.1), a request a letter.
 */
import type net from 'node:net';
import tls from 'node:tls';
import { limits } from '../../base/limits.ts';
import { contextOf } from '../shared/listener.ts';
import type { AdminDoorOptions } from './options.ts';

const HANDSHAKE = 22;

/** @param accept owns the socket that it is given, whichever it is */
export function secured(
  { tls: source, hub, log }: AdminDoorOptions,
  accept: (socket: net.Socket) => void,
): (socket: net.Socket) => void {
  if (source === undefined) return accept;
  const server = tls.createServer({ ...contextOf(source), handshakeTimeout: limits.handshakeMs }, (socket) => {
    socket.on('error', (error) => log.debug({ listener: 'adminPort', error: error.message }, 'socket error'));
    accept(socket);
  });
  server.on('tlsClientError', (error) =>
    log.debug({ listener: 'adminPort', error: error.message }, 'TLS handshake failed'),
  );
  source.watch(() => server.setSecureContext(contextOf(source)));
  return (socket) => {
    // One that says nothing does not stay.
    const cancel = hub.clock.after(limits.handshakeMs, () => socket.destroy());
    socket.once('close', cancel);
    socket.once('readable', () => {
      cancel();
      const first: Buffer | null = socket.read();
      if (first === null) {
        socket.destroy();
        return;
      }
      socket.unshift(first);
      if (first[0] === HANDSHAKE) server.emit('connection', socket);
      else accept(socket);
    });
  };
}

import type http from 'node:http';
import type net from 'node:net';
import type { Proved } from './connection-gate.ts';
import type { Door } from './door.ts';

/**
 * The seam by which one HTTPS port serves the WebSocket forms of other protocols: the HTTP room finds the entry, the
 * room of the protocol answers the handshake. `server/compose.ts` hands the entries over.
 */
export interface UpgradeRoute {
  /** In lower case, e.g. `/$iothub/websocket`. The query string does not count (device reference 1.2). */
  readonly path: string;
  /** Lower-case WebSocket sub-protocols, e.g. `mqtt`; compared without case, to be echoed in the offered spelling. */
  readonly subprotocols: readonly string[];
  /**
   * Owns the socket from here: the handshake is not answered yet, `head` is what followed the request's header.
   * @param proved to be called when a client has proved who it is.
   */
  accept(request: http.IncomingMessage, socket: net.Socket, head: Buffer, proved: Proved): void;
}

/** All connections that a protocol has by WebSocket. The port is the HTTPS door's, and so is the end of accepting. */
export interface WebSockets extends Pick<Door, 'drain' | 'connections'> {
  readonly route: UpgradeRoute;
}

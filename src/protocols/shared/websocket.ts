/**
 * A WebSocket (RFC 6455) as a stream of bytes, for protocols that have frames of their own: one message may hold several
 * of those, or a part of one. Only binary messages are bytes; a text message ends the connection with code 1003.
 *
 * Both directions hold bounded memory: no message is read while the stream's reader is behind, none is larger than
 * `websocketMessageBytesMax`, and what is written counts as waiting until the socket has taken it.
 */
import type http from 'node:http';
import type net from 'node:net';
import { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { limits } from '../../base/limits.ts';
import type { PeerCertificate } from '../../core/identity/types.ts';
import type { Proved } from './connection-gate.ts';
import { peerCertificate } from './peer-certificate.ts';
import type { WebSockets } from './upgrade.ts';

/** Close codes, RFC 6455 section 7.4.1. */
const NORMAL_CLOSURE = 1000;
const UNSUPPORTED_DATA = 1003;

const options = {
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  autoPong: false,
  skipUTF8Validation: true,
  maxPayload: limits.websocketMessageBytesMax,
  maxFragments: limits.websocketFragmentsMax,
  maxBufferedChunks: limits.websocketChunksMax,
  maxPendingAutoPongs: 1,
  allowSynchronousEvents: true,
  closeTimeout: limits.websocketCloseMs,
};

/** Where a WebSocket comes from, as a protocol's connections want to know it. */
export interface WebSocketOrigin<Protocol extends string> {
  readonly protocol: Protocol;
  /** Address without its port. */
  readonly peer: string;
  /** The client certificate of the TLS layer. */
  certificate(): PeerCertificate | undefined;
  /** A client has proved who it is. */
  readonly proved: Proved;
}

/** All connections of a protocol, which takes any stream of bytes. */
export interface StreamConnections<Protocol extends string> {
  accept(stream: Duplex, origin: WebSocketOrigin<Protocol>): void;
  count(): number;
  drain(withinMs?: number): Promise<void>;
}

/** Serves `connections` by the WebSockets of one path and any of its sub-protocols (lower case). */
export function webSockets<Protocol extends string>(
  connections: StreamConnections<Protocol>,
  {
    protocol,
    path,
    subprotocols,
  }: { readonly protocol: Protocol; readonly path: string; readonly subprotocols: readonly string[] },
): WebSockets {
  return {
    route: {
      path,
      subprotocols,
      accept(request, socket, head, proved) {
        const peer = socket.remoteAddress ?? '';
        acceptWebSocket({ request, socket, head }, subprotocols, (stream, hasProved) =>
          connections.accept(stream, {
            protocol,
            peer,
            certificate: () => peerCertificate(socket),
            proved(by) {
              hasProved();
              proved(by);
            },
          }),
        );
      },
    },
    drain: (withinMs) => connections.drain(withinMs),
    connections: () => connections.count(),
  };
}

/**
 * Answers the handshake of an upgrade request. A request that is none is answered with 400 or 405 and its connection ends.
 * @param subprotocols in lower case; the first that the client offered is answered in its spelling (device reference 1.2).
 * @param accept gets the stream, which it owns from here, and what to call when a client has proved on it who it is:
 * until then it takes `websocketUnprovedBytesMax` in all, because a message is kept until it is complete.
 */
export function acceptWebSocket(
  {
    request,
    socket,
    head,
  }: { readonly request: http.IncomingMessage; readonly socket: net.Socket; readonly head: Buffer },
  subprotocols: readonly string[],
  accept: (stream: Duplex, proved: () => void) => void,
): void {
  const handshakes = new WebSocketServer({
    ...options,
    handleProtocols: (offered) => [...offered].find((name) => subprotocols.includes(name.toLowerCase())) ?? false,
  });
  handshakes.handleUpgrade(request, socket, head, (websocket) => {
    let left: number = limits.websocketUnprovedBytesMax - head.length;
    const count = (chunk: Buffer): void => {
      left -= chunk.length + limits.websocketChunkBytes;
      if (left < 0) socket.destroy();
    };
    socket.on('data', count);
    accept(new WebSocketStream(websocket, socket), () => void socket.off('data', count));
  });
}

class WebSocketStream extends Duplex {
  readonly #websocket: WebSocket;

  constructor(websocket: WebSocket, socket: net.Socket) {
    super({ allowHalfOpen: false });
    this.#websocket = websocket;
    websocket.on('message', (message: Buffer, isBinary) => {
      if (!isBinary) websocket.close(UNSUPPORTED_DATA, 'only binary messages are understood');
      else if (!this.push(message)) websocket.pause();
    });
    websocket.on('ping', (data: Buffer) => {
      // Answers pile up for a peer that does not read; it needs no second one (RFC 6455 section 5.5.3).
      if (!socket.writableNeedDrain) websocket.pong(data);
    });
    // What breaks the protocol is answered with its close code by the library; the close follows.
    websocket.on('error', () => {});
    websocket.on('close', () => this.push(null));
  }

  override _read(): void {
    if (this.#websocket.isPaused) this.#websocket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#websocket.send(chunk, callback);
  }

  /** What was written together leaves in one message. */
  override _writev(chunks: { readonly chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this.#websocket.send(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.#websocket.readyState === this.#websocket.CLOSED) {
      callback();
      return;
    }
    this.#websocket.once('close', () => callback());
    this.#websocket.close(NORMAL_CLOSURE);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#websocket.terminate();
    callback(error);
  }
}

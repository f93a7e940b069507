/**
 * A WebSocket (RFC 6455) whose messages are JSON texts, for pages. Both directions hold bounded memory: a message is no larger
 * than the caller says, one that does not read is ended, and reading can be paused.
 */
import type http from 'node:http';
import type net from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { limits } from '../../base/limits.ts';

const UNSUPPORTED_DATA = 1003;
const POLICY_VIOLATION = 1008;

export interface TextSocketOptions {
  /** The one that is answered; the client has offered it. */
  readonly subprotocol: string;
  readonly messageBytesMax: number;
  /** Bytes that the peer may leave unread. */
  readonly unreadBytesMax: number;
}

export interface TextSocket {
  /** Called for each message; set before the first one can come. */
  onMessage: (text: string) => void;
  /** Called once, when it is over, whoever has ended it. */
  onClose: () => void;
  /** Ends the connection where the peer has left too much unread. */
  send(text: string): void;
  /** @param code as RFC 6455 section 7.4 @param reason shown to the page; 123 bytes at most */
  close(code: number, reason: string): void;
  pause(): void;
  resume(): void;
}

/** Answers the handshake of an upgrade request. A request that is none is answered with 400 or 405, and its connection ends. */
export function acceptTextSocket(
  {
    request,
    socket,
    head,
  }: { readonly request: http.IncomingMessage; readonly socket: net.Socket; readonly head: Buffer },
  { subprotocol, messageBytesMax, unreadBytesMax }: TextSocketOptions,
  accept: (socket: TextSocket) => void,
): void {
  // Some of these the types do not know.
  const options = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: messageBytesMax,
    maxFragments: limits.websocketFragmentsMax,
    maxBufferedChunks: limits.websocketChunksMax,
    closeTimeout: limits.websocketCloseMs,
  };
  const handshakes = new WebSocketServer({ ...options, handleProtocols: () => subprotocol });
  handshakes.handleUpgrade(request, socket, head, (websocket) => accept(new JsonSocket(websocket, unreadBytesMax)));
}

class JsonSocket implements TextSocket {
  onMessage: (text: string) => void = () => {};
  onClose: () => void = () => {};
  readonly #websocket: WebSocket;
  readonly #unreadBytesMax: number;

  constructor(websocket: WebSocket, unreadBytesMax: number) {
    this.#websocket = websocket;
    this.#unreadBytesMax = unreadBytesMax;
    websocket.on('message', (message: Buffer, isBinary) => {
      if (isBinary) websocket.close(UNSUPPORTED_DATA, 'only text messages are understood');
      else this.onMessage(message.toString('utf8'));
    });
    // What breaks the protocol is answered with its close code by the library; the close follows.
    websocket.on('error', () => {});
    websocket.on('close', () => this.onClose());
  }

  send(text: string): void {
    const { bufferedAmount, readyState, OPEN } = this.#websocket;
    if (readyState !== OPEN) return;
    if (bufferedAmount > this.#unreadBytesMax) this.close(POLICY_VIOLATION, 'this client does not read');
    else this.#websocket.send(text);
  }

  close(code: number, reason: string): void {
    this.#websocket.close(code, reason);
  }

  pause(): void {
    this.#websocket.pause();
  }

  resume(): void {
    this.#websocket.resume();
  }
}

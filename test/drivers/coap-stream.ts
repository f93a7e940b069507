/** A client of CoAP over TCP or TLS, RFC 8323. */
import type net from 'node:net';
import { type CoapMessage, codes, empty, options, textOption } from '../../src/wire/coap/messages.ts';
import { encodeStream, StreamReader } from '../../src/wire/coap/stream.ts';
import { until } from './until.ts';

export class CoapStream {
  readonly received: CoapMessage[] = [];
  isClosed = false;
  readonly #socket: net.Socket;
  readonly #reader = new StreamReader();
  #tokens = 0;

  constructor(socket: net.Socket, isGreeted = true) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      for (const message of this.#reader.read(chunk))
        this.received.push({ ...message, token: Buffer.from(message.token), payload: Buffer.from(message.payload) });
    });
    socket.on('close', () => {
      this.isClosed = true;
    });
    socket.on('error', () => {});
    if (isGreeted) this.send({ code: codes.csm });
  }

  send(message: Partial<CoapMessage>): void {
    this.#socket.write(encodeStream({ code: codes.get, token: empty, options: [], payload: empty, ...message }));
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  async request(code: number, segments: string, query: readonly string[] = [], payload = ''): Promise<CoapMessage> {
    const token = Buffer.of(++this.#tokens);
    const asked = [
      ...segments.split('/').map((segment) => textOption(options.uriPath, segment)),
      ...query.map((text) => textOption(options.uriQuery, text)),
    ];
    this.send({ code, token, options: asked, payload: Buffer.from(payload) });
    return this.until((message) => message.token.equals(token));
  }

  async until(is: (message: CoapMessage) => boolean): Promise<CoapMessage> {
    await until('a message has come', () => this.received.some(is));
    return this.received.find(is)!;
  }

  end(): void {
    this.#socket.destroy();
  }
}

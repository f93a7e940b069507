/** A CoAP client of the tests: one endpoint, its exchanges and observations. Its bytes go over any carrier. */
import dgram from 'node:dgram';
import { decodeBlock, encodeBlock } from '../../src/wire/coap/blocks.ts';
import { decodeDatagram, encodeDatagram, encodeEmpty } from '../../src/wire/coap/datagram.ts';
import {
  type CoapDatagram,
  type CoapMessage,
  type CoapOption,
  codes,
  empty,
  optionOf,
  options,
  textOption,
  types,
  uintOption,
} from '../../src/wire/coap/messages.ts';

export interface Sending {
  readonly code?: number;
  readonly query?: readonly string[];
  readonly payload?: Buffer | string;
  readonly format?: number;
  readonly observe?: number;
  readonly more?: readonly CoapOption[];
  readonly token?: Buffer;
  readonly type?: number;
}

/** Datagrams to the adapter and back. */
export interface CoapCarrier {
  send(bytes: Buffer): void;
  onDatagram(take: (bytes: Buffer) => void): void;
  close(): void;
}

export function udpCarrier(port: number, host = '127.0.0.1'): Promise<CoapCarrier> {
  // A test that fails leaves it behind; it keeps no process.
  const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.connect(port, host, () =>
      resolve({
        send: (bytes) => socket.send(bytes),
        onDatagram: (take) => void socket.unref().on('message', (bytes) => take(bytes)),
        close: () => void socket.close(),
      }),
    );
  });
}

const ANSWER_MS = 20_000;

export class CoapClient {
  /** Every datagram that came, in order. */
  readonly received: CoapDatagram[] = [];
  /** False = notifications and separate answers get no acknowledgement. */
  acknowledges = true;
  /** True = they are refused by a reset. */
  refuses = false;
  readonly #carrier: CoapCarrier;
  readonly #waiting = new Set<() => void>();
  readonly #query: readonly string[];
  #messageId = Math.floor(Math.random() * 65_536);
  #token = Math.floor(Math.random() * 2 ** 31);

  /** @param query Of each request: credentials */
  constructor(carrier: CoapCarrier, query: readonly string[] = []) {
    this.#carrier = carrier;
    this.#query = query;
    carrier.onDatagram((bytes) => this.#take(bytes));
  }

  static async open(port: number, query: readonly string[] = []): Promise<CoapClient> {
    return new CoapClient(await udpCarrier(port), query);
  }

  close(): void {
    this.#carrier.close();
  }

  send(bytes: Buffer): void {
    this.#carrier.send(bytes);
  }

  nextMessageId(): number {
    this.#messageId = (this.#messageId + 1) & 0xffff;
    return this.#messageId;
  }

  nextToken(): Buffer {
    const token = Buffer.alloc(4);
    token.writeUInt32BE(this.#token++ >>> 0);
    return token;
  }

  /** The message of a request, without sending it. */
  message(path: string, given: Sending = {}): CoapDatagram {
    return {
      type: given.type ?? types.confirmable,
      messageId: this.nextMessageId(),
      code: given.code ?? codes.get,
      token: given.token ?? this.nextToken(),
      options: [
        ...(given.observe === undefined ? [] : [uintOption(options.observe, given.observe)]),
        ...path
          .split('/')
          .filter(Boolean)
          .map((segment) => textOption(options.uriPath, segment)),
        ...(given.format === undefined ? [] : [uintOption(options.contentFormat, given.format)]),
        ...[...this.#query, ...(given.query ?? [])].map((text) => textOption(options.uriQuery, text)),
        ...(given.more ?? []),
      ].sort((a, b) => a.number - b.number),
      payload: given.payload === undefined ? empty : Buffer.from(given.payload),
    };
  }

  /** Sends a request, and resolves with its first answer, separate or not. */
  async request(path: string, given: Sending = {}): Promise<CoapDatagram> {
    const message = this.message(path, given);
    this.send(encodeDatagram(message));
    return this.answerTo(message);
  }

  answerTo(message: CoapMessage, from = 0): Promise<CoapDatagram> {
    return this.until(
      (one) => one.token.equals(message.token) && one.code !== codes.empty && this.received.indexOf(one) >= from,
    );
  }

  /** The first datagram of which this is true, also one that has come. */
  async until(is: (message: CoapDatagram) => boolean, waitMs = ANSWER_MS): Promise<CoapDatagram> {
    const end = performance.now() + waitMs;
    for (;;) {
      const found = this.received.find(is);
      if (found !== undefined) return found;
      const leftMs = end - performance.now();
      if (leftMs <= 0) throw new Error('no such message came');
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, leftMs);
        this.#waiting.add(wake);
      });
    }
  }

  /** Uploads a body in blocks, as a client does that uses a new token for each. @returns the last answer */
  async upload(path: string, body: Buffer, exponent: number, given: Sending = {}): Promise<CoapDatagram> {
    const size = 2 ** (exponent + 4);
    for (let number = 0; ; number++) {
      const payload = body.subarray(number * size, (number + 1) * size);
      const more = (number + 1) * size < body.length;
      const block = { number: options.block1, value: encodeBlock({ number, more, exponent }) };
      const answer = await this.request(path, { ...given, payload, more: [...(given.more ?? []), block] });
      if (!more || answer.code !== codes.continue) return answer;
    }
  }

  /** Reads the rest of a body whose first block has come. */
  async rest(path: string, first: CoapDatagram, given: Sending = {}): Promise<Buffer> {
    const parts = [first.payload];
    for (let last = first; ; ) {
      const value = optionOf(last, options.block2);
      const block = value === undefined ? undefined : decodeBlock(value);
      if (block === undefined || !block.more) return Buffer.concat(parts);
      const next = { number: options.block2, value: encodeBlock({ ...block, number: block.number + 1, more: false }) };
      last = await this.request(path, { ...given, more: [next] });
      if (last.code !== codes.content) throw new Error(`a block was answered with ${last.code}`);
      parts.push(last.payload);
    }
  }

  #take(bytes: Buffer): void {
    const message = decodeDatagram(Buffer.from(bytes));
    if (message === undefined) throw new Error('the adapter has sent no CoAP message');
    if (message.type === types.confirmable) {
      if (this.refuses) this.send(encodeEmpty(types.reset, message.messageId));
      else if (this.acknowledges) this.send(encodeEmpty(types.acknowledgement, message.messageId));
    }
    this.received.push(message);
    for (const wake of [...this.#waiting]) wake();
  }
}

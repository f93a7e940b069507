/** One connection of CoAP over TCP or TLS, RFC 8323: its signals, its requests, what it observes. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { limits } from '../../../base/limits.ts';
import type { Connection, Host } from '../../../gateway/index.ts';
import {
  type CoapMessage,
  codes,
  empty,
  isCritical,
  isRequest,
  MalformedCoap,
  uintOption,
} from '../../../wire/coap/messages.ts';
import { encodeStream, StreamReader } from '../../../wire/coap/stream.ts';
import { type Answer, type Caller, type Delivery, messageOf, type Serve, type Shown } from '../exchange.ts';

/** Options of a CSM (section 5.3) and of an Abort (5.6): numbers of their own. */
const MAX_MESSAGE_SIZE = 2;
const BLOCK_WISE_TRANSFER = 4;
const BAD_CSM_OPTION = 2;

let connections = 0;

export class StreamConnection implements Caller {
  readonly key: string;
  readonly peer: string;
  readonly via = 'stream';
  readonly isAddressProved = true;
  readonly acknowledges = false;
  readonly #connection: Connection;
  readonly #serve: Serve;
  readonly #reader = new StreamReader();
  #proof: Shown | undefined;
  #isGreeted = false;
  #working = 0;
  #wake: () => void = () => {};

  constructor(connection: Connection, serve: Serve, proof: Shown | undefined) {
    connections++;
    this.key = `stream ${connections}`;
    this.peer = connection.peer;
    this.#connection = connection;
    this.#serve = serve;
    this.#proof = proof;
  }

  get proof(): Shown | undefined {
    return this.#proof;
  }

  /** The first request that shows credentials speaks for the whole connection. */
  proved(proof: Shown): void {
    this.#proof ??= proof;
  }

  notify(token: Buffer, answer: Answer): Promise<Delivery> {
    return Promise.resolve(this.#write(messageOf(token, answer)) ? 'sent' : 'lost');
  }

  /** Serves the connection until it ends. */
  async run(): Promise<void> {
    const size = uintOption(MAX_MESSAGE_SIZE, limits.coapStreamMessageBytesMax);
    this.#write({
      code: codes.csm,
      token: empty,
      options: [size, { number: BLOCK_WISE_TRANSFER, value: empty }],
      payload: empty,
    });
    try {
      for await (const chunk of this.#connection.iterator({ destroyOnReturn: false }))
        for (const message of this.#reader.read(chunk)) if (!(await this.#take(message))) return;
    } catch (error) {
      if (error instanceof MalformedCoap) this.#abort(error.message);
    } finally {
      this.#connection.end();
    }
  }

  /** @returns false = the connection has ended */
  async #take(message: CoapMessage): Promise<boolean> {
    if (!this.#isGreeted && message.code !== codes.csm) {
      this.#abort('the first message is not a CSM (RFC 8323 5.3)');
      return false;
    }
    switch (message.code) {
      case codes.csm: {
        this.#isGreeted = true;
        const unknown = message.options.find(({ number }) => isCritical(number));
        if (unknown === undefined) return true;
        this.#abort('a critical option of the CSM is not understood', [uintOption(BAD_CSM_OPTION, unknown.number)]);
        return false;
      }
      case codes.ping:
        if (message.options.some(({ number }) => isCritical(number))) return true;
        this.#write({ code: codes.pong, token: Buffer.from(message.token), options: [], payload: empty });
        return this.#room();
      case codes.release:
      case codes.abort:
        return false;
    }
    // An empty message keeps the connection alive; answers to nothing are ignored (section 4.4).
    if (!isRequest(message.code)) return true;
    const token = Buffer.from(message.token);
    const given = this.#serve(message, this);
    if (!(given instanceof Promise)) this.#answer(token, given);
    else {
      this.#working++;
      void given.then((answer) => {
        this.#working--;
        this.#answer(token, answer);
        this.#wake();
      });
    }
    return this.#room();
  }

  /** Reads on when the peer reads what it is sent, and not too many of its requests are worked on. */
  async #room(): Promise<boolean> {
    while (this.#working >= limits.coapWorkingPerEndpointMax)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#connection.writableNeedDrain)
      await Promise.race([once(this.#connection, 'drain'), once(this.#connection, 'close')]);
    return !this.#connection.destroyed;
  }

  #answer(token: Buffer, answer: Answer): void {
    this.#write(messageOf(token, answer));
  }

  /** @returns false = the connection takes nothing more */
  #write(message: CoapMessage): boolean {
    if (this.#connection.destroyed || this.#connection.writableEnded) return false;
    if (this.#connection.writableLength > limits.coapStreamUnsentBytesMax) {
      this.#connection.destroy();
      return false;
    }
    this.#connection.write(encodeStream(message));
    return true;
  }

  #abort(reason: string, more: CoapMessage['options'] = []): void {
    this.#write({ code: codes.abort, token: empty, options: more, payload: Buffer.from(reason) });
  }
}

/** What the handshake has proved. @returns undefined = nothing: requests show credentials */
export async function proofOf(connection: Connection, host: Host): Promise<Shown | undefined> {
  const { certificates, pskIdentity, peer } = connection;
  if (pskIdentity !== undefined) {
    const key = await host.sharedKey(pskIdentity, peer);
    return key === undefined ? undefined : { kind: 'psk', device: pskIdentity, key };
  }
  if (certificates.length === 0) return undefined;
  const name = /^CN=(.+)$/m.exec(new X509Certificate(certificates[0]).subject)?.[1];
  return name === undefined ? undefined : { kind: 'certificate', device: name, chain: certificates };
}

/**
 * A connection to one broker: requests go out one behind the other, and are answered in that order. With TLS and a login, if
 * that is asked for. What is unanswered when it ends has failed without being known to have been done or not.
 */
import net from 'node:net';
import tls from 'node:tls';
import { BufferPool } from '../../base/buffer-pool.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Api, answerBody, apis, requestHead, supportedVersions } from '../../wire/kafka/apis.ts';
import { kafkaErrorName } from '../../wire/kafka/errors.ts';
import { type FieldReader, MalformedKafka } from '../../wire/kafka/fields.ts';
import {
  readSaslAuthenticate,
  readSaslHandshake,
  saslAuthenticateRequest,
  saslHandshakeRequest,
} from '../../wire/kafka/sasl-requests.ts';
import { logIn, type SaslLogin } from './sasl.ts';

/** How brokers are spoken to; the same for all of them. */
export interface BrokerAccess {
  readonly clientId: string;
  /** Present = by TLS; what is trusted besides the runtime's own authorities, and what is shown to brokers that ask for it, PEM. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly login?: SaslLogin;
  readonly clock: Clock;
}

/** The connection ended, or its time was over, before the answer: the broker may have carried the request out. */
export class BrokerGone extends Error {
  override readonly name = 'BrokerGone';
}

interface Waiting {
  readonly api: Api;
  readonly correlation: number;
  readonly cancel: Cancel;
  resolve(reader: FieldReader): void;
  reject(error: Error): void;
}

const LENGTH_BYTES = 4;

/** What the hub asks brokers by: a `BrokerConnection`, or the simulation's. */
export type Broker = Pick<BrokerConnection, 'address' | 'isGone' | 'whenGone' | 'request' | 'giveBack' | 'close'>;

export class BrokerConnection {
  /** `host:port`. */
  readonly address: string;
  readonly #socket: net.Socket;
  readonly #access: BrokerAccess;
  readonly #waiting: Waiting[] = [];
  readonly #ended: (() => void)[] = [];
  #correlation = 0;
  #gone: Error | undefined;
  /** Answers that were given back are used again: large ones that come and go have the runtime look for garbage all the time. */
  readonly #answers = new BufferPool({
    bytesMin: limits.runMemoryBytesMin,
    bytesMax: limits.kafkaAnswerBytesMax,
    freeBytesMax: limits.kafkaAnswersFreeBytesMax,
  });
  /** Of the answer that comes in: its length, the answer once that is known, and the bytes of either that are there. */
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #answer: Buffer | undefined;
  #have = 0;

  private constructor(address: string, socket: net.Socket, access: BrokerAccess) {
    this.address = address;
    this.#socket = socket;
    this.#access = access;
    socket.setNoDelay(true);
    // By TLS; what comes plainly is taken where it is read (`connect`).
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the broker has closed the connection')));
  }

  /**
   * Connects, checks that the broker has the versions that the hub speaks, and logs in.
   * @throws Error that names the broker and what is wrong, without the password
   */
  static async open(host: string, port: number, access: BrokerAccess): Promise<BrokerConnection> {
    const address = `${host}:${port}`;
    let connection: BrokerConnection | undefined;
    const socket = connect(host, port, access, (chunk) => {
      if (connection !== undefined) connection.#take(chunk);
    });
    connection = new BrokerConnection(address, socket, access);
    return connection.#begin();
  }

  async #begin(): Promise<BrokerConnection> {
    const { address } = this;
    const access = this.#access;

    const cancel = access.clock.after(limits.kafkaConnectMs, () =>
      this.close(new Error('it takes too long to answer')),
    );
    try {
      await this.#connected();
      await this.#checkVersions();
      if (access.login !== undefined) await this.#logIn(access.login);
      return this;
    } catch (error) {
      this.close();
      throw new Error(`the Kafka broker ${address} cannot be used: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    } finally {
      cancel();
    }
  }

  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  /** Calls `listener` once the connection has ended; soon, if it has already. */
  whenGone(listener: () => void): void {
    if (this.#gone === undefined) this.#ended.push(listener);
    else queueMicrotask(listener);
  }

  /**
   * Sends a request, whose pieces must stay as they are until the answer. The answer's bytes are used again once they are given back.
   * @param brokerMs how long the broker itself may wait before it answers
   * @throws BrokerGone
   */
  request(api: Api, body: readonly Buffer[], brokerMs = 0): Promise<FieldReader> {
    if (this.#gone !== undefined) return Promise.reject(this.#failure());
    const correlation = this.#correlation;
    this.#correlation = (correlation + 1) % 2 ** 31;
    let bytes = 0;
    for (const piece of body) bytes += piece.length;
    return new Promise((resolve, reject) => {
      const late = (): void => this.close(new Error(`no answer to ${api.name} in time`));
      const cancel = this.#access.clock.after(brokerMs + limits.kafkaAnswerMs, late);
      this.#waiting.push({ api, correlation, cancel, resolve, reject });
      this.#socket.cork();
      this.#socket.write(requestHead(api, correlation, this.#access.clientId, bytes));
      for (const piece of body) this.#socket.write(piece);
      this.#socket.uncork();
    });
  }

  /** Nobody looks at the bytes of this answer any more. Not to be called twice. */
  giveBack(answer: FieldReader): void {
    this.#answers.giveBack(answer.source);
  }

  /** Ends the connection; what waits has failed as `BrokerGone`. */
  close(reason = new Error('the connection was closed')): void {
    this.#end(reason);
    this.#socket.destroy();
  }

  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once(this.#access.tls === undefined ? 'connect' : 'secureConnect', resolve);
      this.#ended.push(() => reject(this.#gone));
    });
  }

  async #checkVersions(): Promise<void> {
    const { error, ranges } = supportedVersions(await this.request(apis.apiVersions, []));
    if (error !== 0) throw new Error(`it does not say which versions it has (${kafkaErrorName(error)})`);
    for (const { name, key, version } of Object.values(apis)) {
      const range = ranges.get(key);
      if (range === undefined || version < range.min || version > range.max) {
        const has = range === undefined ? 'none' : `${range.min} to ${range.max}`;
        throw new Error(`it has no version ${version} of ${name} (it has ${has}); Kafka from 3.1 on is needed`);
      }
    }
  }

  async #logIn(login: SaslLogin): Promise<void> {
    const { mechanism } = login;
    const { error, mechanisms } = readSaslHandshake(
      await this.request(apis.saslHandshake, [saslHandshakeRequest(mechanism)]),
    );
    if (error !== 0) throw new Error(`it takes no login by ${mechanism}, but by ${mechanisms.join(', ') || 'none'}`);
    await logIn(login, async (message) => {
      const answer = readSaslAuthenticate(
        await this.request(apis.saslAuthenticate, [saslAuthenticateRequest(message)]),
      );
      if (answer.error !== 0) throw new Error(`it refuses the login of ${login.user}: ${kafkaErrorName(answer.error)}`);
      if (answer.bytes.length > limits.kafkaLoginBytesMax) throw new Error('its message of the login is too long');
      return answer.bytes;
    });
  }

  /** Takes what it needs of `chunk`, which is not looked at afterwards. */
  #take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && this.#gone === undefined) {
      if (this.#answer === undefined) {
        const head = Math.min(LENGTH_BYTES - this.#have, chunk.length - at);
        chunk.copy(this.#length, this.#have, at, at + head);
        at += head;
        this.#have += head;
        if (this.#have < LENGTH_BYTES) return;
        const length = this.#length.readInt32BE(0);
        if (length < LENGTH_BYTES || length > limits.kafkaAnswerBytesMax) {
          this.close(new MalformedKafka(`an answer says to have ${length} bytes`));
          return;
        }
        this.#answer = this.#answers.take(length);
        this.#have = 0;
      }
      const answer = this.#answer;
      const piece = Math.min(answer.length - this.#have, chunk.length - at);
      chunk.copy(answer, this.#have, at, at + piece);
      at += piece;
      this.#have += piece;
      if (this.#have < answer.length) return;
      this.#answer = undefined;
      this.#have = 0;
      this.#answered(answer);
    }
  }

  #answered(answer: Buffer): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined || answer.readInt32BE(0) !== waiting.correlation) {
      if (waiting !== undefined) this.#waiting.unshift(waiting);
      this.close(new MalformedKafka('an answer is of no request'));
      return;
    }
    waiting.cancel();
    try {
      waiting.resolve(answerBody(answer, waiting.api));
    } catch (error) {
      waiting.reject(error as Error);
      this.close(error as Error);
    }
  }

  #end(reason: Error): void {
    if (this.#gone !== undefined) return;
    this.#gone = reason;
    this.#answer = undefined;
    for (const { cancel, reject } of this.#waiting.splice(0)) {
      cancel();
      reject(this.#failure());
    }
    for (const listener of this.#ended.splice(0)) listener();
  }

  #failure(): BrokerGone {
    return new BrokerGone(`${this.address}: ${this.#gone?.message}`, { cause: this.#gone });
  }
}

const READ_BYTES = 64 * 1024;

/** @param take takes what comes where there is no TLS, out of memory that is read into again afterwards */
function connect(
  host: string,
  port: number,
  { tls: secured }: BrokerAccess,
  take: (chunk: Buffer) => void,
): net.Socket {
  if (secured === undefined) {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const callback = (bytes: number): boolean => {
      take(buffer.subarray(0, bytes));
      return true;
    };
    return net.connect({ host, port, keepAlive: true, onread: { buffer, callback } });
  }
  const ca = secured.ca === undefined ? undefined : [...tls.rootCertificates, secured.ca];
  return tls.connect({
    host,
    port,
    ...(net.isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca }),
    ...(secured.cert !== undefined && { cert: secured.cert, key: secured.key }),
  });
}

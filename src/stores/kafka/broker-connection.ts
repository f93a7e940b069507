/**
 * A connection to one broker: requests go out one behind the other, and are answered in that order. With TLS and a login, if
 * that is asked for. What is unanswered when it ends has failed without being known to have been done or not.
 */
import net from 'node:net';
import tls from 'node:tls';
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
  /** Present = by TLS; what is trusted besides the runtime's own authorities, PEM. */
  readonly tls?: { readonly ca?: string };
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

export class BrokerConnection {
  /** `host:port`. */
  readonly address: string;
  readonly #socket: net.Socket;
  readonly #access: BrokerAccess;
  readonly #waiting: Waiting[] = [];
  readonly #ended: (() => void)[] = [];
  #correlation = 0;
  #gone: Error | undefined;
  /** Of the answer that comes in: its pieces, their bytes, and how many it will have with its length; 0 = not known yet. */
  #pieces: Buffer[] = [];
  #have = 0;
  #expected = 0;

  private constructor(address: string, socket: net.Socket, access: BrokerAccess) {
    this.address = address;
    this.#socket = socket;
    this.#access = access;
    socket.setNoDelay(true);
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
    const socket = connect(host, port, access);
    const connection = new BrokerConnection(address, socket, access);
    const cancel = access.clock.after(limits.kafkaConnectMs, () =>
      connection.close(new Error('it takes too long to answer')),
    );
    try {
      await connection.#connected();
      await connection.#checkVersions();
      if (access.login !== undefined) await connection.#logIn(access.login);
      return connection;
    } catch (error) {
      connection.close();
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
   * Sends a request, whose pieces must stay as they are until the answer. The answer's bytes are not used again.
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

  #take(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#expected === 0) {
        const joined = this.#have === 0 ? rest : Buffer.concat([...this.#pieces, rest]);
        this.#pieces = [];
        if (joined.length < LENGTH_BYTES) {
          this.#pieces.push(joined);
          this.#have = joined.length;
          return;
        }
        const length = joined.readInt32BE(0);
        if (length < LENGTH_BYTES || length > limits.kafkaAnswerBytesMax) {
          this.close(new MalformedKafka(`an answer says to have ${length} bytes`));
          return;
        }
        this.#expected = LENGTH_BYTES + length;
        this.#have = 0;
        rest = joined;
      }
      const piece = rest.subarray(0, this.#expected - this.#have);
      this.#pieces.push(piece);
      this.#have += piece.length;
      rest = rest.subarray(piece.length);
      if (this.#have < this.#expected) return;
      const answer = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces, this.#have);
      this.#pieces = [];
      this.#have = 0;
      this.#expected = 0;
      this.#answered(answer.subarray(LENGTH_BYTES));
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
    this.#pieces = [];
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

function connect(host: string, port: number, { tls: secured }: BrokerAccess): net.Socket {
  if (secured === undefined) return net.connect({ host, port, keepAlive: true });
  const ca = secured.ca === undefined ? undefined : [...tls.rootCertificates, secured.ca];
  return tls.connect({
    host,
    port,
    ...(net.isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca }),
  });
}

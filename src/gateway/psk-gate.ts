/**
 * A TLS client that proves a pre-shared key names its identity in the ClientKeyExchange, and the runtime asks for the key at once, while
 * the hub answers later. So the bytes of the handshake pass through here: at the ClientKeyExchange (RFC 5246 7.4.7, RFC 4279 2) they
 * wait until the key is there. It is a plain record until then: nothing needs to be decrypted.
 */
import { Duplex } from 'node:stream';
import { limits } from '../base/limits.ts';

const HANDSHAKE = 22;
const CLIENT_KEY_EXCHANGE = 16;
const IDENTITY_BYTES_MAX = 300;

export class PskGate extends Duplex {
  readonly #socket: Duplex;
  readonly #prepare: (identity: string) => Promise<void>;
  /** What has come and is not passed on; undefined = everything passes. */
  #held: Buffer | undefined = Buffer.alloc(0);
  #isPreparing = false;

  /** @param prepare Resolves when the key of that identity can be had at once; where there is none too */
  constructor(socket: Duplex, prepare: (identity: string) => Promise<void>) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#prepare = prepare;
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
    socket.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    if (!this.#isPreparing) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #received(chunk: Buffer): void {
    if (this.#held === undefined) {
      this.#pass(chunk);
      return;
    }
    this.#held = Buffer.concat([this.#held, chunk]);
    if (this.#held.length > limits.adapterPskHandshakeBytesMax) this.destroy();
    else if (!this.#isPreparing) this.#look();
  }

  /** Passes whole records on, up to the key exchange. */
  #look(): void {
    for (;;) {
      const held = this.#held ?? Buffer.alloc(0);
      if (held.length < 5) return;
      const length = 5 + held.readUInt16BE(3);
      if (held.length < length) return;
      const record = held.subarray(0, length);
      this.#held = held.subarray(length);
      const identity = identityOf(record);
      if (identity === undefined) {
        // Whatever comes behind the handshake needs nothing from here.
        const isHandshake = record[0] === HANDSHAKE;
        this.#pass(record);
        if (isHandshake) continue;
        this.#passAll();
        return;
      }
      this.#isPreparing = true;
      this.#socket.pause();
      this.#prepare(identity).then(
        () => {
          this.#isPreparing = false;
          this.#pass(record);
          this.#passAll();
          this.#socket.resume();
        },
        (error) => this.destroy(error),
      );
      return;
    }
  }

  #passAll(): void {
    const rest = this.#held;
    this.#held = undefined;
    if (rest !== undefined && rest.length > 0) this.#pass(rest);
  }

  #pass(bytes: Buffer): void {
    if (!this.push(bytes)) this.#socket.pause();
  }
}

/** The PSK identity that a record names, or undefined when it is no ClientKeyExchange by itself. */
export function identityOf(record: Buffer): string | undefined {
  if (record[0] !== HANDSHAKE || record.length < 11 || record[5] !== CLIENT_KEY_EXCHANGE) return undefined;
  const length = record.readUInt16BE(9);
  if (length > IDENTITY_BYTES_MAX || record.length < 11 + length) return undefined;
  return record.toString('utf8', 11, 11 + length);
}

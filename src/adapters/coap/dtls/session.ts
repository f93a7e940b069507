/** One client of DTLS 1.2 behind its cookie: its handshake, then what it sends and is sent. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { limits } from '../../../base/limits.ts';
import { ReplayWindow } from '../../../base/replay-window.ts';
import type { HostClock } from '../../../gateway/index.ts';
import {
  alerts,
  type ClientHello,
  encodeHandshake,
  HandshakeReader,
  handshakeTypes,
  readFragments,
  readPskIdentity,
  serverHello,
} from '../../../wire/dtls/handshake.ts';
import { contentTypes, DTLS_1_2, type DtlsRecord, encodeRecord } from '../../../wire/dtls/records.ts';
import {
  masterSecret,
  openFragment,
  type RecordKey,
  recordKeys,
  type Suite,
  sealFragment,
  sha256,
  verifyData,
} from '../../../wire/dtls/suites.ts';

export interface SessionParts {
  readonly clock: HostClock;
  readonly peer: string;
  send(bytes: Buffer): void;
  /** The key of an identity; undefined = there is none. */
  keyOf(identity: string): Promise<Uint8Array | undefined>;
  /** The client has proved its key. Called once. */
  established(session: DtlsSession): void;
  received(session: DtlsSession, bytes: Buffer): void;
  /** Called once, with what the client was told or has said. */
  ended(session: DtlsSession, why: string): void;
}

export class DtlsSession {
  readonly clientRandom: Buffer;
  /** Whom the client has proved to be; undefined before that. */
  proved: { readonly identity: string; readonly key: Uint8Array } | undefined;
  /** Monotonic milliseconds of the last record that was genuine. */
  heardAt: number;
  readonly #parts: SessionParts;
  readonly #suite: Suite;
  readonly #hello: ClientHello;
  readonly #serverRandom = randomBytes(32);
  readonly #reader: HandshakeReader;
  readonly #window = new ReplayWindow(limits.dtlsReplayWindow);
  readonly #begunAt: number;
  /** Messages of the handshake, as they count for its hash; empty when it is over. */
  #transcript: Buffer[] = [];
  #messages: number;
  #flight: { readonly type: number; readonly epoch: number; readonly fragment: Buffer }[] = [];
  #flights = 0;
  #cancelFlight: () => void = () => {};
  /** The next record of each epoch. */
  readonly #sequences: [number, number];
  #keys: { client: RecordKey; server: RecordKey } | undefined;
  #master: Buffer | undefined;
  #waiting: DtlsRecord[] = [];
  #claimed: { readonly identity: string; readonly key: Uint8Array } | undefined;
  #isAsking = false;
  #broken = 0;
  #isOver = false;

  /** @param sequence Of the record that the ClientHello came in @param message The number of the ClientHello */
  constructor(
    parts: SessionParts,
    hello: ClientHello,
    helloBody: Buffer,
    suite: Suite,
    sequence: number,
    message: number,
  ) {
    this.#parts = parts;
    this.#suite = suite;
    this.#hello = hello;
    this.clientRandom = Buffer.from(hello.random);
    this.#reader = new HandshakeReader(message + 1);
    this.#messages = message;
    // The client's number comes back in the first record, so that none is given twice to one client (section 4.2.1).
    this.#sequences = [sequence, 0];
    this.#begunAt = parts.clock.monotonic();
    this.heardAt = this.#begunAt;
    this.#transcript.push(encodeHandshake(handshakeTypes.clientHello, message, helloBody));
    this.#say(handshakeTypes.serverHello, serverHello(this.#serverRandom, suite.id, hello), 0);
    this.#say(handshakeTypes.serverHelloDone, Buffer.alloc(0), 0);
    this.sendFlight();
  }

  get isEstablished(): boolean {
    return this.proved !== undefined && !this.#isOver;
  }

  /** Sends what the client has to answer, again as well. One record to a datagram: some clients read no second one. */
  sendFlight(): void {
    if (this.#isOver) return;
    const isLate = this.#parts.clock.monotonic() - this.#begunAt > limits.dtlsHandshakeMs;
    if (this.proved === undefined && (this.#flights === limits.dtlsFlightsMax || isLate)) {
      this.#end('the handshake took too long');
      return;
    }
    for (const { type, epoch, fragment } of this.#flight) this.#write(type, epoch, fragment);
    this.#cancelFlight();
    if (this.proved !== undefined) return;
    const waitMs = limits.dtlsFlightMs * 2 ** this.#flights;
    this.#flights++;
    this.#cancelFlight = this.#parts.clock.after(waitMs, () => this.sendFlight());
  }

  receive(record: DtlsRecord): void {
    if (this.#isOver) return;
    if (record.epoch === 0) {
      // What is not sealed counts until the keys are there (section 4.1); a forged alert ends no handshake either.
      if (record.type === contentTypes.handshake && this.proved === undefined) this.#handshake(record.fragment);
      return;
    }
    if (record.epoch !== 1) return;
    if (this.#keys === undefined) {
      if (this.#isAsking && this.#waiting.length < limits.dtlsRecordsKeptMax)
        this.#waiting.push({ ...record, fragment: Buffer.from(record.fragment) });
      return;
    }
    if (!this.#window.isFresh(record.sequence)) return;
    const plain = openFragment(this.#keys.client, record);
    if (plain === undefined) {
      // Section 4.1.2.7: ignored. In a handshake the client may have another key, and is told so.
      if (this.proved === undefined && ++this.#broken > limits.dtlsBrokenRecordsMax)
        this.close(alerts.decryptError, 'the client has another key');
      return;
    }
    this.#window.take(record.sequence);
    this.heardAt = this.#parts.clock.monotonic();
    this.#opened(record.type, plain);
  }

  /** Sends bytes of the application's; nothing where the session is not established. */
  send(bytes: Buffer): void {
    if (this.isEstablished) this.#write(contentTypes.applicationData, 1, bytes);
  }

  /** Tells the client that the session ends. */
  close(alert: number, why: string): void {
    if (this.#isOver) return;
    const level = alert === alerts.closeNotify ? 1 : 2;
    this.#write(contentTypes.alert, this.proved === undefined ? 0 : 1, Buffer.of(level, alert));
    this.#end(why);
  }

  #opened(type: number, plain: Buffer): void {
    switch (type) {
      case contentTypes.handshake:
        this.#handshake(plain);
        return;
      case contentTypes.alert:
        if (plain.length !== 2) return;
        if (plain[1] === alerts.closeNotify) this.close(alerts.closeNotify, 'the client has closed');
        else if (plain[0] === 2) this.#end(`the client has sent alert ${plain[1]}`);
        return;
      case contentTypes.applicationData:
        if (this.proved === undefined) return;
        // The client goes on: it has the last flight.
        this.#flight = [];
        this.#parts.received(this, plain);
    }
  }

  #handshake(bytes: Buffer): void {
    let isRepeated = false;
    for (const fragment of readFragments(bytes)) {
      const taken = this.#reader.take(fragment);
      if (taken === 'old') isRepeated = true;
    }
    for (;;) {
      if (this.#isAsking || this.#isOver) return;
      const message = this.#reader.next();
      if (message === undefined) break;
      this.#message(message.type, message.sequence, message.body);
    }
    // The client's last flight again: it has not got the answer to it.
    if (isRepeated && this.proved !== undefined) this.sendFlight();
  }

  #message(type: number, sequence: number, body: Buffer): void {
    if (this.proved !== undefined) return;
    if (type === handshakeTypes.clientKeyExchange && this.#keys === undefined) {
      const identity = readPskIdentity(body);
      if (identity === undefined) {
        this.close(alerts.decodeError, 'the ClientKeyExchange cannot be read');
        return;
      }
      this.#transcript.push(encodeHandshake(type, sequence, body));
      void this.#agree(identity.toString('utf8'));
    } else if (type === handshakeTypes.finished && this.#master !== undefined) this.#finish(sequence, body);
    else this.close(alerts.handshakeFailure, `a handshake message of type ${type} is out of place`);
  }

  /** Makes the keys. An identity that nobody has gets a key that nobody has: who asks does not learn which exist. */
  async #agree(identity: string): Promise<void> {
    this.#isAsking = true;
    let key: Uint8Array;
    try {
      key = (await this.#parts.keyOf(identity)) ?? randomBytes(32);
    } catch {
      // The client begins again when the hub can be asked.
      this.close(alerts.internalError, 'the key could not be asked for');
      return;
    } finally {
      this.#isAsking = false;
    }
    if (this.#isOver) return;
    const randoms = { client: this.clientRandom, server: this.#serverRandom };
    const hash = this.#hello.hasExtendedMasterSecret ? sha256(Buffer.concat(this.#transcript)) : undefined;
    this.#master = masterSecret(key, randoms, hash);
    this.#keys = recordKeys(this.#suite, this.#master, randoms);
    this.#claimed = { identity, key };
    for (const record of this.#waiting.splice(0)) this.receive(record);
  }

  #finish(sequence: number, body: Buffer): void {
    const master = this.#master as Buffer;
    const expected = verifyData(master, 'client', sha256(Buffer.concat(this.#transcript)));
    if (body.length !== expected.length || !timingSafeEqual(body, expected)) {
      this.close(alerts.decryptError, 'the Finished message is wrong');
      return;
    }
    this.#transcript.push(encodeHandshake(handshakeTypes.finished, sequence, body));
    const finished = verifyData(master, 'server', sha256(Buffer.concat(this.#transcript)));
    this.#flight = [{ type: contentTypes.changeCipherSpec, epoch: 0, fragment: Buffer.of(1) }];
    this.#say(handshakeTypes.finished, finished, 1);
    this.#transcript = [];
    this.#master = undefined;
    this.proved = this.#claimed;
    this.sendFlight();
    this.#parts.established(this);
  }

  #say(type: number, body: Buffer, epoch: number): void {
    const message = encodeHandshake(type, this.#messages++, body);
    this.#transcript.push(message);
    this.#flight.push({ type: contentTypes.handshake, epoch, fragment: message });
  }

  #write(type: number, epoch: number, fragment: Buffer): void {
    const sequence = this.#sequences[epoch as 0 | 1]++;
    const record: DtlsRecord = { type, version: DTLS_1_2, epoch, sequence, fragment };
    if (epoch === 0) this.#parts.send(encodeRecord(record));
    else if (this.#keys !== undefined)
      this.#parts.send(encodeRecord({ ...record, fragment: sealFragment(this.#keys.server, record) }));
  }

  #end(why: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelFlight();
    this.#flight = [];
    this.#transcript = [];
    this.#parts.ended(this, why);
  }
}

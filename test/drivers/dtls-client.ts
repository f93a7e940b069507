/** A client of DTLS 1.2 with a pre-shared key, for tests: no timers, no socket; the test carries its datagrams. */
import { randomBytes } from 'node:crypto';
import { encodeHandshake, HandshakeReader, handshakeTypes, readFragments } from '../../src/wire/dtls/handshake.ts';
import { contentTypes, DTLS_1_2, type DtlsRecord, encodeRecord, readRecords } from '../../src/wire/dtls/records.ts';
import {
  masterSecret,
  openFragment,
  type RecordKey,
  recordKeys,
  sealFragment,
  sha256,
  suites,
  verifyData,
} from '../../src/wire/dtls/suites.ts';

export interface DtlsClientOptions {
  readonly identity: string;
  readonly key: Uint8Array;
  send(datagram: Buffer): void;
  readonly suite?: number;
  readonly hasExtendedMasterSecret?: boolean;
  /** Bytes of a handshake message in one record; absent = the whole. */
  readonly fragmentBytes?: number;
}

export class DtlsClient {
  /** What the server has sent under its keys. */
  readonly received: Buffer[] = [];
  /** Numbers of its alerts. */
  readonly alerts: number[] = [];
  isEstablished = false;
  readonly random = randomBytes(32);
  readonly #options: DtlsClientOptions;
  readonly #suite: number;
  readonly #isExtended: boolean;
  #cookie: Buffer = Buffer.alloc(0);
  #reader = new HandshakeReader(0);
  #transcript: Buffer[] = [];
  #serverRandom: Buffer = Buffer.alloc(0);
  #keys: { client: RecordKey; server: RecordKey } | undefined;
  #master: Buffer = Buffer.alloc(0);
  #flight: { type: number; epoch: number; fragment: Buffer }[] = [];
  #sequences = [0, 0];
  #messages = 0;

  constructor(options: DtlsClientOptions) {
    this.#options = options;
    this.#suite = options.suite ?? suites[0].id;
    this.#isExtended = options.hasExtendedMasterSecret ?? true;
  }

  begin(): void {
    const suite = Buffer.of(0, 4, this.#suite >> 8, this.#suite & 0xff, 0x00, 0xff);
    const extensions = this.#isExtended ? Buffer.of(0, 4, 0, 23, 0, 0) : Buffer.alloc(0);
    const body = Buffer.concat([
      Buffer.of(0xfe, 0xfd),
      this.random,
      Buffer.of(0, this.#cookie.length),
      this.#cookie,
      suite,
      Buffer.of(1, 0),
      extensions,
    ]);
    this.#flight = [];
    this.#say(handshakeTypes.clientHello, body, 0);
    this.resend();
  }

  /** Sends the last flight again. */
  resend(): void {
    for (const { type, epoch, fragment } of this.#flight) {
      const size = this.#options.fragmentBytes;
      if (size === undefined || type !== contentTypes.handshake || epoch === 1) this.#write(type, epoch, fragment);
      else for (const part of inPieces(fragment, size)) this.#write(type, epoch, part);
    }
  }

  send(bytes: Buffer): void {
    this.#write(contentTypes.applicationData, 1, bytes);
  }

  close(): void {
    this.#write(contentTypes.alert, 1, Buffer.of(1, 0));
  }

  receive(datagram: Buffer): void {
    for (const record of readRecords(datagram)) this.#take(record);
  }

  #take(record: DtlsRecord): void {
    let fragment = record.fragment;
    if (record.epoch === 1) {
      const plain = this.#keys === undefined ? undefined : openFragment(this.#keys.server, record);
      if (plain === undefined) return;
      fragment = plain;
    }
    if (record.type === contentTypes.alert) this.alerts.push(fragment[1]);
    if (record.type === contentTypes.applicationData) this.received.push(fragment);
    if (record.type !== contentTypes.handshake) return;
    for (const one of readFragments(fragment)) this.#reader.take(one);
    for (;;) {
      const message = this.#reader.next();
      if (message === undefined) return;
      this.#message(message.type, message.sequence, message.body);
    }
  }

  #message(type: number, sequence: number, body: Buffer): void {
    switch (type) {
      case handshakeTypes.helloVerifyRequest:
        this.#cookie = body.subarray(3);
        this.#transcript = [];
        this.begin();
        return;
      case handshakeTypes.serverHello:
        this.#serverRandom = body.subarray(2, 34);
        this.#transcript.push(encodeHandshake(type, sequence, body));
        return;
      case handshakeTypes.serverHelloDone:
        this.#transcript.push(encodeHandshake(type, sequence, body));
        this.#agree();
        return;
      case handshakeTypes.finished:
        this.isEstablished = body.equals(verifyData(this.#master, 'server', sha256(Buffer.concat(this.#transcript))));
    }
  }

  #agree(): void {
    const { identity, key } = this.#options;
    const name = Buffer.from(identity);
    this.#flight = [];
    this.#say(
      handshakeTypes.clientKeyExchange,
      Buffer.concat([Buffer.of(name.length >> 8, name.length & 0xff), name]),
      0,
    );
    const randoms = { client: this.random, server: this.#serverRandom };
    const hash = this.#isExtended ? sha256(Buffer.concat(this.#transcript)) : undefined;
    this.#master = masterSecret(key, randoms, hash);
    this.#keys = recordKeys(suites.find(({ id }) => id === this.#suite)!, this.#master, randoms);
    this.#flight.push({ type: contentTypes.changeCipherSpec, epoch: 0, fragment: Buffer.of(1) });
    this.#say(handshakeTypes.finished, verifyData(this.#master, 'client', sha256(Buffer.concat(this.#transcript))), 1);
    this.resend();
  }

  #say(type: number, body: Buffer, epoch: number): void {
    const message = encodeHandshake(type, this.#messages++, body);
    this.#transcript.push(message);
    this.#flight.push({ type: contentTypes.handshake, epoch, fragment: message });
  }

  #write(type: number, epoch: number, fragment: Buffer): void {
    const record: DtlsRecord = { type, version: DTLS_1_2, epoch, sequence: this.#sequences[epoch]++, fragment };
    const sealed = epoch === 0 ? fragment : sealFragment(this.#keys!.client, record);
    this.#options.send(encodeRecord({ ...record, fragment: sealed }));
  }
}

/** A handshake message as several fragments (RFC 6347 section 4.2.3). */
function inPieces(message: Buffer, bytes: number): readonly Buffer[] {
  const pieces: Buffer[] = [];
  for (let from = 12; from < message.length || from === 12; from += bytes) {
    const body = message.subarray(from, from + bytes);
    const head = Buffer.from(message.subarray(0, 12));
    head.writeUIntBE(from - 12, 6, 3);
    head.writeUIntBE(body.length, 9, 3);
    pieces.push(Buffer.concat([head, body]));
  }
  return pieces;
}

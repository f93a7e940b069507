/** Handshake messages of DTLS 1.2 with pre-shared keys: RFC 6347 section 4.2, RFC 4279. */
import { limits } from '../../base/limits.ts';
import { DTLS_1_2 } from './records.ts';

export const handshakeTypes = {
  clientHello: 1,
  serverHello: 2,
  helloVerifyRequest: 3,
  serverHelloDone: 14,
  clientKeyExchange: 16,
  finished: 20,
} as const;

export const alerts = {
  closeNotify: 0,
  badRecordMac: 20,
  handshakeFailure: 40,
  decodeError: 50,
  decryptError: 51,
  internalError: 80,
} as const;

const HEADER_BYTES = 12;
const RANDOM_BYTES = 32;
const EXTENDED_MASTER_SECRET = 23;
const RENEGOTIATION_INFO = 0xff01;
const RENEGOTIATION_SUITE = 0x00ff;

/** A part of a handshake message, as a record carries it. */
export interface Fragment {
  readonly type: number;
  /** Of the whole message. */
  readonly length: number;
  readonly sequence: number;
  readonly offset: number;
  readonly body: Buffer;
}

/** The fragments of one record; what is behind one that cannot be read is ignored. */
export function readFragments(bytes: Buffer): readonly Fragment[] {
  const fragments: Fragment[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUIntBE(at + 1, 3);
    const offset = bytes.readUIntBE(at + 6, 3);
    const size = bytes.readUIntBE(at + 9, 3);
    const end = at + HEADER_BYTES + size;
    if (end > bytes.length || offset + size > length || length > limits.dtlsHandshakeBytesMax) break;
    const body = bytes.subarray(at + HEADER_BYTES, end);
    fragments.push({ type: bytes[at], length, sequence: bytes.readUInt16BE(at + 4), offset, body });
    if (fragments.length === limits.dtlsRecordsPerDatagramMax) break;
    at = end;
  }
  return fragments;
}

/** A whole message in one fragment: also the form in which it counts for the hash of the handshake (section 4.2.6). */
export function encodeHandshake(type: number, sequence: number, body: Buffer): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head[0] = type;
  head.writeUIntBE(body.length, 1, 3);
  head.writeUInt16BE(sequence, 4);
  head.writeUIntBE(body.length, 9, 3);
  return Buffer.concat([head, body]);
}

export interface ClientHello {
  readonly random: Buffer;
  readonly cookie: Buffer;
  readonly suites: readonly number[];
  /** RFC 7627. */
  readonly hasExtendedMasterSecret: boolean;
  /** RFC 5746: to be answered, so that the client does not fear an older server. */
  readonly asksForRenegotiationInfo: boolean;
}

/** @returns undefined for what is no ClientHello of DTLS 1.2, or has more in it than is read */
export function readClientHello(body: Buffer): ClientHello | undefined {
  let at = 0;
  const take = (bytes: number): Buffer | undefined => {
    if (at + bytes > body.length) return undefined;
    at += bytes;
    return body.subarray(at - bytes, at);
  };
  const vector = (lengthBytes: 1 | 2): Buffer | undefined => {
    const length = take(lengthBytes);
    return length === undefined ? undefined : take(length.readUIntBE(0, lengthBytes));
  };
  const version = take(2)?.readUInt16BE(0);
  const random = take(RANDOM_BYTES);
  const sessionId = vector(1);
  const cookie = vector(1);
  const suiteBytes = vector(2);
  const compression = vector(1);
  // Versions count down: 254.253 is 1.2, and what a client of 1.3 says here.
  if (version === undefined || version >> 8 !== 0xfe || version > DTLS_1_2) return undefined;
  if (random === undefined || sessionId === undefined || cookie === undefined || suiteBytes === undefined)
    return undefined;
  if (compression === undefined || !compression.includes(0) || suiteBytes.length % 2 !== 0) return undefined;
  if (suiteBytes.length > 2 * limits.dtlsSuitesMax) return undefined;
  const suites: number[] = [];
  for (let from = 0; from < suiteBytes.length; from += 2) suites.push(suiteBytes.readUInt16BE(from));
  const extensions = readExtensions(at === body.length ? Buffer.alloc(0) : (vector(2) ?? undefined));
  if (extensions === undefined || at !== body.length) return undefined;
  return {
    random,
    cookie,
    suites,
    hasExtendedMasterSecret: extensions.has(EXTENDED_MASTER_SECRET),
    asksForRenegotiationInfo: extensions.has(RENEGOTIATION_INFO) || suites.includes(RENEGOTIATION_SUITE),
  };
}

/** The types of the extensions; undefined = they cannot be read, one comes twice, or there are too many. */
function readExtensions(bytes: Buffer | undefined): ReadonlySet<number> | undefined {
  if (bytes === undefined) return undefined;
  const found = new Set<number>();
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length) return undefined;
    const type = bytes.readUInt16BE(at);
    at += 4 + bytes.readUInt16BE(at + 2);
    if (at > bytes.length || found.has(type) || found.size === limits.dtlsExtensionsMax) return undefined;
    found.add(type);
  }
  return found;
}

/** Section 4.2.1: of version 1.0, whatever is agreed upon later. */
export const helloVerifyRequest = (cookie: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0xfe, 0xff, cookie.length), cookie]);

export function serverHello(random: Buffer, suite: number, hello: ClientHello): Buffer {
  const extensions: Buffer[] = [];
  if (hello.hasExtendedMasterSecret) extensions.push(extension(EXTENDED_MASTER_SECRET, Buffer.alloc(0)));
  if (hello.asksForRenegotiationInfo) extensions.push(extension(RENEGOTIATION_INFO, Buffer.of(0)));
  const all = Buffer.concat(extensions);
  const head = Buffer.of(0xfe, 0xfd);
  // No session id: a handshake with a pre-shared key costs little more than a resumed one.
  const chosen = Buffer.of(0, suite >> 8, suite & 0xff, 0);
  const length = Buffer.of(all.length >> 8, all.length & 0xff);
  return Buffer.concat(all.length === 0 ? [head, random, chosen] : [head, random, chosen, length, all]);
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type >> 8, type & 0xff, content.length >> 8, content.length & 0xff), content]);
}

/** RFC 4279 section 2. @returns undefined for what is none, or has an identity longer than a device's */
export function readPskIdentity(body: Buffer): Buffer | undefined {
  if (body.length < 2) return undefined;
  const length = body.readUInt16BE(0);
  return length === body.length - 2 && length <= limits.dtlsIdentityBytesMax ? body.subarray(2) : undefined;
}

/** Puts the messages of one peer together again, in their order. What it keeps is bounded by their number and their size. */
export class HandshakeReader {
  /** Of the message that is awaited. */
  #next: number;
  readonly #partial = new Map<number, { type: number; bytes: Buffer; have: Uint8Array; missing: number }>();

  constructor(next: number) {
    this.#next = next;
  }

  /** Takes a fragment. @returns 'old' = of a message that was complete before: the peer has not got the answer to it */
  take({ type, length, sequence, offset, body }: Fragment): 'old' | 'new' | 'ignored' {
    if (sequence < this.#next) return 'old';
    if (sequence > this.#next + limits.dtlsHandshakeAheadMax) return 'ignored';
    let partial = this.#partial.get(sequence);
    if (partial === undefined) {
      partial = { type, bytes: Buffer.alloc(length), have: new Uint8Array(length), missing: length };
      this.#partial.set(sequence, partial);
    }
    if (partial.type !== type || partial.bytes.length !== length) return 'ignored';
    for (let at = 0; at < body.length; at++) {
      if (partial.have[offset + at] === 1) continue;
      partial.have[offset + at] = 1;
      partial.bytes[offset + at] = body[at];
      partial.missing--;
    }
    return 'new';
  }

  /** The next message, once it is whole. */
  next(): { readonly type: number; readonly sequence: number; readonly body: Buffer } | undefined {
    const partial = this.#partial.get(this.#next);
    if (partial === undefined || partial.missing > 0) return undefined;
    this.#partial.delete(this.#next);
    return { type: partial.type, sequence: this.#next++, body: partial.bytes };
  }
}

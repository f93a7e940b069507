/**
 * OSCORE, RFC 8613: keys, the option, and what is sealed. AES-CCM-16-64-128 with HKDF-SHA-256, the algorithms that every
 * implementation has (section 3.2). Knows no sequence numbers and no windows: who calls gives each number to one message only.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { type CoapMessage, type CoapOption, empty, MalformedCoap, options } from './messages.ts';
import { decodeOptions, encodeOptions, optionsLength } from './options.ts';

const CIPHER = 'aes-128-ccm';
const ALGORITHM = 10;
const KEY_BYTES = 16;
const NONCE_BYTES = 13;
const TAG_BYTES = 8;
/** Partial IV: 5 bytes (section 3.2.1), so that ids have 7 at most. */
const NUMBER_BYTES_MAX = 5;
const ID_BYTES_MAX = NONCE_BYTES - 6;
export const OSCORE_NUMBER_MAX = 2 ** 40 - 1;

export interface OscoreSecret {
  readonly masterSecret: Uint8Array;
  readonly masterSalt: Uint8Array;
  readonly idContext: Buffer | undefined;
  readonly senderId: Buffer;
  readonly recipientId: Buffer;
}

/** What both directions are sealed and opened with. */
export interface OscoreKeys {
  readonly senderId: Buffer;
  readonly recipientId: Buffer;
  readonly senderKey: Buffer;
  readonly recipientKey: Buffer;
  readonly commonIv: Buffer;
}

/** Section 3.2.1. */
export function deriveKeys(secret: OscoreSecret): OscoreKeys {
  const { senderId, recipientId } = secret;
  const derived = (id: Buffer, type: string, bytes: number): Buffer => {
    const context = secret.idContext === undefined ? Buffer.of(0xf6) : byteString(secret.idContext);
    const name = Buffer.from(type);
    const info = Buffer.concat([
      Buffer.of(0x85),
      byteString(id),
      context,
      Buffer.of(ALGORITHM, 0x60 | name.length),
      name,
      Buffer.of(bytes),
    ]);
    return Buffer.from(hkdfSync('sha256', secret.masterSecret, secret.masterSalt, info, bytes));
  };
  return {
    senderId,
    recipientId,
    senderKey: derived(senderId, 'Key', KEY_BYTES),
    recipientKey: derived(recipientId, 'Key', KEY_BYTES),
    commonIv: derived(empty, 'IV', NONCE_BYTES),
  };
}

/** The value of the OSCORE option, section 6.1. */
export interface OscoreOption {
  /** The sender's sequence number as it is on the wire, 1 to 5 bytes; undefined = none (a response). */
  readonly number: Buffer | undefined;
  readonly kidContext: Buffer | undefined;
  readonly kid: Buffer | undefined;
}

/** @throws MalformedCoap */
export function decodeOscoreOption(value: Buffer): OscoreOption {
  if (value.length === 0) return { number: undefined, kidContext: undefined, kid: undefined };
  const flags = value[0];
  const numberBytes = flags & 0x07;
  if ((flags & 0xe0) !== 0 || numberBytes > NUMBER_BYTES_MAX) throw new MalformedCoap('reserved bits (RFC 8613 6.1)');
  let at = 1;
  const take = (count: number): Buffer => {
    if (at + count > value.length) throw new MalformedCoap('the OSCORE option ends within a field (RFC 8613 6.1)');
    at += count;
    return value.subarray(at - count, at);
  };
  const number = numberBytes === 0 ? undefined : take(numberBytes);
  const kidContext = (flags & 0x10) === 0 ? undefined : take(take(1)[0]);
  const kid = (flags & 0x08) === 0 ? undefined : take(value.length - at);
  if (at !== value.length) throw new MalformedCoap('bytes behind the last field (RFC 8613 6.1)');
  if (kid !== undefined && kid.length > ID_BYTES_MAX) throw new MalformedCoap('a kid of more than 7 bytes');
  return { number, kidContext, kid };
}

export function encodeOscoreOption({ number, kidContext, kid }: OscoreOption): Buffer {
  const flags = (number?.length ?? 0) | (kidContext === undefined ? 0 : 0x10) | (kid === undefined ? 0 : 0x08);
  if (flags === 0) return empty;
  const parts = [Buffer.of(flags), number ?? empty];
  if (kidContext !== undefined) parts.push(Buffer.of(kidContext.length), kidContext);
  return Buffer.concat([...parts, kid ?? empty]);
}

/** A sequence number in its wire form: as few bytes as it needs, at least one. */
export function numberBytes(number: number): Buffer {
  const bytes = Buffer.alloc(NUMBER_BYTES_MAX);
  bytes.writeUIntBE(number, 0, NUMBER_BYTES_MAX);
  let at = 0;
  while (at < NUMBER_BYTES_MAX - 1 && bytes[at] === 0) at++;
  return bytes.subarray(at);
}

/** What a request's answers are bound to: its kid and its number. */
export interface RequestId {
  readonly kid: Buffer;
  readonly number: Buffer;
}

/** Section 5.2. @param id Of the endpoint whose number it is */
export function nonceOf(commonIv: Buffer, id: Buffer, number: Buffer): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce[0] = id.length;
  id.copy(nonce, 1 + ID_BYTES_MAX - id.length);
  number.copy(nonce, NONCE_BYTES - number.length);
  for (let at = 0; at < NONCE_BYTES; at++) nonce[at] ^= commonIv[at];
  return nonce;
}

/** Code, options and payload, sealed (section 5.3). @param message Only what is to be hidden */
export function seal(key: Buffer, nonce: Buffer, request: RequestId, message: Omit<CoapMessage, 'token'>): Buffer {
  const plain = Buffer.allocUnsafe(1 + optionsLength(message.options, message.payload));
  plain[0] = message.code;
  encodeOptions(plain, 1, message.options, message.payload);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(additionalData(request), { plaintextLength: plain.length });
  const sealed = cipher.update(plain);
  cipher.final();
  return Buffer.concat([sealed, cipher.getAuthTag()]);
}

/** @returns undefined where the seal is broken. @throws MalformedCoap where what was sealed is no message */
export function unseal(
  key: Buffer,
  nonce: Buffer,
  request: RequestId,
  sealed: Buffer,
): Omit<CoapMessage, 'token'> | undefined {
  const length = sealed.length - TAG_BYTES;
  if (length < 1) return undefined;
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(length));
  decipher.setAAD(additionalData(request), { plaintextLength: length });
  let plain: Buffer;
  try {
    plain = decipher.update(sealed.subarray(0, length));
    decipher.final();
  } catch {
    return undefined;
  }
  return { code: plain[0], ...decodeOptions(plain, 1, plain.length) };
}

/** Options that are not sealed (class U, section 4.1). */
const outer = new Set<number>([
  options.uriHost,
  options.uriPort,
  options.proxyUri,
  options.proxyScheme,
  options.oscore,
]);
export const isOuter = ({ number }: CoapOption): boolean => outer.has(number);

/** Section 5.4: the array of version, algorithm, kid, number and no class I options, as RFC 9052 wants it around. */
function additionalData({ kid, number }: RequestId): Buffer {
  const external = Buffer.concat([
    Buffer.of(0x85, 0x01, 0x81, ALGORITHM),
    byteString(kid),
    byteString(number),
    Buffer.of(0x40),
  ]);
  return Buffer.concat([Buffer.of(0x83, 0x68), Buffer.from('Encrypt0'), Buffer.of(0x40), byteString(external)]);
}

/** A CBOR byte string of up to 255 bytes. */
function byteString(bytes: Buffer): Buffer {
  const head = bytes.length < 24 ? Buffer.of(0x40 | bytes.length) : Buffer.of(0x58, bytes.length);
  return Buffer.concat([head, bytes]);
}

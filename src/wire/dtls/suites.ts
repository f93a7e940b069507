/** Keys and sealed records of the suites with pre-shared keys: RFC 5246 (PRF), 4279, 5487 (GCM), 6655 (CCM), 7627. */
import {
  type CipherCCMTypes,
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
} from 'node:crypto';
import type { DtlsRecord } from './records.ts';

export interface Suite {
  readonly id: number;
  readonly name: string;
  readonly cipher: CipherCCMTypes | CipherGCMTypes;
  readonly tagBytes: number;
}

/** In the order of preference of the hub: all have keys of 128 bits; the shorter tag saves 8 bytes a record, and RFC 7252 9.1.3.1 names it. */
export const suites: readonly Suite[] = [
  { id: 0xc0a8, name: 'TLS_PSK_WITH_AES_128_CCM_8', cipher: 'aes-128-ccm', tagBytes: 8 },
  { id: 0xc0a4, name: 'TLS_PSK_WITH_AES_128_CCM', cipher: 'aes-128-ccm', tagBytes: 16 },
  { id: 0x00a8, name: 'TLS_PSK_WITH_AES_128_GCM_SHA256', cipher: 'aes-128-gcm', tagBytes: 16 },
];

const KEY_BYTES = 16;
const SALT_BYTES = 4;
const EXPLICIT_NONCE_BYTES = 8;
const MASTER_SECRET_BYTES = 48;
const VERIFY_BYTES = 12;

export const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

const hmac = (key: Buffer, ...parts: readonly Buffer[]): Buffer => {
  const hash = createHmac('sha256', key);
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** RFC 5246 section 5. */
export function prf(secret: Buffer, label: string, seed: Buffer, bytes: number): Buffer {
  const labelled = Buffer.concat([Buffer.from(label), seed]);
  const parts: Buffer[] = [];
  let a: Buffer = labelled;
  for (let made = 0; made < bytes; made += 32) {
    a = hmac(secret, a);
    parts.push(hmac(secret, a, labelled));
  }
  return Buffer.concat(parts).subarray(0, bytes);
}

export interface Randoms {
  readonly client: Buffer;
  readonly server: Buffer;
}

/**
 * RFC 4279 section 2 (premaster secret) and, where the client has asked for it, RFC 7627 section 4.
 * @param sessionHash Of the handshake up to the ClientKeyExchange; undefined = the secret is bound to the randoms only
 */
export function masterSecret(key: Uint8Array, randoms: Randoms, sessionHash: Buffer | undefined): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(key.length);
  const premaster = Buffer.concat([length, Buffer.alloc(key.length), length, key]);
  return sessionHash === undefined
    ? prf(premaster, 'master secret', Buffer.concat([randoms.client, randoms.server]), MASTER_SECRET_BYTES)
    : prf(premaster, 'extended master secret', sessionHash, MASTER_SECRET_BYTES);
}

export const verifyData = (master: Buffer, end: 'client' | 'server', handshakeHash: Buffer): Buffer =>
  prf(master, `${end} finished`, handshakeHash, VERIFY_BYTES);

/** The key of one direction. */
export interface RecordKey {
  readonly suite: Suite;
  readonly key: Buffer;
  readonly salt: Buffer;
}

export function recordKeys(suite: Suite, master: Buffer, randoms: Randoms): { client: RecordKey; server: RecordKey } {
  const seed = Buffer.concat([randoms.server, randoms.client]);
  const block = prf(master, 'key expansion', seed, 2 * (KEY_BYTES + SALT_BYTES));
  const part = (from: number, bytes: number): Buffer => block.subarray(from, from + bytes);
  return {
    client: { suite, key: part(0, KEY_BYTES), salt: part(2 * KEY_BYTES, SALT_BYTES) },
    server: { suite, key: part(KEY_BYTES, KEY_BYTES), salt: part(2 * KEY_BYTES + SALT_BYTES, SALT_BYTES) },
  };
}

/** The fragment of a record, sealed; its nonce is its epoch and number, which are never given twice. */
export function sealFragment({ suite, key, salt }: RecordKey, record: DtlsRecord): Buffer {
  const explicit = numberOf(record);
  const cipher = createCipheriv(suite.cipher as CipherCCMTypes, key, Buffer.concat([salt, explicit]), {
    authTagLength: suite.tagBytes,
  });
  const { length } = record.fragment;
  cipher.setAAD(additionalData(explicit, record, length), { plaintextLength: length });
  const sealed = cipher.update(record.fragment);
  cipher.final();
  return Buffer.concat([explicit, sealed, cipher.getAuthTag()]);
}

/** @returns undefined where the seal is broken */
export function openFragment({ suite, key, salt }: RecordKey, record: DtlsRecord): Buffer | undefined {
  const { fragment } = record;
  const length = fragment.length - EXPLICIT_NONCE_BYTES - suite.tagBytes;
  if (length < 0) return undefined;
  const end = EXPLICIT_NONCE_BYTES + length;
  const nonce = Buffer.concat([salt, fragment.subarray(0, EXPLICIT_NONCE_BYTES)]);
  const decipher = createDecipheriv(suite.cipher as CipherCCMTypes, key, nonce, { authTagLength: suite.tagBytes });
  decipher.setAuthTag(fragment.subarray(end));
  decipher.setAAD(additionalData(numberOf(record), record, length), { plaintextLength: length });
  try {
    const plain = decipher.update(fragment.subarray(EXPLICIT_NONCE_BYTES, end));
    decipher.final();
    return plain;
  } catch {
    return undefined;
  }
}

function numberOf({ epoch, sequence }: DtlsRecord): Buffer {
  const number = Buffer.allocUnsafe(EXPLICIT_NONCE_BYTES);
  number.writeUInt16BE(epoch, 0);
  number.writeUIntBE(sequence, 2, 6);
  return number;
}

/** RFC 6347 section 4.1.2.1, RFC 5246 section 6.2.3.3. */
function additionalData(number: Buffer, { type, version }: DtlsRecord, length: number): Buffer {
  return Buffer.concat([number, Buffer.of(type, version >> 8, version & 0xff, length >> 8, length & 0xff)]);
}

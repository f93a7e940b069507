/**
 * Secrets at rest: AES-256-GCM under a key that is not in the tables. What a sealed text belongs to (identity and field)
 * is authenticated with it, so that nobody with access to the file can move a known key to another identity.
 *
 *     <key id>.<base64url of 12 bytes nonce, ciphertext, 16 bytes tag>
 *
 * The key id (of a hash of the key) says which key of the ring opens it: after a rotation old rows stay readable.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey, randomFillSync } from 'node:crypto';
import { assert } from '../../base/assert.ts';

/** Keys of 32 bytes; the first seals, all of them open. Plain data, so that it crosses to the tables' thread. */
export interface KeyRing {
  readonly keys: readonly Uint8Array[];
  /** Where the keys came from, for messages: a file's name or a setting's. */
  readonly source: string;
}

export interface KeyCipher {
  /** @param context what the secret belongs to: table, identity, field. */
  seal(secret: string, context: readonly string[]): string;
  /** @throws Error when no key of the ring fits, or the text is not what was sealed for this context. */
  open(sealed: string, context: readonly string[]): string;
  /** Whether the key that seals now has sealed it, and not an older one of the ring. */
  isCurrent(sealed: string): boolean;
}

export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export function createKeyCipher(ring: KeyRing): KeyCipher {
  const keys = new Map(ring.keys.map((key) => [keyId(key), createSecretKey(key)]));
  const [currentId] = keys.keys();
  assert(
    currentId !== undefined && ring.keys.every((key) => key.length === KEY_BYTES),
    'a ring holds keys of 32 bytes',
  );
  const current = keys.get(currentId)!;
  const nextNonce = nonces();
  return {
    seal(secret, context) {
      const nonce = nextNonce();
      const cipher = createCipheriv('aes-256-gcm', current, nonce).setAAD(aad(context));
      const sealed = Buffer.concat([nonce, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `${currentId}.${sealed.toString('base64url')}`;
    },
    isCurrent: (text) => text.startsWith(`${currentId}.`),
    open(text, context) {
      const dot = text.indexOf('.');
      const id = text.slice(0, dot);
      const key = keys.get(id);
      if (key === undefined) throw new Error(`it was sealed with key ${printable(id)}, which is not among those given`);
      const bytes = Buffer.from(text.slice(dot + 1), 'base64url');
      if (bytes.length < NONCE_BYTES + TAG_BYTES) throw new Error('it is shorter than a sealed text can be');
      const tagAt = bytes.length - TAG_BYTES;
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(aad(context)).setAuthTag(bytes.subarray(tagAt));
      const secret = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, tagAt)), decipher.final()]);
      return secret.toString('utf8');
    },
  };
}

/** Names a key without telling anything of it. */
export function keyId(key: Uint8Array): string {
  return createHash('sha256').update('key id').update(key).digest('hex').slice(0, 16);
}

/** Random nonces, drawn many at a time: one call of the generator costs as much as sealing itself. */
function nonces(): () => Buffer {
  const pool = Buffer.alloc(NONCE_BYTES * 256);
  let at = pool.length;
  return () => {
    if (at === pool.length) {
      randomFillSync(pool);
      at = 0;
    }
    at += NONCE_BYTES;
    return pool.subarray(at - NONCE_BYTES, at);
  };
}

/** Unambiguous: no two contexts share a JSON text. */
function aad(context: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(context), 'utf8');
}

function printable(id: string): string {
  return /^[0-9a-f]{16}$/.test(id) ? id : '(unreadable)';
}

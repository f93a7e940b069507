/**
 * Which credentials of an identity stood when it proved itself, so that what was opened by old ones ends when none of them
 * stands any more: both keys (or thumbprints) replaced, or the kind of authentication changed. One key replaced by itself
 * is a rotation, and ends nothing.
 */
import { createHash } from 'node:crypto';
import type { IdentityAuthentication } from './types.ts';

/** Of a key as many characters as tell it from another; they lead back to no key. */
const FINGERPRINT_CHARS = 16;

/** A short text that names the credentials without holding any: `sas:<fingerprint>,<fingerprint>`. */
export function credentialsOf({ type, symmetricKey, x509Thumbprint }: Readonly<IdentityAuthentication>): string {
  switch (type) {
    case 'sas':
      return `sas:${[symmetricKey?.primaryKey, symmetricKey?.secondaryKey].map(fingerprint).join(',')}`;
    case 'selfSigned': {
      const thumbprints = [x509Thumbprint?.primaryThumbprint, x509Thumbprint?.secondaryThumbprint];
      return `selfSigned:${thumbprints.map((thumbprint) => thumbprint?.toLowerCase() ?? '').join(',')}`;
    }
    default:
      return type;
  }
}

/** Whether one of the credentials that `shown` names (`credentialsOf`) is still the identity's. */
export function stillStand(shown: string, authentication: IdentityAuthentication): boolean {
  const now = credentialsOf(authentication);
  if (shown === now) return true;
  const [type, then] = parts(shown);
  const [typeNow, left] = parts(now);
  return type === typeNow && then.some((credential) => left.includes(credential));
}

function parts(credentials: string): readonly [type: string, each: readonly string[]] {
  const [type, list = ''] = credentials.split(':');
  return [type, list.split(',').filter((credential) => credential !== '')];
}

function fingerprint(key: string | undefined): string {
  return key === undefined ? '' : createHash('sha256').update(key).digest('hex').slice(0, FINGERPRINT_CHARS);
}

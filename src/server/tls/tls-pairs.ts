/** Certificates with their keys, in files, and what they say. */
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { writeFileDurably } from '../data/data-folder.ts';
import type { PemPair, SubjectName } from './certificates.ts';

/** A certificate of ours is renewed when less than this is left. */
const renewalMs = 30 * 86_400_000;

/** A certificate that cannot be used; the message says which file and what to do. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
}

/** The key first: where the certificate is, its key is too, wherever a crash cut in. */
export function writePair(certFile: string, keyFile: string, pair: PemPair): void {
  writeFileDurably(keyFile, pair.key);
  writeFileDurably(certFile, pair.cert);
}

export function readPairIfThere(certFile: string, keyFile: string): PemPair | undefined {
  return existsSync(certFile) && existsSync(keyFile) ? readPair(certFile, keyFile) : undefined;
}

/** Whether a server certificate still has these names, this authority, and time left. */
export function isCurrent(cert: string, authority: string, names: readonly SubjectName[], now: number): boolean {
  const certificate = new X509Certificate(cert);
  const issuer = new X509Certificate(authority);
  const has = new Set(namesOf(certificate));
  return (
    certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey) &&
    Date.parse(certificate.validTo) - now > renewalMs &&
    Date.parse(certificate.validFrom) <= now &&
    has.size === names.length &&
    names.every(({ value }) => has.has(comparable(value)))
  );
}

/** Names as `subjectAltName` shows them: `DNS:localhost, IP Address:127.0.0.1`. */
export function namesOf(certificate: X509Certificate): readonly string[] {
  return [...(certificate.subjectAltName ?? '').matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map((match) =>
    comparable(match[1]),
  );
}

/** IPv6 addresses have several spellings; the URL parser knows the shortest one. */
function comparable(name: string): string {
  return name.includes(':') ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name.toLowerCase();
}

/** @throws TlsError */
export function readPair(certFile: string, keyFile: string): PemPair {
  try {
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } catch (error) {
    throw new TlsError(`The certificate cannot be read (${(error as Error).message}). Check the path and the rights.`, {
      cause: error,
    });
  }
}

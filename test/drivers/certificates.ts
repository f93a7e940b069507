/** Authorities, intermediates and device certificates (P-256) for tests; each says only what differs from the usual. */
import 'reflect-metadata';
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { PeerCertificate } from '../../src/core/identity/types.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

export interface TestCertificate {
  readonly pem: string;
  readonly keyPem: string;
  readonly der: Buffer;
  readonly commonName: string;
  readonly keys: webcrypto.CryptoKeyPair;
  /** Lower-case hexadecimal. */
  readonly sha1: string;
  readonly sha256: string;
}

export interface CertificateWish {
  /** Absent = self-signed. */
  readonly issuer?: TestCertificate;
  /** UTC milliseconds; default: from a day before `now` to 30 days after. */
  readonly now?: number;
  readonly validFrom?: number;
  readonly validTo?: number;
  /** An authority; `pathLength` bounds the intermediates below it. */
  readonly authority?: { readonly pathLength?: number } | false;
  readonly extensions?: readonly x509.Extension[];
  /** A new certificate for the same key pair. */
  readonly keys?: webcrypto.CryptoKeyPair;
}

export async function makeCertificate(commonName: string, wish: CertificateWish = {}): Promise<TestCertificate> {
  const keys =
    wish.keys ?? ((await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair);
  const now = wish.now ?? Date.now();
  const authority = wish.authority === false ? undefined : wish.authority;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomBytes(12).toString('hex').replace(/^./, '4'),
    subject: [{ CN: [commonName] }],
    issuer: wish.issuer === undefined ? [{ CN: [commonName] }] : new x509.X509Certificate(wish.issuer.der).subjectName,
    notBefore: new Date(wish.validFrom ?? now - DAY_MS),
    notAfter: new Date(wish.validTo ?? now + 30 * DAY_MS),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: (wish.issuer?.keys ?? keys).privateKey,
    extensions: [
      ...(authority === undefined
        ? []
        : [
            new x509.BasicConstraintsExtension(true, authority.pathLength, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
          ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(wish.extensions ?? []),
    ],
  });
  const der = Buffer.from(certificate.rawData);
  const read = new X509Certificate(der);
  return {
    pem: `${certificate.toString('pem')}\n`,
    keyPem: x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'),
    der,
    commonName,
    keys,
    sha1: read.fingerprint.replaceAll(':', '').toLowerCase(),
    sha256: read.fingerprint256.replaceAll(':', '').toLowerCase(),
  };
}

export const makeAuthorityCertificate = (name: string, wish: CertificateWish = {}): Promise<TestCertificate> =>
  makeCertificate(name, { authority: {}, ...wish });

/** What the TLS layer tells of a client: the leaf, and the intermediates that it sent. */
export function peerCertificate(
  leaf: TestCertificate,
  intermediates: readonly TestCertificate[] = [],
): PeerCertificate {
  const read = new X509Certificate(leaf.der);
  return {
    commonName: leaf.commonName,
    sha1: leaf.sha1,
    sha256: leaf.sha256,
    validFrom: read.validFromDate.getTime(),
    validTo: read.validToDate.getTime(),
    chain: [leaf, ...intermediates].map(({ der }) => der),
  };
}

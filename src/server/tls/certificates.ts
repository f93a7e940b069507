/**
 * The hub's private certificate authority (P-256) and the two server certificates that it signs: ECDSA P-256, and RSA for
 * TLS stacks that know nothing else. The authority lives as long as its devices trust it, so it is made once; the
 * server certificates are renewed whenever their names or their end ask for it, which no client notices.
 */
import { webcrypto } from 'node:crypto';
import type * as X509 from '@peculiar/x509';
import type { Random } from '../../base/random.ts';

const DAY_MS = 86_400_000;
const authorityDays = 3650;
/** Under the 398 days that browsers take. */
const serverDays = 397;
/** Certificates begin an hour early, for devices whose clock is behind. */
const backdateMs = 3_600_000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** 2048 bits: what small devices take, and a longer key costs the hub four times as much for each handshake. */
const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};

/** The kinds of server certificates, the preferred one first. */
export const serverKeyKinds = ['ecdsa', 'rsa'] as const;
export type ServerKeyKind = (typeof serverKeyKinds)[number];

export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

/** Loaded when a certificate is made, which few starts do: it takes longer to load than all of the hub's doors. */
async function library(): Promise<typeof X509> {
  // The library wants it to be there first.
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

/** A new authority. `now` is UTC milliseconds. */
export async function makeAuthority(hubName: string, now: number, random: Random): Promise<PemPair> {
  const x509 = await library();
  const keys = await makeKeys('ecdsa');
  const serialNumber = serial(random);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    // The serial number keeps two authorities of one hub name apart in a machine's list of trusted ones.
    name: [{ CN: [`Mooring CA of ${hubName} ${serialNumber.slice(0, 8)}`] }],
    ...validity(now, authorityDays),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: pem(certificate), key: await privatePem(keys.privateKey) };
}

/** A server certificate of `authority` for `names`: DNS names and IP addresses. */
export async function makeServerCertificate(
  authority: PemPair,
  names: readonly SubjectName[],
  now: number,
  random: Random,
  kind: ServerKeyKind = 'ecdsa',
): Promise<PemPair> {
  const { ExtendedKeyUsage } = await library();
  return makeCertificate(authority, { names, kind, usages: [ExtendedKeyUsage.serverAuth], now, random });
}

/** A certificate for links between nodes, at both ends, with one name: a URI. */
export async function makeNodeCertificate(
  authority: PemPair,
  name: string,
  now: number,
  random: Random,
): Promise<PemPair> {
  const { ExtendedKeyUsage } = await library();
  const usages = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];
  return makeCertificate(authority, { names: [{ type: 'url', value: name }], kind: 'ecdsa', usages, now, random });
}

interface CertificateWish {
  readonly names: readonly { readonly type: SubjectName['type'] | 'url'; readonly value: string }[];
  readonly kind: ServerKeyKind;
  readonly usages: X509.ExtendedKeyUsageType[];
  readonly now: number;
  readonly random: Random;
}

async function makeCertificate(
  authority: PemPair,
  { names, kind, usages, now, random }: CertificateWish,
): Promise<PemPair> {
  const x509 = await library();
  const issuer = new x509.X509Certificate(authority.cert);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    x509.PemConverter.decodeFirst(authority.key),
    algorithm,
    false,
    ['sign'],
  );
  const keys = await makeKeys(kind);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(random),
    subject: [{ CN: [names[0].value.slice(0, 64)] }],
    issuer: issuer.subjectName,
    ...validity(now, serverDays, issuer.notAfter.getTime()),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      new x509.SubjectAlternativeNameExtension(names.map(({ type, value }) => ({ type, value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: pem(certificate), key: await privatePem(keys.privateKey) };
}

export interface SubjectName {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

function makeKeys(kind: ServerKeyKind): Promise<CryptoKeyPair> {
  const usages: ('sign' | 'verify')[] = ['sign', 'verify'];
  return kind === 'rsa'
    ? webcrypto.subtle.generateKey(rsa, true, usages)
    : (webcrypto.subtle.generateKey(algorithm, true, usages) as Promise<CryptoKeyPair>);
}

type CryptoKeyPair = webcrypto.CryptoKeyPair;

function validity(now: number, days: number, notAfterMax = Number.POSITIVE_INFINITY) {
  return {
    notBefore: new Date(now - backdateMs),
    notAfter: new Date(Math.min(now + days * DAY_MS, notAfterMax)),
  };
}

/** Sixteen random bytes, positive (RFC 5280 4.1.2.2). */
function serial(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  return bytes.toString('hex');
}

const pem = (certificate: X509.X509Certificate): string => `${certificate.toString('pem')}\n`;

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const { PemConverter } = await library();
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

/**
 * What a decision needs to know of one X.509 certificate. The runtime reads names, dates and keys; three extensions that
 * it does not show (RFC 5280 section 4.2) are read here, from bytes that its parser has already taken for a certificate.
 */
import { X509Certificate } from 'node:crypto';
import { limits } from '../../base/limits.ts';

export interface CertificateFacts {
  readonly x509: X509Certificate;
  readonly der: Uint8Array;
  /** SHA-256, lower-case hexadecimal without separators. */
  readonly thumbprint: string;
  /** UTC milliseconds. */
  readonly validFrom: number;
  readonly validTo: number;
  /** May sign certificates: basic constraints say "CA", and key usage does not say otherwise. */
  readonly isAuthority: boolean;
  /** How many intermediates may stand between it and a leaf. */
  readonly pathLengthMax: number;
  /** May prove a client: neither key usage nor extended key usage says otherwise. */
  readonly provesClients: boolean;
  /**
   * Must not be relied on: it carries a critical extension that is not read here (RFC 5280 section 4.2), or name constraints,
   * critical or not. Those confine an authority to names; what they would keep out must not come in because nobody looked.
   */
  readonly hasUnknownCriticalExtension: boolean;
}

/** @returns undefined when the bytes are no certificate, or too many */
export function readCertificate(der: Uint8Array): CertificateFacts | undefined {
  if (der.length > limits.certificateBytesMax) return undefined;
  try {
    const x509 = new X509Certificate(der);
    const extensions = extensionsOf(Buffer.from(x509.raw));
    const value = (oid: string): Buffer | undefined => extensions.find((extension) => extension.oid === oid)?.value;
    const constraints = readBasicConstraints(value(oids.basicConstraints));
    const usage = readKeyUsage(value(oids.keyUsage));
    const purposes = value(oids.extendedKeyUsage) === undefined ? undefined : x509.keyUsage;
    return {
      x509,
      der: x509.raw,
      thumbprint: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
      validFrom: x509.validFromDate.getTime(),
      validTo: x509.validToDate.getTime(),
      isAuthority: constraints.isAuthority && (usage === undefined || (usage & KEY_CERT_SIGN) !== 0),
      pathLengthMax: constraints.pathLengthMax,
      provesClients:
        (usage === undefined || (usage & (DIGITAL_SIGNATURE | KEY_AGREEMENT)) !== 0) &&
        (purposes === undefined || purposes.some((purpose) => clientPurposes.has(purpose))),
      hasUnknownCriticalExtension: extensions.some(
        ({ oid, critical }) => oid === NAME_CONSTRAINTS || (critical && !knownOids.has(oid)),
      ),
    };
  } catch {
    return undefined;
  }
}

/** The one common name of a certificate's subject; undefined when there is none, or more than one. */
export function commonNameOf({ x509 }: CertificateFacts): string | undefined {
  const { CN } = x509.toLegacyObject().subject as { readonly CN?: unknown };
  return typeof CN === 'string' ? CN : undefined;
}

/** Object identifiers as their encoded bytes in hexadecimal. */
const oids = {
  subjectKeyIdentifier: '551d0e',
  keyUsage: '551d0f',
  subjectAlternativeName: '551d11',
  basicConstraints: '551d13',
  certificatePolicies: '551d20',
  authorityKeyIdentifier: '551d23',
  extendedKeyUsage: '551d25',
} as const;
const NAME_CONSTRAINTS = '551d1e';
const knownOids: ReadonlySet<string> = new Set(Object.values(oids));
const clientPurposes: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.3.2', '2.5.29.37.0']);

/** Bits of the first byte of key usage (RFC 5280 section 4.2.1.3). */
const DIGITAL_SIGNATURE = 0x80;
const KEY_AGREEMENT = 0x08;
const KEY_CERT_SIGN = 0x04;

const TAG_BOOLEAN = 0x01;
const TAG_INTEGER = 0x02;
const TAG_BIT_STRING = 0x03;
const TAG_SEQUENCE = 0x30;
/** `[3] EXPLICIT Extensions` of TBSCertificate. */
const TAG_EXTENSIONS = 0xa3;

interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Buffer;
}

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

function extensionsOf(der: Buffer): readonly Extension[] {
  const [certificate] = elements(der);
  const [tbs] = elements(certificate.content);
  const wrapped = elements(tbs.content).find(({ tag }) => tag === TAG_EXTENSIONS);
  if (wrapped === undefined) return [];
  const [list] = elements(wrapped.content);
  return elements(list.content).map(({ content }) => {
    const parts = elements(content);
    const critical = parts[1].tag === TAG_BOOLEAN && parts[1].content[0] !== 0;
    return { oid: parts[0].content.toString('hex'), critical, value: parts[parts.length - 1].content };
  });
}

function readBasicConstraints(value: Buffer | undefined): { isAuthority: boolean; pathLengthMax: number } {
  if (value === undefined) return { isAuthority: false, pathLengthMax: 0 };
  const [sequence] = elements(value);
  if (sequence.tag !== TAG_SEQUENCE) throw new RangeError('basic constraints are no sequence');
  const parts = elements(sequence.content);
  const length = parts.find(({ tag }) => tag === TAG_INTEGER)?.content;
  return {
    isAuthority: parts.some(({ tag, content }) => tag === TAG_BOOLEAN && content[0] !== 0),
    // One of several bytes is longer than any chain that is read.
    pathLengthMax: length?.length === 1 ? length[0] & 0x7f : Number.POSITIVE_INFINITY,
  };
}

function readKeyUsage(value: Buffer | undefined): number | undefined {
  if (value === undefined) return undefined;
  const [bits] = elements(value);
  if (bits.tag !== TAG_BIT_STRING) throw new RangeError('key usage is no bit string');
  return bits.content[1] ?? 0;
}

/** The elements that fill `bytes` (DER: one-byte tags, definite lengths). @throws RangeError */
function elements(bytes: Buffer): readonly Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at];
    let length = bytes.readUInt8(at + 1);
    let start = at + 2;
    if (length > 0x80) {
      const size = length & 0x7f;
      if (size > 4) throw new RangeError('a length of more than four bytes');
      length = bytes.readUIntBE(start, size);
      start += size;
    }
    if (start + length > bytes.length) throw new RangeError('an element that is longer than what holds it');
    found.push({ tag, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return found;
}

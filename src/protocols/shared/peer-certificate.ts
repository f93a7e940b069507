import { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { limits } from '../../base/limits.ts';
import type { PeerCertificate } from '../../core/identity/types.ts';

/**
 * What the peer's certificate says, or undefined when there is none: a plain connection, or a client that showed none.
 * Whether it is to be believed is decided in core; the TLS layer has only shown that the peer holds its key.
 *
 * A resumed TLS session brings the leaf without its intermediates. Only the leaf's own links are followed: mixing the two
 * faces that the runtime has for certificates loses them.
 */
export function peerCertificate(socket: Duplex): PeerCertificate | undefined {
  if (!(socket instanceof tls.TLSSocket)) return undefined;
  const leaf = socket.getPeerX509Certificate();
  return leaf && factsOf(leaf, chainOf(leaf));
}

/**
 * The same of a certificate that another program's TLS layer has seen, as a gateway's has. @param chain DER, leaf first
 * @returns undefined where the first is no certificate
 */
export function certificateOf(chain: readonly Uint8Array[]): PeerCertificate | undefined {
  try {
    return factsOf(new X509Certificate(chain[0]), chain);
  } catch {
    return undefined;
  }
}

function factsOf(leaf: X509Certificate, chain: readonly Uint8Array[]): PeerCertificate {
  const { CN } = leaf.toLegacyObject().subject as { readonly CN?: unknown };
  return {
    // Several common names are none.
    commonName: typeof CN === 'string' ? CN : '',
    sha1: hexadecimal(leaf.fingerprint),
    sha256: hexadecimal(leaf.fingerprint256),
    validFrom: leaf.validFromDate.getTime(),
    validTo: leaf.validToDate.getTime(),
    chain,
  };
}

/** The leaf, and as many of the certificates above it as a decision looks at. A root names itself as its issuer. */
function chainOf(leaf: X509Certificate): readonly Uint8Array[] {
  const chain: X509Certificate[] = [leaf];
  for (let next = leaf.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    const seen = next.fingerprint256;
    if (chain.length > limits.certificateIntermediatesMax + 1) break;
    if (chain.some(({ fingerprint256 }) => fingerprint256 === seen)) break;
    chain.push(next);
  }
  return chain.map(({ raw }) => raw);
}

function hexadecimal(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}

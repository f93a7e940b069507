/**
 * From a device's certificate to an authority that the hub has registered. Pure: certificates in, a chain or a reason out.
 * A resumed TLS session carries the leaf alone, so intermediates that were met before stand beside those that came.
 */
import { limits } from '../../base/limits.ts';
import type { CertificateFacts } from './certificate.ts';
import type { AuthenticationCheck } from './types.ts';

/** A registered authority, read. */
export interface TrustAnchor {
  readonly certificate: CertificateFacts;
  /** Only one that is verified lets anybody in. */
  readonly verified: boolean;
}

export type ChainResult =
  | {
      readonly kind: 'found';
      readonly anchor: TrustAnchor;
      /** From the leaf's issuer upwards; without the authority itself. */
      readonly intermediates: readonly CertificateFacts[];
      /** UTC milliseconds of the first end in the chain, the authority's included. */
      readonly validTo: number;
    }
  | { readonly kind: 'refused'; readonly check: AuthenticationCheck };

export interface ChainQuestion {
  readonly leaf: CertificateFacts;
  readonly intermediates: readonly CertificateFacts[];
  readonly anchors: readonly TrustAnchor[];
  /** UTC milliseconds. */
  readonly now: number;
  readonly clockSkewMs: number;
}

/**
 * The chain from `leaf` to a verified authority. Of several reasons against it, the answer names that of the chain that
 * came furthest. The work is bounded whatever came: so many signatures, so many steps.
 */
export function findChain(question: ChainQuestion): ChainResult {
  const { leaf, anchors } = question;
  const now = currency(leaf, question);
  if (now !== undefined) return { kind: 'refused', check: now };
  if (!leaf.provesClients || leaf.hasUnknownCriticalExtension) return { kind: 'refused', check: 'wrong-certificate' };
  let refusal: AuthenticationCheck = 'unknown-authority';
  let signaturesLeft: number = limits.certificateSignaturesMax;

  const isSignedBy = (lower: CertificateFacts, upper: CertificateFacts): boolean => {
    if (signaturesLeft === 0 || !lower.x509.checkIssued(upper.x509)) return false;
    signaturesLeft--;
    return lower.x509.verify(upper.x509.publicKey);
  };
  const climb = (path: readonly CertificateFacts[]): ChainResult | undefined => {
    const lower = path[path.length - 1];
    const below = path.length - 1;
    for (const anchor of anchors) {
      if (!isSignedBy(lower, anchor.certificate)) continue;
      const objection = anchor.verified
        ? authorityObjection(anchor.certificate, below, question)
        : 'unverified-authority';
      if (objection === undefined) {
        const validTo = Math.min(anchor.certificate.validTo, ...path.map((certificate) => certificate.validTo));
        return { kind: 'found', anchor, intermediates: path.slice(1), validTo };
      }
      refusal = objection;
    }
    if (below === limits.certificateIntermediatesMax) return undefined;
    for (const upper of question.intermediates) {
      if (path.some(({ thumbprint }) => thumbprint === upper.thumbprint) || !isSignedBy(lower, upper)) continue;
      const objection = authorityObjection(upper, below, question);
      if (objection !== undefined) refusal = objection;
      const found = objection === undefined ? climb([...path, upper]) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return climb([leaf]) ?? { kind: 'refused', check: refusal };
}

/** Why `certificate` may not have signed a chain with `below` intermediates under it. */
function authorityObjection(
  certificate: CertificateFacts,
  below: number,
  question: ChainQuestion,
): AuthenticationCheck | undefined {
  if (!certificate.isAuthority || certificate.pathLengthMax < below || certificate.hasUnknownCriticalExtension)
    return 'wrong-certificate';
  return currency(certificate, question);
}

function currency(
  { validFrom, validTo }: Pick<CertificateFacts, 'validFrom' | 'validTo'>,
  { now, clockSkewMs }: Pick<ChainQuestion, 'now' | 'clockSkewMs'>,
): AuthenticationCheck | undefined {
  if (validFrom - clockSkewMs > now) return 'premature-certificate';
  return validTo + clockSkewMs <= now ? 'expired-certificate' : undefined;
}

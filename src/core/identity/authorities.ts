import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import { type CertificateFacts, commonNameOf, readCertificate } from './certificate.ts';
import type { Guard, Guarded, Sheet } from './guard.ts';
import type { AuthorityStore } from './ports.ts';
import { generateEtag } from './rules.ts';
import type { Authority, Principal } from './types.ts';

/**
 * The certificate authorities whose devices may connect, as doors see them. A certificate is no secret, so a caller that adds
 * one proves first that it holds its key: by a certificate that the authority signs for a code of the hub's.
 */
export interface Authorities {
  /** In order of name. */
  list(principal: Principal): Promise<readonly AuthorityView[]>;
  /** @throws HubError CertificateAuthorityNotFound */
  get(principal: Principal, name: string): Promise<AuthorityView>;
  /**
   * Registers an authority, unverified, with the code for its proof. @param certificate PEM or DER.
   * @throws HubError ArgumentInvalid, CertificateAuthorityAlreadyExists, IotHubQuotaExceeded
   */
  add(principal: Principal, name: string, certificate: string | Uint8Array): Promise<AuthorityView>;
  /**
   * Takes the proof: a certificate whose common name is the code and which the authority has signed.
   * @throws HubError ArgumentInvalid, CertificateAuthorityNotFound, PreconditionFailed
   */
  prove(principal: Principal, name: string, proof: string | Uint8Array): Promise<AuthorityView>;
  /** Its devices lose their connections at once. @throws HubError CertificateAuthorityNotFound, PreconditionFailed */
  delete(principal: Principal, name: string, ifMatch?: string): Promise<void>;
}

export interface AuthorityView extends Authority {
  /** One line, `CN=…, O=…`. */
  readonly subject: string;
  /** UTC milliseconds. */
  readonly validFrom: number;
  readonly validTo: number;
}

export interface AuthoritiesParts {
  readonly guard: Guard;
  readonly store: AuthorityStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly countMax?: number;
}

const NAME = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.authorityNameCharsMax - 1}}$`);
const CODE_BYTES = 24;

const calls: Sheet<Authorities> = {
  list: { operation: 'authorities.read' },
  get: { operation: 'authorities.read' },
  add: { operation: 'authorities.write' },
  prove: { operation: 'authorities.write' },
  delete: { operation: 'authorities.write' },
};

export function createAuthorities({
  guard,
  store,
  clock,
  random,
  countMax = limits.authoritiesMax,
}: AuthoritiesParts): Guarded<Authorities> {
  const find = async (name: string): Promise<Authority> => {
    const found = (await store.list()).find((authority) => authority.name === name);
    if (found === undefined) throw notFound(name);
    return found;
  };
  const room: Authorities = {
    async list(_principal) {
      return (await store.list()).map(viewOf);
    },
    async get(_principal, name) {
      return viewOf(await find(name));
    },
    async add(_principal, name, text) {
      if (!NAME.test(name)) {
        throw invalid(
          `The name must have 1 to ${limits.authorityNameCharsMax} letters, digits, dots, hyphens and underscores.`,
        );
      }
      const certificate = certificateOf(text);
      if (!certificate.isAuthority)
        throw invalid('The certificate is not one of an authority (basic constraints CA:TRUE).');
      if (certificate.hasUnknownCriticalExtension)
        throw invalid('The certificate has a critical extension that this hub does not know.');
      const now = clock.now();
      if (certificate.validTo <= now) throw invalid('The certificate has expired.');
      const authority: Authority = {
        name,
        etag: generateEtag(random),
        certificate: Buffer.from(certificate.der).toString('base64'),
        thumbprint: certificate.thumbprint,
        verified: false,
        verificationCode: random.bytes(CODE_BYTES).toString('hex').toUpperCase(),
        createdTime: now,
        updatedTime: now,
      };
      const outcome = await store.create(authority, countMax);
      if (outcome === 'exists') {
        throw new HubError(
          'CertificateAuthorityAlreadyExists',
          'An authority of this name or with this certificate exists already.',
        );
      }
      if (outcome === 'full') {
        throw new HubError('IotHubQuotaExceeded', `A hub has at most ${countMax} certificate authorities.`, {
          limit: { name: 'authoritiesMax', scope: 'hub', current: countMax, max: countMax },
        });
      }
      return viewOf(authority);
    },
    async prove(_principal, name, text) {
      const authority = await find(name);
      if (authority.verified) return viewOf(authority);
      checkProof(certificateOf(text), authority, clock.now());
      const verified = {
        ...authority,
        etag: generateEtag(random),
        verified: true,
        verificationCode: null,
        updatedTime: clock.now(),
      };
      const outcome = await store.replace(verified, authority.etag);
      if (outcome === 'notFound') throw notFound(name);
      if (outcome === 'etagMismatch') throw changed(name);
      return viewOf(verified);
    },
    async delete(_principal, name, ifMatch = '*') {
      const outcome = await store.delete(name, ifMatch);
      if (outcome === 'notFound') throw notFound(name);
      if (outcome === 'etagMismatch') throw changed(name);
    },
  };
  return guard.room(room, calls);
}

/** @throws HubError ArgumentInvalid, which says what is wrong with the proof */
function checkProof(proof: CertificateFacts, authority: Authority, now: number): void {
  const issuer = readCertificate(Buffer.from(authority.certificate, 'base64'));
  if (commonNameOf(proof) !== authority.verificationCode) {
    throw invalid('The common name of the certificate is not the verification code of this authority.');
  }
  if (issuer === undefined || !proof.x509.checkIssued(issuer.x509) || !proof.x509.verify(issuer.x509.publicKey)) {
    throw invalid('The certificate was not signed by this authority.');
  }
  if (proof.validTo <= now) throw invalid('The certificate has expired.');
}

function certificateOf(text: string | Uint8Array): CertificateFacts {
  const isPem = typeof text === 'string';
  const body = isPem ? PEM.exec(text)?.[1].replace(/\s+/g, '') : undefined;
  const der = isPem ? Buffer.from(body ?? '', 'base64') : text;
  const certificate = der.length === 0 ? undefined : readCertificate(der);
  if (certificate === undefined) throw invalid('This is not an X.509 certificate in PEM form.');
  return certificate;
}

const PEM = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/;

function viewOf(authority: Authority): AuthorityView {
  const certificate = readCertificate(Buffer.from(authority.certificate, 'base64'));
  return {
    ...authority,
    subject: certificate?.x509.subject?.split('\n').join(', ') ?? '',
    validFrom: certificate?.validFrom ?? 0,
    validTo: certificate?.validTo ?? 0,
  };
}

const invalid = (message: string): HubError => new HubError('ArgumentInvalid', message);
const notFound = (name: string): HubError =>
  new HubError('CertificateAuthorityNotFound', `There is no certificate authority '${name}'.`);
const changed = (name: string): HubError =>
  new HubError('PreconditionFailed', `The certificate authority '${name}' has changed.`);

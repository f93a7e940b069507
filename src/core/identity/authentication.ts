import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { credentialsOf } from './credentials.ts';
import type { HostNames } from './host-names.ts';
import type { IdentityCache, KnownIdentity } from './identity-cache.ts';
import { covers, identityName, pathOf, sameIdentity } from './permissions.ts';
import { hasAcceptedHost, identityOf, isEventResource, parseResource } from './resource.ts';
import { isIdentityId } from './rules.ts';
import {
  decodings,
  equalSecrets,
  isSignedBy,
  type KeyForm,
  parseSasToken,
  percentDecoded,
  type SasToken,
  signingKeys,
} from './sas-token.ts';
import type { Trust } from './trust.ts';
import type {
  AuthenticationCheck,
  Credential,
  DevicePrincipal,
  IdentityKey,
  PeerCertificate,
  Policy,
  PolicyPrincipal,
  Principal,
  Thumbprints,
} from './types.ts';

/**
 * Decides who a peer is. Every refusal is the same `IotHubUnauthorized` and takes the same work (design section 7); its
 * `reason` holds the `AuthenticationCheck` that failed, for the log only. `peer` is the address that asks, without its
 * port: repeated failures of it are answered late.
 */
export interface Authentication {
  /** A device or module proves to be `key`: by a token of its own key, of a policy with DeviceConnect, or a certificate. */
  device(key: IdentityKey, credential: Credential | undefined, peer?: string): Promise<DevicePrincipal>;
  /**
   * A token by itself, as CBS and HTTP carry it: with `skn` a policy's, else that of the identity its `sr` names.
   * `audience` is the resource the peer wants to use it for (any of the forms of service reference 1.3), where the
   * protocol states one; the token's `sr` must be a prefix of it by whole segments. Undefined: the peer has shown none.
   */
  token(token: string | undefined, audience?: string, peer?: string): Promise<Principal>;
  /**
   * A device or module for which a policy speaks whose token was judged before, as a gateway's is: the identity alone is judged. The
   * refusal's `reason` says whether it is unknown or disabled. Known identities cost no store access and no signature.
   */
  spokenFor(policy: PolicyPrincipal, key: IdentityKey): Promise<DevicePrincipal>;
  /** SASL PLAIN to the event endpoint: a policy's name and its key as it stands (service reference 1.2). */
  policyKey(policyName: string, key: string, peer?: string): Promise<PolicyPrincipal>;
}

export interface AuthenticationParts {
  readonly identities: IdentityCache;
  readonly trust: Trust;
  readonly policies: readonly Policy[];
  readonly hostNames: HostNames;
  readonly clock: Clock;
  /** Default: `limits.clockSkewMs`. */
  readonly clockSkewMs?: number;
  /** How long a token may last from now on, the clock difference aside. Default: as long as it says. */
  readonly tokenLifeMsMax?: number;
}

/** Stands in for the keys of an identity that does not exist, so that the work is the same. No token is ever accepted by it. */
const nobodysKeys: readonly string[] = [Buffer.alloc(32, 1).toString('base64'), Buffer.alloc(32, 2).toString('base64')];

/** Decides by tokens, keys, thumbprints, and chains of certificates up to a registered authority. */
export function createAuthentication(parts: AuthenticationParts): Authentication {
  const { identities, trust, hostNames, clock } = parts;
  const clockSkewMs = parts.clockSkewMs ?? limits.clockSkewMs;
  const tokenLifeMsMax = parts.tokenLifeMsMax ?? Number.POSITIVE_INFINITY;
  const policies = new Map(parts.policies.map((policy) => [policy.name, policy]));

  const find = async (key: IdentityKey): Promise<KnownIdentity | undefined> =>
    identities.peek(key) ?? (await identities.load(key));

  /** A refusal takes as long for an id that exists as for one that does not: also the first one. */
  const alike = async <T>(key: IdentityKey, judged: () => Promise<T>): Promise<T> => {
    const wasHere = isKey(key) && Boolean(identities.peek(key));
    try {
      return await judged();
    } catch (error) {
      if (isKey(key)) await identities.refused(key, wasHere);
      throw error;
    }
  };

  /** The identity and whether it may connect: it exists, and neither it nor its device is disabled. */
  const standing = async (key: IdentityKey): Promise<{ identity?: KnownIdentity; refusal?: AuthenticationCheck }> => {
    if (!isKey(key)) return { refusal: 'unknown-identity' };
    const identity = await find(key);
    const device = key.moduleId === undefined ? identity : await find({ deviceId: key.deviceId });
    if (identity === undefined || device === undefined) return { refusal: 'unknown-identity' };
    return device.status === 'disabled' ? { identity, refusal: 'disabled-identity' } : { identity };
  };

  /** What is wrong with a token, whichever key signed it. */
  const outerRefusal = (token: SasToken): AuthenticationCheck | undefined => {
    if (token.expiresAt + clockSkewMs <= clock.now()) return 'expired-token';
    if (token.expiresAt - clockSkewMs > clock.now() + tokenLifeMsMax) return 'too-long-token';
    return hasAcceptedHost(token.resource, hostNames) ? undefined : 'wrong-host';
  };

  /**
   * The end of every token's check: the signature is computed in any case. `refusal` is what was found before it.
   * @throws HubError IotHubUnauthorized
   */
  const checkSignature = (
    token: SasToken,
    keys: readonly string[] | undefined,
    form: KeyForm,
    refusal: AuthenticationCheck | undefined,
  ): void => {
    const early = refusal === undefined && keys !== undefined;
    const signed = isSignedBy(token, signingKeys(keys ?? nobodysKeys, form), early) && keys !== undefined;
    if (keys === undefined) throw unauthorized(refusal ?? 'unknown-identity');
    if (!signed) throw unauthorized('wrong-key');
    if (refusal !== undefined) throw unauthorized(refusal);
  };

  const byPolicyToken = (token: SasToken, audience: string | undefined, peer: string | undefined): PolicyPrincipal => {
    const policy = policies.get(token.policyName ?? '');
    const isEvents = isEventResource(token.resource) || (audience !== undefined && isEventResource(audience));
    // Decoded once and no more: a scope that two readings could widen is read in one way only.
    const { path } = parseResource(percentDecoded(token.resource) ?? token.resource);
    let refusal = policy === undefined ? 'unknown-policy' : outerRefusal(token);
    if (refusal === undefined && audience !== undefined && !isForAudience(path, audience, hostNames)) {
      refusal = 'wrong-resource';
    }
    checkSignature(token, policy && [policy.primaryKey, policy.secondaryKey], isEvents ? 'both' : 'decoded', refusal);
    return policyPrincipal(policy!, token.expiresAt + clockSkewMs, path, peer);
  };

  const deviceByPolicyToken = async (key: IdentityKey, token: SasToken): Promise<DevicePrincipal> => {
    const { identity, refusal } = await standing(key);
    const policy = policies.get(token.policyName ?? '');
    const { path } = parseResource(percentDecoded(token.resource) ?? token.resource);
    let reason = policy === undefined ? 'unknown-policy' : outerRefusal(token);
    if (reason === undefined && !policy!.permissions.includes('DeviceConnect')) reason = 'missing-permission';
    if (reason === undefined && !covers(path, pathOf(key))) reason = 'wrong-resource';
    checkSignature(token, policy && [policy.primaryKey, policy.secondaryKey], 'decoded', reason ?? refusal);
    return devicePrincipal(identity!, 'hub', 'sas', token.expiresAt + clockSkewMs);
  };

  const deviceByOwnToken = async (key: IdentityKey, token: SasToken): Promise<DevicePrincipal> => {
    const { identity, refusal } = await standing(key);
    const keys = identity?.symmetricKey ?? undefined;
    let reason = refusal ?? outerRefusal(token);
    if (reason === undefined && keys === undefined) reason = 'wrong-credential-kind';
    if (reason === undefined && !isOwnResource(token, key, hostNames)) reason = 'wrong-resource';
    checkSignature(token, keys && [keys.primaryKey, keys.secondaryKey], 'decoded', reason);
    return devicePrincipal(
      identity!,
      key.moduleId === undefined ? 'device' : 'module',
      'sas',
      token.expiresAt + clockSkewMs,
    );
  };

  /** A self-signed certificate is known by its thumbprint, a signed one by its common name and its chain. */
  const deviceByCertificate = async (key: IdentityKey, certificate: PeerCertificate): Promise<DevicePrincipal> => {
    const { identity, refusal } = await standing(key);
    const scope = key.moduleId === undefined ? 'device' : 'module';
    const thumbprints = identity?.x509Thumbprint ?? undefined;
    const objection = thumbprints && thumbprintObjection(certificate, thumbprints);
    if (refusal === undefined && thumbprints !== undefined && objection === undefined) {
      return devicePrincipal(identity!, scope, 'x509', certificate.validTo + clockSkewMs);
    }
    // From here on the work is the same for every refused client.
    const chain = await trust.judge(certificate.chain, clock.now(), clockSkewMs);
    const reason =
      refusal ??
      objection ??
      (identity!.type !== 'certificateAuthority' ? 'wrong-credential-kind' : undefined) ??
      (chain.kind === 'refused' ? chain.check : undefined) ??
      (certificate.commonName === identityName(key) ? undefined : 'wrong-certificate');
    if (reason !== undefined || chain.kind === 'refused') throw unauthorized(reason ?? 'wrong-certificate');
    const authority = chain.anchor.certificate.thumbprint;
    return { ...devicePrincipal(identity!, scope, 'x509', chain.validTo + clockSkewMs), authority };
  };

  const thumbprintObjection = (
    certificate: PeerCertificate,
    { primaryThumbprint, secondaryThumbprint }: Thumbprints,
  ): AuthenticationCheck | undefined => {
    const isKnown = [primaryThumbprint, secondaryThumbprint]
      .map((thumbprint) => thumbprint?.toLowerCase())
      .some((thumbprint) => thumbprint === certificate.sha1 || thumbprint === certificate.sha256);
    if (!isKnown) return 'wrong-certificate';
    if (certificate.validFrom - clockSkewMs > clock.now()) return 'premature-certificate';
    return certificate.validTo + clockSkewMs <= clock.now() ? 'expired-certificate' : undefined;
  };

  /**
   * Whose own token it is: `sr` may read as more than one identity, since SDKs encode it none, one or two times. Where it is
   * written in lower case, or names no identity, the audience says who is meant.
   */
  const byOwnToken = async (token: SasToken, audience: string | undefined): Promise<DevicePrincipal> => {
    const bySr = namedBy(token).filter((key) => audience === undefined || concerns(key, audience, hostNames));
    const byAudience =
      audience === undefined ? [] : meantBy(audience).filter((key) => isOwnResource(token, key, hostNames));
    const named = [...bySr, ...byAudience.filter((key) => !bySr.some((other) => sameIdentity(other, key)))];
    if (named.length === 0) checkSignature(token, undefined, 'decoded', 'wrong-resource');
    let refusal: unknown;
    for (const key of named) {
      try {
        return await alike(key, () => deviceByOwnToken(key, token));
      } catch (error) {
        if (!(error instanceof HubError) || error.code !== 'IotHubUnauthorized') throw error;
        refusal = error;
      }
    }
    throw refusal;
  };

  return {
    async device(key, credential) {
      if (credential === undefined) throw unauthorized('missing-credential');
      if (credential.kind === 'certificate') {
        return alike(key, () => deviceByCertificate(key, credential.certificate));
      }
      const token = parseSasToken(credential.token);
      if (token === undefined) throw unauthorized('malformed-token');
      return alike(key, () =>
        token.policyName === undefined ? deviceByOwnToken(key, token) : deviceByPolicyToken(key, token),
      );
    },
    async token(text, audience, peer): Promise<Principal> {
      if (text === undefined) throw unauthorized('missing-credential');
      const token = parseSasToken(text);
      if (token === undefined || (audience?.length ?? 0) > limits.audienceCharsMax)
        throw unauthorized('malformed-token');
      return token.policyName === undefined ? byOwnToken(token, audience) : byPolicyToken(token, audience, peer);
    },
    async spokenFor(policy, key) {
      let refusal: AuthenticationCheck | undefined;
      if (policy.expiresAt <= clock.now()) refusal = 'expired-token';
      else if (!policy.permissions.has('DeviceConnect')) refusal = 'missing-permission';
      else if (!covers(policy.scope, pathOf(key))) refusal = 'wrong-resource';
      if (refusal !== undefined) throw unauthorized(refusal);
      const found = await standing(key);
      if (found.refusal !== undefined) throw unauthorized(found.refusal);
      return devicePrincipal(found.identity!, 'hub', 'sas', policy.expiresAt);
    },
    async policyKey(policyName, key, peer) {
      const policy = policies.get(policyName);
      const [primary, secondary] = policy ? [policy.primaryKey, policy.secondaryKey] : nobodysKeys;
      const isPrimary = equalSecrets(key, primary);
      const isSecondary = equalSecrets(key, secondary);
      if (policy === undefined) throw unauthorized('unknown-policy');
      if (!isPrimary && !isSecondary) throw unauthorized('wrong-key');
      return policyPrincipal(policy, Number.POSITIVE_INFINITY, [], peer);
    },
  };
}

function unauthorized(reason: AuthenticationCheck): HubError {
  return new HubError('IotHubUnauthorized', undefined, { reason });
}

function isKey(key: IdentityKey): boolean {
  return isIdentityId(key.deviceId) && (key.moduleId === undefined || isIdentityId(key.moduleId));
}

/** The identities that a token's `sr` may stand for. */
function namedBy(token: SasToken): readonly IdentityKey[] {
  return decodings(token.resource)
    .map((text) => identityOf(parseResource(text).path))
    .filter((key) => key !== undefined);
}

/** The identities whose place, or a part of it, an audience may stand for: `…/devices/{d}/messages/events`. */
function meantBy(audience: string): readonly IdentityKey[] {
  return decodings(audience).flatMap((text) => {
    const { path } = parseResource(text);
    return [identityOf(path.slice(0, 4)), identityOf(path.slice(0, 2))].find((key) => key !== undefined) ?? [];
  });
}

/**
 * Whether a token may be the identity's own by what its `sr` says. Its signature is made with the identity's own key, so
 * this keeps mistakes out, not strangers: published samples write the whole `sr` in lower case, and some name the
 * host alone. A policy's key signs for many identities; there the ids count exactly (`covers`).
 */
function isOwnResource(token: SasToken, key: IdentityKey, hostNames: HostNames): boolean {
  const own = pathOf(key).join('/').toLowerCase();
  return decodings(token.resource).some((text) => {
    const { host, path } = parseResource(text);
    // A text that is still encoded reads as a host alone.
    if (!hostNames.accepts(host)) return false;
    return path.length === 0 || (path.length === 1 && path[0] === 'devices') || path.join('/').toLowerCase() === own;
  });
}

/** Whether a policy token for `path` may be used for `audience`: any reading of it lies in the token's scope. */
function isForAudience(path: readonly string[], audience: string, hostNames: HostNames): boolean {
  return decodings(audience).some((text) => {
    const wanted = parseResource(text);
    return hostNames.accepts(wanted.host) && covers(path, wanted.path);
  });
}

/**
 * Whether `audience` and the identity's own token belong together. The audience may also be the wider one: Java names
 * the device where its token is for a module (device reference 3.2). Nothing is gained by it: the identity gets its own
 * addresses only.
 */
function concerns(key: IdentityKey, audience: string, hostNames: HostNames): boolean {
  const own = pathOf(key);
  return decodings(audience).some((text) => {
    const wanted = parseResource(text);
    return hostNames.accepts(wanted.host) && (covers(own, wanted.path) || covers(wanted.path, own));
  });
}

function devicePrincipal(
  identity: KnownIdentity,
  authScope: DevicePrincipal['authScope'],
  authType: DevicePrincipal['authType'],
  expiresAt: number,
): DevicePrincipal {
  const { deviceId, moduleId, generationId } = identity;
  const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  const credentials = authScope === 'hub' ? undefined : credentialsOf(identity);
  return { kind: 'device', key, generationId, expiresAt, authScope, authType, ...(credentials && { credentials }) };
}

function policyPrincipal(
  policy: Policy,
  expiresAt: number,
  scope: readonly string[],
  peer: string | undefined,
): PolicyPrincipal {
  return {
    kind: 'policy',
    policyName: policy.name,
    permissions: new Set(policy.permissions),
    expiresAt,
    scope,
    ...(peer !== undefined && { peer }),
  };
}

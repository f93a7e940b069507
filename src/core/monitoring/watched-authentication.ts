import { HubError } from '../errors.ts';
import type { Authentication } from '../identity/authentication.ts';
import { identityOf, parseResource } from '../identity/resource.ts';
import { parseSasToken } from '../identity/sas-token.ts';
import type { AuthenticationCheck, IdentityKey } from '../identity/types.ts';
import { clipped, concerning } from './concerned.ts';
import type { Concerned, Recorder } from './types.ts';

/** The same authentication, whose refusals are recorded: which check failed, of whom, from where; never the credential. */
export function watchedAuthentication(authentication: Authentication, recorder: Recorder): Authentication {
  const watched = async <Answer>(
    answer: Promise<Answer>,
    who: () => Concerned & { readonly policyName?: string },
  ): Promise<Answer> => {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof HubError && error.code === 'IotHubUnauthorized') {
        const check = (error.reason ?? 'unknown') as AuthenticationCheck | 'unknown';
        recorder.record({ type: 'authenticationFailed', check, ...who() });
      }
      throw error;
    }
  };
  return {
    device: (key, credential, ...rest) =>
      watched(authentication.device(key, credential, ...rest), () => ({
        ...concerning(key),
        ...(credential !== undefined && { credential: credential.kind === 'token' ? 'sas' : 'x509' }),
        ...peerOf(rest),
      })),
    token: (token, audience, ...rest) =>
      watched(authentication.token(token, audience, ...rest), () => ({
        ...claimedBy(token),
        credential: 'sas',
        ...peerOf(rest),
      })),
    policyKey: (policyName, key, ...rest) =>
      watched(authentication.policyKey(policyName, key, ...rest), () => ({
        policyName: clipped(policyName),
        ...peerOf(rest),
      })),
  };
}

/** Whom a refused token speaks for, as it says itself: not proved, but whoever looks for a misconfigured client needs it. */
function claimedBy(token: string): Concerned & { readonly policyName?: string } {
  const parsed = parseSasToken(token);
  if (parsed === undefined) return {};
  if (parsed.policyName !== undefined) return { policyName: clipped(parsed.policyName) };
  const key: IdentityKey | undefined = identityOf(parseResource(parsed.resource).path);
  return key === undefined ? {} : concerning(key);
}

/** The door's word on where the peer is; absent where a door does not say. */
function peerOf(rest: readonly unknown[]): Pick<Concerned, 'peer' | 'protocol'> {
  const [peer] = rest;
  if (typeof peer === 'string') return { peer: clipped(peer) };
  if (typeof peer !== 'object' || peer === null) return {};
  const { address, protocol } = peer as { readonly address?: unknown; readonly protocol?: Concerned['protocol'] };
  return {
    ...(typeof address === 'string' && { peer: clipped(address) }),
    ...(protocol !== undefined && { protocol }),
  };
}

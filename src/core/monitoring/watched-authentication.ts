import { HubError } from '../errors.ts';
import type { Authentication } from '../identity/authentication.ts';
import { identityOf, parseResource } from '../identity/resource.ts';
import { parseSasToken, percentDecoded } from '../identity/sas-token.ts';
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
    device: (key, credential, peer) =>
      watched(authentication.device(key, credential, peer), () => ({
        ...concerning(key),
        ...(credential !== undefined && { credential: credential.kind === 'token' ? 'sas' : 'x509' }),
        ...at(peer),
      })),
    token: (token, audience, peer) =>
      watched(authentication.token(token, audience, peer), () => ({
        ...(token !== undefined && { ...claimedBy(token), credential: 'sas' }),
        ...at(peer),
      })),
    spokenFor: (policy, key) =>
      watched(authentication.spokenFor(policy, key), () => ({ ...concerning(key), ...at(policy.peer) })),
    policyKey: (policyName, key, peer) =>
      watched(authentication.policyKey(policyName, key, peer), () => ({
        policyName: clipped(policyName),
        ...at(peer),
      })),
  };
}

/** Absent where a door does not say where its peer is. */
const at = (peer: string | undefined): Pick<Concerned, 'peer'> => (peer === undefined ? {} : { peer: clipped(peer) });

/** Whom a refused token speaks for, as it says itself: not proved, but an operator who looks for a misconfigured client needs it. */
function claimedBy(token: string): Concerned & { readonly policyName?: string } {
  const parsed = parseSasToken(token);
  if (parsed === undefined) return {};
  if (parsed.policyName !== undefined) return { policyName: clipped(parsed.policyName) };
  // The token keeps its resource as it was signed, which is encoded.
  const resource = percentDecoded(parsed.resource) ?? parsed.resource;
  const key: IdentityKey | undefined = identityOf(parseResource(resource).path);
  return key === undefined ? {} : concerning(key);
}

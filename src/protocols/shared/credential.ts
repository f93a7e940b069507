import { claimsToBeSasToken } from '../../core/identity/sas-token.ts';
import type { Credential, PeerCertificate } from '../../core/identity/types.ts';

/**
 * What a device has shown of itself, by whatever protocol: a text where a token belongs, a certificate, or both. X.509
 * devices of several clients send an empty or a made-up password beside their certificate; then the certificate counts. A
 * text that means to be a token counts itself, so that a certificate never stands in for a token that is refused.
 * @param certificate asked for only where it counts: to read it costs some work
 */
export function credentialShown(
  text: string | undefined,
  certificate: () => PeerCertificate | undefined,
): Credential | undefined {
  if (text !== undefined && claimsToBeSasToken(text)) return { kind: 'token', token: text };
  const shown = certificate();
  if (shown !== undefined) return { kind: 'certificate', certificate: shown };
  return text === undefined ? undefined : { kind: 'token', token: text };
}

/** Tokens of a device, made in the page from its key (WebCrypto). */
import { signSas } from '../../../src/api/sas.ts';

const DAY_MS = 86_400_000;

/** For a day. */
export function deviceToken(hostName: string, deviceId: string, key: string): Promise<string> {
  const resource = `${hostName}/devices/${encodeURIComponent(deviceId)}`;
  return signSas({ resource, key, expiresAt: Date.now() + DAY_MS });
}

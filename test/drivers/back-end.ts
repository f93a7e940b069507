/** A back end of a running hub: requests with the policy `service`. */
import { parseConnectionString } from '../../src/api/connection-string.ts';
import { signSas } from '../../src/api/sas.ts';
import { type FileAnswer, request } from './file-device.ts';
import type { TestHub } from './hub.ts';

export type Ask = (
  method: string,
  path: string,
  more?: { readonly headers?: Record<string, string>; readonly body?: Buffer | object },
) => Promise<FileAnswer>;

/** The same with the policy that may do everything. */
export const ownerOf = (hub: TestHub): Promise<Ask> => backEndOf(hub, 'iothubowner');

export async function backEndOf(hub: TestHub, policy: 'service' | 'iothubowner' = 'service'): Promise<Ask> {
  const parts = parseConnectionString(hub.endpoints.connectionStrings[policy]);
  const [key, policyName] = [parts.get('sharedaccesskey') ?? '', parts.get('sharedaccesskeyname') ?? ''];
  const authorization = await signSas({ resource: 'localhost', key, policyName, expiresAt: Date.now() + 3_600_000 });
  return (method, path, { headers = {}, body = Buffer.alloc(0) } = {}) => {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const type: Record<string, string> = Buffer.isBuffer(body) ? {} : { 'content-type': 'application/json' };
    const all = { authorization, 'content-length': String(bytes.length), ...type, ...headers };
    return request(hub, method, path, all, bytes);
  };
}

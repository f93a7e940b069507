import { limits } from '../../base/limits.ts';
import type { HostNames } from '../../core/identity/host-names.ts';
import type { IdentityKey } from '../../core/identity/types.ts';

/** What a CONNECT's user name says (device reference 2.1). */
export interface UserName {
  readonly hostName: string;
  readonly key: IdentityKey;
  readonly modelId: string | undefined;
  /** `DeviceClientType`: the SDK and its version. */
  readonly clientType: string | undefined;
}

/**
 * `{host}/{d}/?api-version=…&…` or `{host}/{d}/{m}/?api-version=…&…`, and the older `{host}/{d}` and `{host}/{d}/{m}`.
 * The query may come without its `?`; then it is known by its `api-version=` or by a `DeviceClientType=` at its start.
 * It may name no api-version, as a Node-RED node of today does not. One slash may stand behind the ids. Ids stand as they
 * are, query values are percent-encoded; of a name given twice the first counts. Undefined = not of this form, or for
 * another host.
 */
export function parseUserName(text: string, hostNames: HostNames): UserName | undefined {
  if (text.length > limits.mqttUserNameCharsMax) return undefined;
  const segments = text.split('/');
  const queryAt = segments.findIndex(isQuery);
  const ids = queryAt === -1 ? segments : segments.slice(0, queryAt);
  if (queryAt === -1 && ids.length > 2 && ids.at(-1) === '') ids.pop();
  const [hostName, deviceId, moduleId, ...more] = ids;
  if (!deviceId || moduleId === '' || more.length > 0 || !hostNames.accepts(hostName)) return undefined;
  const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  if (queryAt === -1) return { hostName, key, modelId: undefined, clientType: undefined };
  const query = parseQuery(segments.slice(queryAt).join('/'));
  if (query.get('api-version') === '') return undefined;
  return { hostName, key, modelId: query.get('model-id'), clientType: query.get('DeviceClientType') };
}

function isQuery(segment: string): boolean {
  return segment.startsWith('?') || segment.startsWith('DeviceClientType=') || segment.includes('api-version=');
}

function parseQuery(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const pair of text.replace(/^\?/, '').split('&')) {
    const equals = pair.indexOf('=');
    if (equals === -1) continue;
    const name = pair.slice(0, equals);
    if (!found.has(name)) found.set(name, decodeLeniently(pair.slice(equals + 1)));
  }
  return found;
}

/** Percent-decodes; text that is not percent-encoded UTF-8 stays as it is, because some devices do not encode. */
export function decodeLeniently(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

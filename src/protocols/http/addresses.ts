/** Paths, queries and headers of requests -> what they name. No sockets, no decisions. */
import type http from 'node:http';
import { HubError } from '../../core/errors.ts';
import type { IdentityKey } from '../../core/identity/types.ts';

/** The id parameters that a path may have, decoded. */
export interface PathParameters {
  readonly deviceId?: string;
  readonly moduleId?: string;
}

export function identityKey(params: PathParameters): IdentityKey {
  const deviceId = params.deviceId ?? '';
  return params.moduleId === undefined ? { deviceId } : { deviceId, moduleId: params.moduleId };
}

/**
 * The resource that a request's token must cover, each segment encoded: a device's or module's own one where the path
 * names it, else the path as it came, in lower case (fixed segments compare without case).
 */
export function audienceOf(host: string, path: string, params: PathParameters): string {
  if (params.deviceId === undefined) return `${host}${path.toLowerCase()}`;
  const device = `${host}/devices/${encodeURIComponent(params.deviceId)}`;
  return params.moduleId === undefined ? device : `${device}/modules/${encodeURIComponent(params.moduleId)}`;
}

/**
 * The request target without scheme and authority: a server takes the absolute form as well (RFC 9112 section 3.2.2), and
 * the Java SDK asks for its AMQP WebSocket in it.
 */
export function originForm(target: string): string {
  const match = /^https?:\/\/[^/?#]*/i.exec(target);
  if (match === null) return target;
  const rest = target.slice(match[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** The path of a request target: no query, no doubled and no trailing slashes. */
export function pathOf(url: string): string {
  const query = url.indexOf('?');
  const path = (query === -1 ? url : url.slice(0, query)).replaceAll(/\/{2,}/g, '/');
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** The ETag that `If-Match` asks for, unquoted, or `*`. SDKs send `"*"`, `*`, `"tag"`, `W/"tag"` (service reference 2.2). */
export function ifMatchOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  return unquoteETag(header);
}

export function unquoteETag(text: string): string {
  const match = /^(?:W\/)?"(.*)"$/i.exec(text.trim());
  return match === null ? text.trim() : match[1];
}

const VERSION_MIN = '2015-08-15';

/**
 * Any date from the first public version on counts: SDKs of ten years name theirs (service reference 1.6).
 * @throws HubError InvalidProtocolVersion
 */
export function checkApiVersion(query: unknown): void {
  const given = (query as Readonly<Record<string, unknown>>)['api-version'];
  if (typeof given !== 'string') {
    throw new HubError('InvalidProtocolVersion', 'The query parameter api-version is missing.');
  }
  const match = /^(\d{4}-\d{2}-\d{2})(-preview)?$/.exec(given);
  if (match === null || Number.isNaN(Date.parse(match[1])) || match[1] < VERSION_MIN) {
    throw new HubError('InvalidProtocolVersion', `The api-version must be a date from ${VERSION_MIN} on.`);
  }
}

const overridable = new Set(['PUT', 'PATCH', 'DELETE']);

/** Java writes PATCH as POST with `X-HTTP-Method-Override: PATCH` (service reference 1.6). */
export function overriddenMethod(request: http.IncomingMessage): string | undefined {
  const wanted = request.headers['x-http-method-override'];
  if (request.method !== 'POST' || typeof wanted !== 'string') return undefined;
  const method = wanted.trim().toUpperCase();
  return overridable.has(method) ? method : undefined;
}

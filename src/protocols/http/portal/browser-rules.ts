/**
 * What a browser must say of a request to the portal. `Host` names this hub (DNS rebinding); `Origin`, where there is one, is a
 * page of this port or of a public origin that the operator has named, as it is behind a proxy with TLS; `Sec-Fetch-Site`, where
 * there is one, says that no other page has asked.
 */
import type http from 'node:http';
import type net from 'node:net';
import type tls from 'node:tls';
import { limits } from '../../../base/limits.ts';
import { isOwnOrigin } from '../admin-guard.ts';

/** Origins under which a proxy shows the admin port to browsers, as `https://hub.example`, in lower case. */
export type PublicOrigins = readonly string[];

export const isEncrypted = (socket: net.Socket): boolean => (socket as Partial<tls.TLSSocket>).encrypted === true;

/** Whether the host of a request is that of a public origin. */
export function isPublicHost(host: string | undefined, origins: PublicOrigins): boolean {
  const given = host?.toLowerCase();
  return given !== undefined && origins.some((origin) => new URL(origin).host === given);
}

/** Whether the page that sent a request is one of this port; no Origin = the client is no page, or it reads. */
export function isOwnPage(request: http.IncomingMessage, origins: PublicOrigins): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  return (
    isOwnOrigin(origin, host, isEncrypted(request.socket) ? 'https' : 'http') || origins.includes(origin.toLowerCase())
  );
}

/** Whether the browser says that a page of another origin has made it send this. */
export function isCrossSite({ headers }: http.IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  return site !== undefined && site !== 'same-origin' && site !== 'none';
}

/** Whether nobody on the way can read it: TLS, a connection within this machine, or the proxy that the operator vouches for. */
export function isPrivate(request: http.IncomingMessage, origins: PublicOrigins): boolean {
  const { socket } = request;
  if (isEncrypted(socket) || isWithinMachine(socket.remoteAddress)) return true;
  return origins.length > 0 && isPublicHost(request.headers.host, origins) && hasTls(origins, request.headers.host);
}

const hasTls = (origins: PublicOrigins, host: string | undefined): boolean =>
  origins.some((origin) => origin.startsWith('https://') && new URL(origin).host === host?.toLowerCase());

/** Undefined where there is no socket, as in tests without one. */
function isWithinMachine(address: string | undefined): boolean {
  return address === undefined || address === '::1' || /^(?:::ffff:)?127\./.test(address);
}

/** Whether the browser reaches the port by TLS, so that it keeps a cookie with `Secure`. */
export function isSecure(request: http.IncomingMessage, origins: PublicOrigins): boolean {
  return isEncrypted(request.socket) || hasTls(origins, request.headers.host);
}

/** The cookie's name: `__Host-` binds it to this host and TLS (RFC 6265bis section 4.1.3); the port tells hubs of one machine apart. */
export const cookieName = (port: number, secure: boolean): string => `${secure ? '__Host-' : ''}mooring-portal-${port}`;

/** The values of a cookie: another program of the machine may have set a second one of the name, which is not to shut the user out. */
export function cookiesOf(header: string | undefined, name: string): readonly string[] {
  if (header === undefined || header.length > limits.portalCookieCharsMax) return [];
  return header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .slice(0, limits.portalCookiesTriedMax)
    .map((pair) => pair.slice(name.length + 1));
}

/** A `Set-Cookie` of the session. Empty value = the browser forgets it. */
export function cookieHeader(name: string, value: string, secure: boolean): string {
  const end = value === '' ? '; Max-Age=0' : '';
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}${end}`;
}

/**
 * Who may use the admin port. A browser on this machine can be made to send requests to it by any web page, so `Host` and
 * `Origin` are checked always (DNS rebinding, cross-site requests); other machines can reach it only when it is bound
 * beyond loopback, and then a token of a policy with RegistryRead is asked for.
 */
import net from 'node:net';

/** True for addresses that only this machine can reach. */
export function isLoopback(address: string): boolean {
  if (address === 'localhost' || address === '::1') return true;
  return net.isIPv4(address) && address.startsWith('127.');
}

/**
 * Whether the request was meant for this hub: `Host` is an address (which no foreign DNS name can stand for), `localhost`
 * or one of the hub's names.
 */
export function isOwnHost(host: string | undefined, acceptsName: (name: string) => boolean): boolean {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host ?? '');
  const name = (match?.[1] ?? match?.[2])?.toLowerCase();
  return name !== undefined && (name === 'localhost' || net.isIP(name) !== 0 || acceptsName(name));
}

/** Whether a request that says where its page came from came from a page of this port. Absent = not a browser's. */
export function isOwnOrigin(
  origin: string | undefined,
  host: string | undefined,
  scheme: 'http' | 'https' = 'http',
): boolean {
  if (origin === undefined) return true;
  return host !== undefined && origin.toLowerCase() === `${scheme}://${host.toLowerCase()}`;
}

/**
 * The token of an `Authorization` header: `SharedAccessSignature sr=…`, or the same behind `Bearer`, which is what most
 * scrapers can send.
 */
export function tokenOf(authorization: string | undefined): string | undefined {
  const text = authorization?.trim();
  if (text === undefined || text === '') return undefined;
  return text.replace(/^Bearer\s+/i, '');
}

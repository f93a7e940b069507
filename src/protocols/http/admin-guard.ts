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
  const name = hostnameOf(`http://${host ?? ''}`);
  if (name === undefined) return false;
  return name === 'localhost' || net.isIP(name.replace(/^\[|\]$/g, '')) !== 0 || acceptsName(name);
}

/** Whether a request that says where its page came from came from a page of this port. Absent = not a browser's. */
export function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return true;
  return host !== undefined && origin.toLowerCase() === `http://${host.toLowerCase()}`;
}

/** The host of a URL that holds a host and perhaps a port, nothing else. */
function hostnameOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isPlain = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  return isPlain && !text.endsWith('/') ? url.hostname : undefined;
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

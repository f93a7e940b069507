/**
 * Which hosts the hub calls because a back end has named them: those of the setting `registryBlobHosts`. A pattern opens public
 * addresses only; a host that the operator names in full may be anywhere.
 */
import dns from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { HubError } from '../../core/errors.ts';

/** Neither public nor of another machine: loopback, private, shared, link-local, reserved, multicast, and what maps to IPv4. */
const closed = new BlockList();
for (const [network, prefix] of [
  ...[['0.0.0.0', 8] as const, ['10.0.0.0', 8] as const, ['100.64.0.0', 10] as const, ['127.0.0.0', 8] as const],
  ...[['169.254.0.0', 16] as const, ['172.16.0.0', 12] as const, ['192.0.0.0', 24] as const],
  ...[['192.88.99.0', 24] as const, ['192.168.0.0', 16] as const, ['198.18.0.0', 15] as const],
  ...[
    ['192.0.2.0', 24] as const,
    ['198.51.100.0', 24] as const,
    ['203.0.113.0', 24] as const,
    ['224.0.0.0', 3] as const,
  ],
]) {
  closed.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ...[['::', 96] as const, ['64:ff9b::', 96] as const, ['64:ff9b:1::', 48] as const, ['100::', 64] as const],
  ...[['2001::', 23] as const, ['2001:db8::', 32] as const, ['2002::', 16] as const, ['fc00::', 7] as const],
  ...[['fe80::', 10] as const, ['fec0::', 10] as const, ['ff00::', 8] as const],
]) {
  closed.addSubnet(network, prefix, 'ipv6');
}

/** Whether an address is one of the public Internet. */
export function isPublicAddress(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const plain = mapped ?? address.split('%')[0];
  const family = isIP(plain);
  if (family === 0) return false;
  if (family === 6 && /^::ffff:/i.test(plain)) return false;
  return !closed.check(plain, family === 4 ? 'ipv4' : 'ipv6');
}

export interface AllowedHost {
  readonly uri: URL;
  /** Of the connections to it. */
  readonly lookup: LookupFunction;
}

/** @throws HubError BlobContainerValidationError */
export function allowedHost(address: string, allowed: readonly string[]): AllowedHost {
  const refused = (what: string): HubError =>
    new HubError('BlobContainerValidationError', `The address of the container ${what}.`);
  if (!URL.canParse(address)) throw refused('is no URL');
  const uri = new URL(address);
  const isNamed = allowed.some((entry) => hostOf(entry) === hostOf(uri.host));
  const isMatched = allowed.some((entry) => {
    const ending = hostOf(entry).slice(1);
    return entry.startsWith('*.') && hostOf(uri.host).endsWith(ending) && hostOf(uri.host).length > ending.length;
  });
  if (uri.username !== '' || uri.password !== '' || uri.hash !== '')
    throw refused('holds a user, a password or a fragment');
  if (!isNamed && !isMatched) {
    throw refused('is on a host that registryBlobHosts does not name; the operator of the hub can add it');
  }
  const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(uri.hostname);
  if (uri.protocol !== 'https:' && !(uri.protocol === 'http:' && isNamed && isLoopback))
    throw refused('is not one of https');
  // An address that stands there itself is never looked up.
  const literal = uri.hostname.replace(/^\[|\]$/g, '');
  if (!isNamed && isIP(literal) !== 0 && !isPublicAddress(literal)) throw refused('is not a public one');
  if (uri.pathname.split('/').every((segment) => segment === '')) throw refused('names no container');
  if (uri.searchParams.get('sig') === null) throw refused('has no signature (sig)');
  return { uri, lookup: isNamed ? dns.lookup : publicLookup };
}

/** With the port that is the default made no difference. */
const hostOf = (host: string): string => host.toLowerCase().replace(/:443$/, '');

/** Looks up as the system does, and answers public addresses only: a name may be given a private one at any time. */
const publicLookup: LookupFunction = (host, options, answer) => {
  dns.lookup(host, { ...options, all: true }, (error, found) => {
    if (error !== null) return answer(error, '', 0);
    const open = found.filter(({ address }) => isPublicAddress(address));
    if (open.length === 0) return answer(new Error('the host has no public address'), '', 0);
    if (options.all === true) answer(null, open);
    else answer(null, open[0].address, open[0].family);
  });
};

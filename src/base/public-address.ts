/**
 * Which addresses are those of the public Internet. The hub stands in a network that strangers do not reach, and who may name a host for it
 * to call could have it call what is there (server-side request forgery). The address is looked at after the name has been
 * resolved, and that one is connected to: a name that answers differently the next time gains nothing.
 */
import dns from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

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

/** Looks up as the system does, and answers public addresses only: a name may be given a private one at any time. */
export const publicLookup: LookupFunction = (host, options, answer) => {
  dns.lookup(host, { ...options, all: true }, (error, found) => {
    if (error !== null) return answer(error, '', 0);
    const open = found.filter(({ address }) => isPublicAddress(address));
    if (open.length === 0) return answer(new Error('the host has no public address'), '', 0);
    if (options.all === true) answer(null, open);
    else answer(null, open[0].address, open[0].family);
  });
};

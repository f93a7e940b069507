/** How much of a peer's address the stream tells. */
export type PeerShown = 'full' | 'masked' | 'off';

/**
 * `masked` keeps the network: 24 bits of an IPv4 address, 48 of an IPv6 one, in the notation of RFC 4632. What has been
 * masked already stays as it is.
 */
export function maskPeer(address: string, shown: PeerShown): string | undefined {
  if (shown === 'off') return undefined;
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (shown === 'full' || plain.includes('/')) return plain;
  const v4 = /^(\d+\.\d+\.\d+)\.\d+$/.exec(plain);
  if (v4 !== null) return `${v4[1]}.0/24`;
  if (!plain.includes(':')) return undefined;
  const [head] = plain.split('%');
  const groups = head
    .split('::')[0]
    .split(':')
    .filter((group) => group !== '');
  // Groups that `::` stands for are zero.
  return `${[0, 1, 2].map((at) => groups[at] ?? '0').join(':')}::/48`;
}

/**
 * Whose share an address counts for. An IPv6 site has a whole /64 and can use any address of it, so all of them are one;
 * an IPv4 address that came by an IPv6 socket (`::ffff:192.0.2.1`) is itself.
 * @param address without its port, as a socket tells it
 */
export function addressShare(address: string): string {
  if (!address.includes(':')) return address;
  const [plain] = address.toLowerCase().split('%');
  if (plain.startsWith('::ffff:') && plain.includes('.')) return plain.slice('::ffff:'.length);
  const [head, tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array(Math.max(0, 8 - left.length - right.length)).fill('0');
  return `${[...left, ...zeros, ...right].slice(0, 4).join(':')}::/64`;
}

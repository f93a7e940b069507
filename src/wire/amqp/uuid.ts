/** UUIDs in the two byte orders in which they travel. */

/** Canonical text of the 16 bytes of an AMQP `uuid`, which are in the order of the text. */
export function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * The 16 bytes of a delivery tag that holds a UUID. .NET makes a `Guid` of them, whose first three groups are in
 * little-endian order (service reference 4.3, device reference 3.5).
 */
export function guidBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

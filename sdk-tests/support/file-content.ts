import { createHash, randomBytes } from 'node:crypto';

const MIB = 1024 * 1024;

/** So many bytes that nobody has seen before. */
export function* noise(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= MIB) yield randomBytes(Math.min(left, MIB));
}

/** SHA-256 in hexadecimal. */
export async function sumOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const sum = createHash('sha256');
  for await (const piece of content) sum.update(piece);
  return sum.digest('hex');
}

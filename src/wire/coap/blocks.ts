/** The value of Block1 and Block2: RFC 7959 section 2.2. */
import { uintBytes, uintValue } from './messages.ts';

export interface Block {
  readonly number: number;
  /** True = more blocks follow (or, in a request for Block2, nothing). */
  readonly more: boolean;
  /** Exponent of the size: a block has `2 ** (exponent + 4)` bytes, 0 to 6. */
  readonly exponent: number;
}

export const blockBytes = (exponent: number): number => 2 ** (exponent + 4);

/** @returns undefined for a value that is too long, or of the reserved size */
export function decodeBlock(value: Buffer): Block | undefined {
  const raw = uintValue(value, 3);
  if (raw === undefined || (raw & 7) === 7) return undefined;
  return { number: Math.floor(raw / 16), more: (raw & 8) !== 0, exponent: raw & 7 };
}

export function encodeBlock(block: Block): Buffer {
  return uintBytes(block.number * 16 + (block.more ? 8 : 0) + block.exponent);
}

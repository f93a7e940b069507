/** 64-bit numbers without BigInt: sequence numbers and times stay below 2^53, so a double holds them exactly. */

const TWO_32 = 2 ** 32;

/** Writes `value` (0 to 2^53) as eight bytes, big-endian, and returns the place behind it. */
export function writeUint64BE(target: Buffer, at: number, value: number): number {
  target.writeUInt32BE(Math.floor(value / TWO_32), at);
  target.writeUInt32BE(value % TWO_32, at + 4);
  return at + 8;
}

/**
 * As `writeUint64BE`, without the checks of the runtime's own methods: for places that hold something already, on a path
 * where the checks were a twentieth of the whole cost.
 */
export function putUint64BE(target: Buffer, at: number, value: number): void {
  putUint32BE(target, at, Math.floor(value / TWO_32));
  putUint32BE(target, at + 4, value % TWO_32);
}

/** Writes the lowest 32 bits of `value`, unchecked as `putUint64BE`. */
export function putUint32BE(target: Buffer, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

/** As `putUint32BE`, little-endian. */
export function putUint32LE(target: Buffer, at: number, value: number): void {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
}

/** Reads eight big-endian bytes. Values over 2^53 lose their last bits: check the bound where the bytes come from. */
export function readUint64BE(source: Buffer, at: number): number {
  return source.readUInt32BE(at) * TWO_32 + source.readUInt32BE(at + 4);
}

/** Writes `value` (0 to 2^53) as eight bytes, little-endian, and returns the place behind it. */
export function writeUint64LE(target: Buffer, at: number, value: number): number {
  target.writeUInt32LE(value % TWO_32, at);
  target.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
  return at + 8;
}

/** Reads eight little-endian bytes; see `readUint64BE` for the bound. */
export function readUint64LE(source: Buffer, at: number): number {
  return source.readUInt32LE(at) + source.readUInt32LE(at + 4) * TWO_32;
}

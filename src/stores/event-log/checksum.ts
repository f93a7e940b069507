/** The reflected polynomial of CRC-32 (IEEE 802.3), as `node:zlib` computes it. */
const POLYNOMIAL = 0xedb88320;
const ONE = 0x80000000;

/** x to the power of 2^n, modulo the polynomial. */
const powers = new Uint32Array(32);
powers[0] = ONE >>> 1;
for (let n = 1; n < powers.length; n++) powers[n] = times(powers[n - 1], powers[n - 1]);

/**
 * The CRC-32 of bytes that follow others, from both checksums, without the bytes: what stands before is moved by as many
 * zeros as the second part is long, which is a multiplication by a power of x. Takes about a microsecond.
 */
export function joinChecksums(before: number, behind: number, behindBytes: number): number {
  let shift = ONE;
  // Eight bits for each byte: the third power is the first that is needed.
  for (let left = behindBytes, n = 3; left > 0; left = Math.floor(left / 2), n++) {
    if (left % 2 === 1) shift = times(powers[n % 32], shift);
  }
  return (times(shift, before) ^ behind) >>> 0;
}

/** The product of two polynomials, modulo the polynomial. */
function times(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= factor;
    factor = (factor & 1) === 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product >>> 0;
}

import { randomBytes, randomFillSync } from 'node:crypto';

/** Randomness as a parameter: the machine's for secrets and ids, a seeded one for tests that must repeat. */
export interface Random {
  /** `count` fresh bytes. */
  bytes(count: number): Buffer;
}

/** Cryptographically strong; the only source that keys and lock tokens may come from in a running hub. */
export const systemRandom: Random = {
  bytes: (count) => (count > RESERVE_SHARE_MAX ? randomBytes(count) : reserved(count)),
};

/** Each call of the machine's source costs as much as thousands of bytes; so ids are cut from a reserve. */
const RESERVE_BYTES = 4096;
const RESERVE_SHARE_MAX = 64;
const reserve = Buffer.alloc(RESERVE_BYTES);
let used = RESERVE_BYTES;

/** Bytes of the reserve, which does not keep what it has given away. */
function reserved(count: number): Buffer {
  if (used + count > RESERVE_BYTES) {
    randomFillSync(reserve);
    used = 0;
  }
  const bytes = Buffer.from(reserve.subarray(used, used + count));
  reserve.fill(0, used, used + count);
  used += count;
  return bytes;
}

/** A repeatable stream for tests and the simulation (mulberry32). Never for secrets. */
export function seededRandom(seed: number): Random & { next(): number } {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    bytes(count) {
      const out = Buffer.allocUnsafe(count);
      for (let at = 0; at < count; at++) out[at] = Math.floor(next() * 256);
      return out;
    },
  };
}

/** A random (version 4) UUID in its canonical text form, RFC 9562 section 5.4. */
export function uuid(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** UUIDs of one run, each made of the run's random part and a number, so that only the number need be kept (version 8). */
export function numberedUuids(random: Random): (number: number) => string {
  const run = uuid(random);
  const head = `${run.slice(0, 14)}8${run.slice(15, 24)}`;
  return (number) => head + number.toString(16).padStart(12, '0');
}

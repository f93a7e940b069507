/** Values by the bytes that they were read from, so that what comes again is not read again. */

const SET_BITS = 10;
/** Values that may have the same set. Which one goes when another comes takes turns: nobody can make looking take long. */
const WAYS = 4;
const BYTES_MAX = 1024;

interface Entry<Value> {
  readonly hash: number;
  readonly bytes: DataView;
  readonly value: Value;
}

/**
 * At most 4096 values of at most 1 KiB. Bytes are hashed and compared four at a time in a DataView: as texts in a Map, of which one had
 * to be made for each look, they cost 0.7 µs each, three of them a record.
 */
export class Kept<Value> {
  readonly #entries = new Array<Entry<Value> | undefined>(2 ** SET_BITS * WAYS).fill(undefined);
  #turn = 0;

  /** The value of the bytes from `start` to `end`; undefined = it is not kept. */
  find(bytes: DataView, start: number, end: number): Value | undefined {
    if (end - start > BYTES_MAX) return undefined;
    const hash = hashOf(bytes, start, end);
    const first = setOf(hash) * WAYS;
    for (let at = first; at < first + WAYS; at++) {
      const entry = this.#entries[at];
      if (entry !== undefined && entry.hash === hash && isSame(entry.bytes, bytes, start, end)) return entry.value;
    }
    return undefined;
  }

  /** @returns `value`, which stands for these bytes from now on */
  keep(bytes: DataView, start: number, end: number, value: Value): Value {
    if (end - start > BYTES_MAX) return value;
    const own = bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + end);
    const hash = hashOf(bytes, start, end);
    const first = setOf(hash) * WAYS;
    let way = 0;
    while (way < WAYS && this.#entries[first + way] !== undefined) way++;
    if (way === WAYS) {
      this.#turn = (this.#turn + 1) % WAYS;
      way = this.#turn;
    }
    this.#entries[first + way] = { hash, bytes: new DataView(own), value };
    return value;
  }
}

/** FNV-1a, by words: the highest bits depend on every byte. The factor is odd and has its bits spread (2^32 by the golden ratio). */
function hashOf(bytes: DataView, start: number, end: number): number {
  let hash = end - start;
  let at = start;
  for (; at + 4 <= end; at += 4) hash = Math.imul(hash ^ bytes.getInt32(at, true), 0x9e3779b1);
  for (; at < end; at++) hash = Math.imul(hash ^ bytes.getUint8(at), 0x9e3779b1);
  return hash;
}

const setOf = (hash: number): number => hash >>> (32 - SET_BITS);

function isSame(kept: DataView, bytes: DataView, start: number, end: number): boolean {
  const size = end - start;
  if (kept.byteLength !== size) return false;
  let at = 0;
  for (; at + 4 <= size; at += 4) {
    if (kept.getInt32(at, true) !== bytes.getInt32(start + at, true)) return false;
  }
  for (; at < size; at++) {
    if (kept.getUint8(at) !== bytes.getUint8(start + at)) return false;
  }
  return true;
}

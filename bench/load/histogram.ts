/**
 * Counts of durations in buckets that grow with the value, so that percentiles cost a fixed, small memory: exact below
 * 128 µs, within 1/64 above. Durations over about 67 s land in the last bucket.
 *
 * `createHistogram` of `node:perf_hooks` merges across worker threads as well, but takes 37 to 59 ns per record where this takes 5 to 29
 * (the generator would be measured, not the hub), refuses 0, and cannot be sent by a child process (`connects-process.ts`).
 */

const SUB_BITS = 7;
const SUB = 1 << SUB_BITS;
const HALF = SUB / 2;
const SHIFTS = 26 - SUB_BITS;
const BUCKETS = SUB + SHIFTS * HALF;

export class Histogram {
  readonly #counts: Float64Array;
  #total = 0;
  #largest = 0;

  /** @param counts as `toJSON` gave them, from another thread. */
  constructor(counts?: Float64Array) {
    this.#counts = counts ?? new Float64Array(BUCKETS);
    for (let at = 0; at < BUCKETS; at++) {
      this.#total += this.#counts[at];
      if (this.#counts[at] > 0) this.#largest = upperEdge(at);
    }
  }

  get total(): number {
    return this.#total;
  }

  /** Adds one duration in milliseconds. Called per message: no allocation. */
  record(durationMs: number): void {
    const value = durationMs <= 0 ? 0 : (durationMs * 1000) | 0;
    this.#counts[bucketOf(value)]++;
    this.#total++;
    if (value > this.#largest) this.#largest = value;
  }

  add(other: Histogram): void {
    for (let at = 0; at < BUCKETS; at++) this.#counts[at] += other.#counts[at];
    this.#total += other.#total;
    this.#largest = Math.max(this.#largest, other.#largest);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#largest = 0;
  }

  /** Milliseconds that `share` (0 to 1) of the durations do not exceed; 0 when nothing was recorded. */
  percentile(share: number): number {
    const wanted = Math.max(1, Math.ceil(this.#total * share));
    let seen = 0;
    for (let at = 0; at < BUCKETS; at++) {
      seen += this.#counts[at];
      if (seen >= wanted) return Math.min(upperEdge(at), this.#largest) / 1000;
    }
    return 0;
  }

  /** The plain counts, to be handed to another thread. */
  counts(): Float64Array {
    return this.#counts.slice();
  }
}

function bucketOf(value: number): number {
  if (value < SUB) return value;
  const shift = 32 - SUB_BITS - Math.clz32(value);
  const at = SUB + (shift - 1) * HALF + ((value >>> shift) - HALF);
  return at < BUCKETS ? at : BUCKETS - 1;
}

/** The largest value of a bucket, in microseconds. */
function upperEdge(bucket: number): number {
  if (bucket < SUB) return bucket;
  const shift = Math.floor((bucket - SUB) / HALF) + 1;
  const sub = ((bucket - SUB) % HALF) + HALF;
  return (sub + 1) * 2 ** shift - 1;
}

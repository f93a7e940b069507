/** Buckets grow by 2 %, from a hundredth of a millisecond to over an hour: any percentile is right to 2 %. */
const GROWTH = Math.log(1.02);
const MS_MIN = 0.01;
const BUCKETS = 1024;

/** Latencies in constant memory. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #max = 0;

  record(ms: number): void {
    const bucket = ms <= MS_MIN ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / MS_MIN) / GROWTH));
    this.#counts[bucket] += 1;
    this.#count += 1;
    if (ms > this.#max) this.#max = ms;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#max = 0;
  }

  get count(): number {
    return this.#count;
  }

  get max(): number {
    return this.#max;
  }

  /** The latency under or at which `share` (0 to 1) of all were; undefined while there are none. */
  percentile(share: number): number | undefined {
    if (this.#count === 0) return undefined;
    let left = Math.max(1, Math.ceil(this.#count * share));
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket];
      if (left <= 0) return Math.min(this.#max, MS_MIN * Math.exp(bucket * GROWTH));
    }
    return this.#max;
  }
}

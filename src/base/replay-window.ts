/** Which numbers of a growing sequence were taken: the newest, and which of those just before it. For datagrams that are sealed. */
export class ReplayWindow {
  readonly #size: number;
  #newest: number;
  /** Bit `n` = `newest - n` was taken. */
  #taken: bigint;

  /** @param size How far behind the newest one a number may come @param newest The one that was taken first; -1 = none yet */
  constructor(size: number, newest = -1) {
    this.#size = size;
    this.#newest = newest;
    this.#taken = newest === -1 ? 0n : (1n << BigInt(size)) - 1n;
  }

  /** False = it was taken, or is too old to know. */
  isFresh(number: number): boolean {
    if (number > this.#newest) return true;
    const behind = this.#newest - number;
    return behind < this.#size && ((this.#taken >> BigInt(behind)) & 1n) === 0n;
  }

  /** To be called only for what was fresh, and has proved to be genuine. */
  take(number: number): void {
    if (number <= this.#newest) {
      this.#taken |= 1n << BigInt(this.#newest - number);
      return;
    }
    const ahead = number - this.#newest;
    const kept = ahead >= this.#size || this.#newest === -1 ? 0n : this.#taken << BigInt(ahead);
    this.#taken = (kept | 1n) & ((1n << BigInt(this.#size)) - 1n);
    this.#newest = number;
  }
}

/**
 * A bounded amount of something that many use at a time, shared out so that one of them cannot have all of it: each key (an
 * identity, an address) has its share at most, and the last part is a reserve that is open only to keys that hold little.
 * So however many keys hold full shares, the next one still gets what it needs to begin.
 */
export interface ShareBounds {
  /** Of all keys together. */
  readonly max: number;
  readonly perKeyMax: number | ((key: string) => number);
  /** Part of `max` that only keys with at most `reservedPerKey` of it may take. Default: none. */
  readonly reserve?: number;
  readonly reservedPerKey?: number;
}

export class Shares {
  readonly #bounds: Required<Omit<ShareBounds, 'perKeyMax'>>;
  readonly #perKeyMaxOf: (key: string) => number;
  readonly #held = new Map<string, number>();
  #used = 0;

  constructor({ max, perKeyMax, reserve = 0, reservedPerKey = 0 }: ShareBounds) {
    this.#bounds = { max, reserve, reservedPerKey };
    this.#perKeyMaxOf = typeof perKeyMax === 'number' ? () => perKeyMax : perKeyMax;
  }

  get used(): number {
    return this.#used;
  }

  heldBy(key: string): number {
    return this.#held.get(key) ?? 0;
  }

  /** Whether a key has all of its own share. */
  isFull(key: string): boolean {
    return this.heldBy(key) >= this.#perKeyMaxOf(key);
  }

  /** @returns false = there is none for this key now, and nothing was taken. */
  take(key: string, amount = 1): boolean {
    const { max, reserve, reservedPerKey } = this.#bounds;
    const held = this.heldBy(key) + amount;
    const open = held <= reservedPerKey ? max : max - reserve;
    if (held > this.#perKeyMaxOf(key) || this.#used + amount > open) return false;
    this.#held.set(key, held);
    this.#used += amount;
    return true;
  }

  /** Gives back what `take` has given. */
  give(key: string, amount = 1): void {
    const left = this.heldBy(key) - amount;
    if (left > 0) this.#held.set(key, left);
    else this.#held.delete(key);
    this.#used -= amount;
  }
}

/**
 * Work that is under way for many keys at a time, shared out (`shares.ts`). What is beyond a key's share waits in a line of its own
 * and takes places in turn, so that a key which asks for much waits for itself, and nobody for it; a line is bounded.
 */
import { type ShareBounds, Shares } from './shares.ts';

/** Keys that are looked at for one place: the first may hold too much for the reserve, which is all that is free. */
const LOOKED_AT_MAX = 16;

export interface WorkBounds extends ShareBounds {
  /** How many of one key wait. */
  readonly waitingMax: number | ((key: string) => number);
}

export class WorkShares {
  readonly #shares: Shares;
  readonly #waitingMaxOf: (key: string) => number;
  /** Those who wait for a place, by key; no line is empty. */
  readonly #lines = new Map<string, (() => void)[]>();
  /** Keys with a line that have not all of their own share: they wait for others to give something back. In turn. */
  readonly #crowded = new Set<string>();

  constructor(bounds: WorkBounds) {
    const { waitingMax } = bounds;
    this.#shares = new Shares(bounds);
    this.#waitingMaxOf = typeof waitingMax === 'number' ? () => waitingMax : waitingMax;
  }

  get used(): number {
    return this.#shares.used;
  }

  heldBy(key: string): number {
    return this.#shares.heldBy(key);
  }

  waitingOf(key: string): number {
    return this.#lines.get(key)?.length ?? 0;
  }

  /** A place at once. @returns false = none is free for this key, or others of it wait already: see `turn` */
  take(key: string): boolean {
    return !this.#lines.has(key) && this.#shares.take(key);
  }

  /** Resolves with a place, behind those of the key who wait already. @returns undefined = its line is full, and there is no place */
  turn(key: string): Promise<void> | undefined {
    const line = this.#lines.get(key);
    if ((line?.length ?? 0) >= this.#waitingMaxOf(key)) return undefined;
    return new Promise((resolve) => {
      if (line !== undefined) line.push(resolve);
      else {
        this.#lines.set(key, [resolve]);
        if (!this.#shares.isFull(key)) this.#crowded.add(key);
      }
    });
  }

  /** Gives back a place. */
  give(key: string): void {
    this.#shares.give(key);
    // Behind those who have had less than their share for longer: else a holder of all of its share would have its place again for ever.
    if (this.#lines.has(key)) this.#crowded.add(key);
    if (this.#crowded.size > 0) this.#beginFirst();
  }

  /** The place that is free goes to the first key that may have it. */
  #beginFirst(): void {
    const looked: string[] = [];
    for (const key of this.#crowded) {
      if (this.#shares.take(key)) {
        this.#crowded.delete(key);
        this.#begin(key);
        return;
      }
      if (looked.push(key) === LOOKED_AT_MAX) break;
    }
    if (looked.length < LOOKED_AT_MAX) return;
    for (const key of looked) {
      this.#crowded.delete(key);
      this.#crowded.add(key);
    }
  }

  /** The first of a line has its place. */
  #begin(key: string): void {
    const line = this.#lines.get(key) ?? [];
    const begin = line.shift();
    if (line.length === 0) this.#lines.delete(key);
    else if (!this.#shares.isFull(key)) this.#crowded.add(key);
    begin?.();
  }
}

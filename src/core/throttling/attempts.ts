/**
 * How many attempts to prove who it is an address may have in hand. Each refusal that is answered late keeps one of the
 * address's places until its time is over, whether or not there is memory to keep the answer itself; so the delay of
 * refusals bounds the rate of guessing at any number of connections. An address that has failed nothing has all its places
 * free: its attempts may queue behind each other for a moment, and every one of them is judged.
 */
import { addressShare } from '../../base/address.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { ownText } from '../../base/text.ts';

interface Address {
  /** Attempts that are being judged. */
  judging: number;
  /** Monotonic milliseconds until which refusals keep a place each. */
  readonly kept: number[];
  /** Attempts that wait for one of those being judged. */
  readonly queue: (() => void)[];
  /** Attempts that have waited and have yet to look whether it is their turn: the address is in use by them. */
  woken: number;
}

export class Attempts {
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Address>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes a place. @returns false = all are kept by refusals: the attempt is not to be judged. */
  async begin(peer: string): Promise<boolean> {
    const address = this.#addressOf(peer);
    for (;;) {
      const kept = this.#keptBy(address);
      if (kept >= limits.slowRefusalsPerAddressMax) return false;
      if (address.judging + kept < limits.slowRefusalsPerAddressMax) {
        address.judging++;
        return true;
      }
      await new Promise<void>((resolve) => address.queue.push(resolve));
      address.woken--;
    }
  }

  /** The attempt has been judged. @param delayMs its place is kept so long; 0 = it is free */
  end(peer: string, delayMs: number): void {
    const name = addressShare(peer);
    const address = this.#addresses.get(name);
    if (address === undefined) return;
    address.judging--;
    if (delayMs > 0) address.kept.push(this.#clock.monotonic() + delayMs);
    // As many look again as places are free; all of those that wait where refusals keep every place, so that none is left behind.
    const kept = this.#keptBy(address);
    const free = limits.slowRefusalsPerAddressMax - kept - address.judging;
    const isFull = kept >= limits.slowRefusalsPerAddressMax;
    for (const next of address.queue.splice(0, isFull ? address.queue.length : Math.max(0, free - address.woken))) {
      address.woken++;
      next();
    }
    if (isIdle(address) && kept === 0) this.#addresses.delete(name);
  }

  #addressOf(peer: string): Address {
    const name = addressShare(peer);
    const known = this.#addresses.get(name);
    if (known !== undefined) return known;
    const address: Address = { judging: 0, kept: [], queue: [], woken: 0 };
    if (this.#addresses.size >= limits.failuresRememberedMax) this.#forgetOne();
    this.#addresses.set(ownText(name), address);
    return address;
  }

  /** Those with an attempt in hand stay: they are as many as connections at most. */
  #forgetOne(): void {
    for (const [name, address] of this.#addresses) {
      if (!isIdle(address)) continue;
      this.#addresses.delete(name);
      return;
    }
  }

  #keptBy({ kept }: Address): number {
    const now = this.#clock.monotonic();
    let left = 0;
    for (const until of kept) if (until > now) kept[left++] = until;
    kept.length = left;
    return left;
  }
}

function isIdle({ judging, queue, woken }: Address): boolean {
  return judging === 0 && queue.length === 0 && woken === 0;
}

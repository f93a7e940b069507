import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';

/** Weight of the newest measurement. */
const NEWEST = 0.3;
/** Shortest time that says something of a link. */
const MEASURED_MS_MIN = 20;

/**
 * How much is sent ahead of the hub's answers: as many bytes as the link carries in two seconds, as measured, in batches of a quarter of that.
 * So a slow link is kept full, and what is urgent waits two seconds behind what is under way, not minutes.
 */
export class Pace {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** Bytes per millisecond; undefined = nothing was answered yet. */
  #rate: number | undefined;
  #unanswered = 0;
  #roundTripMs = Number.POSITIVE_INFINITY;
  /** When the measurement under way began: with the last one, or the first sending after silence. */
  #since = 0;
  /** Bytes that were answered since. */
  #answered = 0;
  /** As much as may be was under way at some time since. */
  #isFull = false;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Bytes that may be under way. */
  get window(): number {
    if (this.#rate === undefined) return limits.gatewayWindowBytesMin;
    return clamp(this.#rate * limits.gatewayWindowMs, limits.gatewayWindowBytesMin, limits.gatewayWindowBytesMax);
  }

  /** Bytes of a batch, as it is sent. */
  get batch(): number {
    return Math.min(limits.gatewaySentBatchBytesMax, this.window / 4);
  }

  get unanswered(): number {
    return this.#unanswered;
  }

  get hasRoom(): boolean {
    return this.#unanswered < this.window;
  }

  /** Bytes per second as last measured; undefined = not known. */
  get bytesPerSecond(): number | undefined {
    return this.#rate === undefined ? undefined : this.#rate * 1000;
  }

  /** How long an answer takes, as measured lately. Infinity = none has come. */
  get roundTripMs(): number {
    return this.#roundTripMs;
  }

  /** @returns when, for `answered` */
  sent(bytes: number): number {
    if (this.#unanswered === 0) this.#begin();
    this.#unanswered += bytes;
    if (!this.hasRoom) this.#isFull = true;
    return this.#clock.monotonic();
  }

  answered(bytes: number, sentAt: number): void {
    const took = this.#clock.monotonic() - sentAt;
    const known = Number.isFinite(this.#roundTripMs);
    this.#roundTripMs = known ? this.#roundTripMs * (1 - NEWEST) + took * NEWEST : took;
    this.#unanswered = Math.max(0, this.#unanswered - bytes);
    this.#answered += bytes;
    const elapsedMs = this.#clock.monotonic() - this.#since;
    // Answers that come together say nothing of the link but together.
    if (elapsedMs < MEASURED_MS_MIN) return;
    const rate = this.#answered / elapsedMs;
    // A link that was not full carries more than was seen.
    if (this.#rate === undefined) this.#rate = rate;
    else if (this.#isFull || rate > this.#rate) this.#rate = this.#rate * (1 - NEWEST) + rate * NEWEST;
    this.#begin();
  }

  #begin(): void {
    this.#since = this.#clock.monotonic();
    this.#answered = 0;
    this.#isFull = !this.hasRoom;
  }

  /** The connection is lost: nothing that was under way will be answered. */
  reset(): void {
    this.#unanswered = 0;
    this.#roundTripMs = Number.POSITIVE_INFINITY;
  }
}

const clamp = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));

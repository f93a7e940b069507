import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';

/** Least time between two signs of life, whatever the peer asks for. */
const HEARTBEAT_MS_MIN = 250;

/**
 * Keeps one connection alive for its peer, and notices when the peer is gone (part 2 section 2.4.5). One timer at a time,
 * which is not moved by traffic: when it fires, it looks when something was last heard and said.
 */
export class Liveness {
  readonly #clock: Clock;
  #heard: number;
  #said: number;
  #heartbeatMs = Number.POSITIVE_INFINITY;
  #cancel: Cancel = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#heard = clock.monotonic();
    this.#said = this.#heard;
  }

  heard(): void {
    this.#heard = this.#clock.monotonic();
  }

  said(): void {
    this.#said = this.#clock.monotonic();
  }

  /**
   * Begins to watch.
   * @param peerIdleTimeoutMs silence after which the peer gives up, as it announced; 0 = never
   * @param speak says something; the watch goes on
   * @param lost the peer has been silent for `limits.amqpIdleTimeoutMs`; the watch is over
   */
  start(peerIdleTimeoutMs: number, speak: () => void, lost: () => void): void {
    if (peerIdleTimeoutMs > 0) this.#heartbeatMs = Math.max(HEARTBEAT_MS_MIN, peerIdleTimeoutMs / 2);
    const look = (): void => {
      const now = this.#clock.monotonic();
      if (now - this.#heard >= limits.amqpIdleTimeoutMs) {
        lost();
        return;
      }
      if (now - this.#said >= this.#heartbeatMs) speak();
      const speakIn = this.#said + this.#heartbeatMs - now;
      const lostIn = this.#heard + limits.amqpIdleTimeoutMs - now;
      this.#cancel = this.#clock.after(Math.max(1, Math.min(speakIn, lostIn)), look);
    };
    look();
  }

  stop(): void {
    this.#cancel();
  }
}

/** What has been sent to one connection at QoS 1 and waits for its PUBACK. */
import { limits } from '../../../base/limits.ts';
import { Lost } from '../route.ts';

export class Deliveries {
  readonly #waiting = new Map<number, { done: (reason: number) => void; lost: (error: Error) => void }>();
  readonly #max: number;
  #last = 0;

  /** @param max what the client takes at a time (`receive maximum` of MQTT 5) */
  constructor(max: number) {
    this.#max = Math.min(max, limits.mqttTopicsInflightMax);
  }

  get isFull(): boolean {
    return this.#waiting.size >= this.#max;
  }

  /** Resolves with the reason of the PUBACK, 0 in 3.1.1. @throws what `signal` was aborted with; Error when the connection ends */
  wait(signal: AbortSignal): { readonly packetId: number; readonly acknowledged: Promise<number> } {
    do this.#last = (this.#last % 0xffff) + 1;
    while (this.#waiting.has(this.#last));
    const packetId = this.#last;
    const acknowledged = new Promise<number>((resolve, reject) => {
      const aborted = (): void => {
        // Its id stays taken until the client answers, so that a late PUBACK does not count for another message.
        this.#waiting.set(packetId, { done: () => {}, lost: () => {} });
        reject(signal.reason);
      };
      signal.addEventListener('abort', aborted, { once: true });
      const settle = (how: () => void): void => {
        signal.removeEventListener('abort', aborted);
        how();
      };
      this.#waiting.set(packetId, {
        done: (reason) => settle(() => resolve(reason)),
        lost: (error) => settle(() => reject(error)),
      });
    });
    return { packetId, acknowledged };
  }

  /** Whether there was such a message. */
  acknowledged(packetId: number, reason = 0): boolean {
    const waiting = this.#waiting.get(packetId);
    this.#waiting.delete(packetId);
    waiting?.done(reason);
    return waiting !== undefined;
  }

  close(): void {
    for (const { lost } of this.#waiting.values()) lost(new Lost('the connection of the device has ended'));
    this.#waiting.clear();
  }
}

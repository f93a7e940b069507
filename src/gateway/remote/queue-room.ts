import { limits } from '../../base/limits.ts';

/** What a queue does that is full: refuses the newest message, or drops the oldest and counts it. */
export type WhenFull = 'refuse' | 'dropOldest';

/** Share of the bound at which devices are to stop, and at which they may go on. */
const HIGH = 0.9;
const LOW = 0.8;

/** How much of its bound a queue takes, and who waits for it to take less. */
export class QueueRoom {
  readonly bytesMax: number;
  readonly whenFull: WhenFull;
  /** On the disk. */
  bytes = 0;
  /** Bytes that are not on the disk yet. */
  pending = 0;
  #isHigh = false;
  #waiters: (() => void)[] = [];

  constructor(bytesMax: number, whenFull: WhenFull) {
    this.bytesMax = bytesMax;
    this.whenFull = whenFull;
  }

  /** Whether a message of that size makes a queue full that refuses. */
  isFullFor(size: number): boolean {
    return this.whenFull === 'refuse' && this.bytes + this.pending + size > this.bytesMax;
  }

  /** False = devices are to be slowed until `drained`. */
  get writable(): boolean {
    return !this.#isHigh && this.pending < limits.gatewayPendingBytesHigh;
  }

  drained(): Promise<void> {
    if (this.writable) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** `bytes` or `pending` have changed. */
  changed(): void {
    if (this.whenFull === 'refuse') {
      if (this.bytes >= this.bytesMax * HIGH) this.#isHigh = true;
      else if (this.bytes < this.bytesMax * LOW) this.#isHigh = false;
    }
    if (!this.writable) return;
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

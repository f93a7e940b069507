import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Gated, holds } from './gate.ts';
import type { Uplink } from './uplink.ts';

/**
 * When a connection that sends telemetry is not read for a while: too much of it, or of all connections, waits for the
 * disk, or the device is over its limit. An idle connection has none.
 */
export class Backpressure {
  readonly #uplink: Uplink;
  readonly #gate: Gated;
  readonly #clock: Clock;
  /** Set while the device is over its limit. */
  #cancelWait: Cancel | undefined;

  constructor(uplink: Uplink, gate: Gated, clock: Clock) {
    this.#uplink = uplink;
    this.#gate = gate;
    this.#clock = clock;
  }

  /** A message was taken: sets the holds that are due now. */
  heed(): void {
    const { unacknowledged, writer, waitMs } = this.#uplink;
    if (unacknowledged >= limits.mqttInflightMax) this.#gate.hold(holds.inflight);
    if (waitMs > 0 && !this.#gate.has(holds.throttle | holds.closed)) {
      this.#gate.hold(holds.throttle);
      const goOn = this.#uplink.slowed('rate');
      const cancel = this.#clock.after(waitMs, () => {
        goOn();
        this.#gate.release(holds.throttle);
      });
      this.#cancelWait = () => {
        goOn();
        cancel();
      };
    }
    if (!writer.congested || this.#gate.has(holds.congestion)) return;
    this.#gate.hold(holds.congestion);
    const goOn = this.#uplink.slowed('congestion');
    writer.whenRelieved(() => {
      goOn();
      this.#gate.release(holds.congestion);
    });
  }

  /** Messages have become durable: the connection is read again when half of its share is free. */
  relieve(): void {
    if (this.#uplink.unacknowledged <= limits.mqttInflightMax / 2) this.#gate.release(holds.inflight);
  }

  /** The connection ends, and waits for nothing any more. */
  close(): void {
    this.#cancelWait?.();
  }
}

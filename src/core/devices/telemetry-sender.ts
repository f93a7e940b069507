import type { Cancel, Clock } from '../../base/clock.ts';
import type { EventSender, Events, PreparedTelemetry } from '../events/room.ts';
import type { Telemetry } from '../events/types.ts';
import type { TelemetryDoor } from './types.ts';

/**
 * The telemetry of one device on its way to the log. After each message it looks whether the device is over its rate, or
 * too much of all devices waits for the disk, and slows the door until that is over.
 *
 * A repeated message passes this file once and allocates nothing here.
 */
export class TelemetrySender {
  readonly sender: EventSender;
  readonly #events: Events;
  readonly #clock: Clock;
  readonly #door: TelemetryDoor;
  /** Set while the device is over its rate. */
  #cancelWait: Cancel | undefined;
  #isCongested = false;
  #isClosed = false;

  constructor(events: Events, clock: Clock, sender: EventSender, door: TelemetryDoor) {
    this.#events = events;
    this.#clock = clock;
    this.sender = sender;
    this.#door = door;
  }

  /** Puts one message into the open batch, whose number it returns. @throws HubError as `Events.enqueue` */
  enqueue(telemetry: Telemetry): number {
    const batch = this.#events.enqueue(this.sender, telemetry, this.#door);
    this.#heed();
    return batch;
  }

  /** @throws HubError as `Events.prepare` */
  prepare(telemetry: Omit<Telemetry, 'body' | 'traceId'>): PreparedTelemetry {
    return this.#events.prepare(this.sender, telemetry);
  }

  /** @throws HubError as `Events.enqueuePrepared` */
  enqueuePrepared(prepared: PreparedTelemetry, source: Uint8Array, bodyStart: number, bodyEnd: number): number {
    const batch = this.#events.enqueuePrepared(prepared, source, bodyStart, bodyEnd, this.#door);
    this.#heed();
    return batch;
  }

  /** All of them or none; resolves when they are durable. @throws HubError as `Events.send` */
  async send(messages: readonly Telemetry[]): Promise<void> {
    const sent = this.#events.send(this.sender, messages);
    this.#heed();
    await sent;
  }

  /** The door takes nothing more from the device: what is put in from here on slows nobody. */
  close(): void {
    this.#isClosed = true;
    this.#cancelWait?.();
  }

  #heed(): void {
    const { meter, log } = this.sender;
    if (meter !== undefined) this.#heedRate();
    if (log.writer.congested) this.#heedCongestion();
  }

  #heedRate(): void {
    if (this.#cancelWait !== undefined || this.#isClosed || this.#events.waitMs(this.sender) === 0) return;
    this.#door.slow('rate');
    const goOn = this.#events.slowed(this.sender, 'rate');
    let cancel: Cancel = () => {};
    this.#cancelWait = () => {
      goOn();
      cancel();
    };
    const wait = (): void => {
      const waitMs = this.#events.waitMs(this.sender);
      if (waitMs > 0) {
        cancel = this.#clock.after(waitMs, wait);
        return;
      }
      this.#cancelWait = undefined;
      goOn();
      this.#door.goOn('rate');
    };
    wait();
  }

  #heedCongestion(): void {
    if (this.#isCongested || this.#isClosed) return;
    this.#isCongested = true;
    this.#door.slow('congestion');
    const goOn = this.#events.slowed(this.sender, 'congestion');
    this.sender.log.writer.whenRelieved(() => {
      this.#isCongested = false;
      goOn();
      this.#door.goOn('congestion');
    });
  }
}

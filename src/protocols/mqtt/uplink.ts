import type { Cancel } from '../../base/clock.ts';
import type { EventSender, SenderOrigin } from '../../core/events/events.ts';
import type { DurabilityWaiter, EventWriter } from '../../core/events/ports.ts';
import type { Telemetry } from '../../core/events/types.ts';
import type { Hub } from '../../core/hub.ts';
import type { DevicePrincipal } from '../../core/identity/types.ts';
import type { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { FastPublish } from './fast-publish.ts';

/** The telemetry of one connection on its way to the disk. Made with the first message: an idle connection has none. */
export class Uplink {
  /** Set while the device is over its limit. */
  cancelWait: Cancel | undefined;
  readonly #events: Hub['events'];
  readonly #sender: EventSender;
  readonly #waiter: DurabilityWaiter;
  readonly #fast = new FastPublish();
  readonly #acknowledgements = new Acknowledgements();

  /** @throws HubError IotHubUnauthorizedAccess */
  constructor(
    { events }: Hub,
    {
      principal,
      modelId,
      via,
    }: { readonly principal: DevicePrincipal; readonly modelId: string | undefined; readonly via: SenderOrigin },
    waiter: DurabilityWaiter,
  ) {
    this.#events = events;
    this.#sender = events.openSender(principal, principal.key, { via, ...(modelId !== undefined && { modelId }) });
    this.#waiter = waiter;
  }

  get writer(): EventWriter {
    return this.#sender.log.writer;
  }

  /** Milliseconds for which nothing more is to be taken from the connection; 0 = go on. */
  get waitMs(): number {
    return this.#events.waitMs(this.#sender);
  }

  /** Nothing is taken from the connection until the returned function is called. */
  slowed(by: 'rate' | 'congestion'): () => void {
    return this.#events.slowed(this.#sender, by);
  }

  /** QoS 1 messages whose PUBACK is due. */
  get unacknowledged(): number {
    return this.#acknowledgements.count;
  }

  /**
   * Puts a message into the open batch. @param packetId 0 at QoS 0: nobody waits.
   * @throws HubError as `Events.enqueue`
   */
  enqueue(telemetry: Telemetry, packetId: number): void {
    const batch = this.#events.enqueue(this.#sender, telemetry, this.#waiter);
    if (packetId !== 0) this.#acknowledgements.add(packetId, batch);
  }

  /**
   * The same for a packet that is like the one before, undecoded. False = it is not, and nothing was done.
   * @throws HubError as `Events.enqueue`
   */
  enqueueFast({ bytes, start, body, end }: PacketReader): boolean {
    const fast = this.#fast;
    if (!fast.matches(bytes, start, body, end)) return false;
    const batch = this.#events.enqueuePrepared(fast.prepared, bytes, fast.payloadAt, end, this.#waiter);
    if (fast.packetId !== 0) this.#acknowledgements.add(fast.packetId, batch);
    return true;
  }

  /** Remembers the PUBLISH in the reader, which was decoded as `telemetry`: the next one may be like it. */
  learn({ bytes, body }: PacketReader, telemetry: Telemetry): void {
    const topicAt = body + 2;
    if (this.#fast.isRepeated(bytes, topicAt, topicAt + bytes.readUInt16BE(body))) {
      this.#fast.prepare(this.#events.prepare(this.#sender, telemetry));
    }
  }

  /** Lets a message that waits for nothing itself keep its place. False = nothing is before it. */
  awaitTurn(packetId: number): boolean {
    return this.#acknowledgements.addInOrder(packetId);
  }

  /** The PUBACKs that are due when `batch` is durable, in one buffer. */
  settle(batch: number): Buffer | undefined {
    return this.#acknowledgements.settle(batch);
  }
}

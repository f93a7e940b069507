import { limits } from '../../base/limits.ts';
import type { TelemetrySender } from '../../core/devices/telemetry-sender.ts';
import type { Telemetry } from '../../core/events/types.ts';
import type { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { FastPublish } from './fast-publish.ts';
import { type Gated, holds } from './gate.ts';

/** The telemetry of one connection on its way to the disk. Made with the first message: an idle connection has none. */
export class Uplink {
  readonly #telemetry: TelemetrySender;
  readonly #gate: Gated;
  readonly #fast = new FastPublish();
  readonly #acknowledgements = new Acknowledgements();

  /** @param gate closed while too many messages wait for the disk */
  constructor(telemetry: TelemetrySender, gate: Gated) {
    this.#telemetry = telemetry;
    this.#gate = gate;
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
    const batch = this.#telemetry.enqueue(telemetry);
    if (packetId !== 0) this.#await(packetId, batch);
  }

  /**
   * The same for a packet that is like the one before, undecoded. False = it is not, and nothing was done.
   * @throws HubError as `Events.enqueue`
   */
  enqueueFast({ bytes, start, body, end }: PacketReader): boolean {
    const fast = this.#fast;
    if (!fast.matches(bytes, start, body, end)) return false;
    const batch = this.#telemetry.enqueuePrepared(fast.prepared, bytes, fast.payloadAt, end);
    if (fast.packetId !== 0) this.#await(fast.packetId, batch);
    return true;
  }

  /** Remembers the PUBLISH in the reader, which was decoded as `telemetry`: the next one may be like it. */
  learn({ bytes, body }: PacketReader, telemetry: Telemetry): void {
    const topicAt = body + 2;
    if (this.#fast.isRepeated(bytes, topicAt, topicAt + bytes.readUInt16BE(body))) {
      this.#fast.prepare(this.#telemetry.prepare(telemetry));
    }
  }

  /** Lets a message that waits for nothing itself keep its place. False = nothing is before it. */
  awaitTurn(packetId: number): boolean {
    if (!this.#acknowledgements.addInOrder(packetId)) return false;
    this.#boundInflight();
    return true;
  }

  /** The PUBACKs that are due when `batch` is durable, in one buffer. */
  settle(batch: number): Buffer | undefined {
    return this.#acknowledgements.settle(batch);
  }

  /** Messages have become durable: the connection is read again when half of its share is free. */
  relieve(): void {
    if (this.#acknowledgements.count <= limits.mqttInflightMax / 2) this.#gate.release(holds.inflight);
  }

  /** The connection ends: nothing more is taken from it, but for what it leaves behind. */
  close(): void {
    this.#telemetry.close();
  }

  #await(packetId: number, batch: number): void {
    this.#acknowledgements.add(packetId, batch);
    this.#boundInflight();
  }

  #boundInflight(): void {
    if (this.#acknowledgements.count >= limits.mqttInflightMax) this.#gate.hold(holds.inflight);
  }
}

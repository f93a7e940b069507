import { beginFrame, flowFrame } from '../../../wire/amqp/performatives.ts';

/** Transfers that the peer may send before the hub says that it has read them; they are read at once. */
const INCOMING_WINDOW = 2048;
const OUTGOING_WINDOW = 0x7fffffff;

/** Where a link stands, as a flow tells it. */
export interface LinkFlow {
  readonly handle: number;
  readonly deliveryCount: number;
  readonly credit: number;
  readonly drain: boolean;
}

/**
 * The flow control of one session (part 2 section 2.5.6): how many transfer frames either side may still send, and the
 * numbers of transfers and deliveries, which begin again at 0 behind 2^32 - 1.
 */
export class Windows {
  #nextIncomingId: number;
  #incoming = INCOMING_WINDOW;
  #nextOutgoingId = 0;
  #outgoing: number;
  #nextDeliveryId = 0;

  /** @param peer what the peer's begin says */
  constructor(peer: { readonly nextOutgoingId: number; readonly incomingWindow: number }) {
    this.#nextIncomingId = peer.nextOutgoingId;
    this.#outgoing = peer.incomingWindow;
  }

  /** Transfer frames that the peer takes now. */
  get transfersMax(): number {
    return this.#outgoing;
  }

  /** @returns the first of `count` ids; the others follow it, and 0 follows 2^32 - 1 */
  nextDeliveryIds(count: number): number {
    const id = this.#nextDeliveryId;
    this.#nextDeliveryId = (id + count) >>> 0;
    return id;
  }

  /** The hub has sent `count` transfer frames. */
  sent(count: number): void {
    this.#nextOutgoingId = (this.#nextOutgoingId + count) >>> 0;
    this.#outgoing -= count;
  }

  /** The peer has sent a transfer frame. */
  received(): void {
    this.#nextIncomingId = (this.#nextIncomingId + 1) >>> 0;
    this.#incoming--;
  }

  /** Gives the peer its whole window again, if half of it is used: then a flow must tell it so. */
  reopen(): boolean {
    if (this.#incoming >= INCOMING_WINDOW / 2) return false;
    this.#incoming = INCOMING_WINDOW;
    return true;
  }

  /**
   * The peer's window as its flow tells it.
   * @param seen the number of the transfer that it expects next: those that are on their way fill its window too
   */
  peerFlow(seen: number, window: number): void {
    this.#outgoing = Math.max(0, window - ((this.#nextOutgoingId - seen) >>> 0));
  }

  /** @param handleMax the highest handle that the peer may use */
  beginFrame(channel: number, handleMax: number): Buffer {
    return beginFrame(channel, {
      remoteChannel: channel,
      nextOutgoingId: this.#nextOutgoingId,
      incomingWindow: this.#incoming,
      outgoingWindow: OUTGOING_WINDOW,
      handleMax,
    });
  }

  flowFrame(channel: number, link: LinkFlow | undefined): Buffer {
    return flowFrame(channel, {
      nextIncomingId: this.#nextIncomingId,
      incomingWindow: this.#incoming,
      nextOutgoingId: this.#nextOutgoingId,
      outgoingWindow: OUTGOING_WINDOW,
      link,
    });
  }
}

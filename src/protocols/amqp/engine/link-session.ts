/** What a link needs of its session, and what a session and its connection need of a link on which the hub sends. */
import type { AmqpError, Outcome, PeerOutcome } from '../../../wire/amqp/performatives.ts';
import type { Attach } from './attach.ts';
import type { LinkFlow } from './windows.ts';

/** A link on which the hub sends, as what wakes it and sends for it sees it. */
export interface SendingLink {
  /** What it shares a window with. */
  readonly session: object;
  readonly attach: Pick<Attach, 'handle' | 'wantsSettled'>;
  readonly isOpen: boolean;
  credit: number;
  deliveryCount: number;
  /** Credit, window or room in the socket may have come. */
  onSendable(): void;
}

/** A delivery that the peer has not settled yet. */
export interface OutgoingDelivery {
  readonly link: SendingLink;
  /**
   * The peer has decided. The answer is what the peer is told when it awaits the hub's outcome (`rcv-settle-mode`
   * second). Never rejects.
   */
  settle(outcome: PeerOutcome): Promise<Outcome>;
}

export interface LinkSession {
  readonly channel: number;
  /** Transfer frames that the peer takes now. */
  readonly transfersMax: number;
  readonly peerFrameBytesMax: number;
  write(bytes: Buffer): void;
  writeFlow(link?: LinkFlow): void;
  /** Counts bytes of a message that is not complete, unless the connection has as many as it may. */
  reserve(bytes: number): boolean;
  unreserve(bytes: number): void;
  /** What came on a link has cost more than a small frame does, by so many of them. */
  worked(units: number): void;
  /** `link` has something to send: its `onSendable` is called when the window or the socket may have room. */
  awaitRoom(link: SendingLink): void;
  /** Counts a delivery of `link` that begins now; its frames follow by `countTransfers`. */
  beginDelivery(link: SendingLink): number;
  /** Counts `count` deliveries that begin now. @returns the id of the first; the others follow it */
  beginDeliveries(link: SendingLink, count: number): number;
  countTransfers(count: number): void;
  /**
   * Sends one whole message, settled. Asks for credit and for a window of as many frames as it needs.
   * @returns false if there is not enough of either; nothing was sent then.
   */
  sendMessage(link: SendingLink, message: Buffer): boolean;
  /**
   * Sends one whole message under a tag of its own (at most 32 bytes), to be settled by the peer; a peer that wants settled
   * deliveries has accepted it by that. Asks for credit and window as `sendMessage` does.
   * @returns its delivery id, or undefined if nothing was sent.
   */
  sendTagged(delivery: OutgoingDelivery, message: Buffer, tag: Uint8Array): number | undefined;
  /** Whether these are all links of the session. */
  isAllOf(links: ReadonlySet<object>): boolean;
  /** Ends the session, and its links with it. */
  end(error: AmqpError): void;
  /** Stops waiting for the peer's disposition of a delivery. */
  forget(deliveryId: number): void;
}

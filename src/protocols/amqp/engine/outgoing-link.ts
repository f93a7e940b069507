import { nil, raw } from '../../../wire/amqp/fields.ts';
import { attachFrame, emptySource, emptyTarget } from '../../../wire/amqp/performatives.ts';
import { Link } from './link.ts';

/** A link on which the hub sends. */
export class OutgoingLink extends Link {
  /** Deliveries that the peer will take. */
  credit = 0;
  deliveryCount = 0;
  /** The peer wants what is there now, and then its credit back. */
  isDraining = false;
  #sendsSettled = false;
  #offered: readonly string[] | undefined;
  /** Credit, window or room in the socket may have come. */
  onSendable: () => void = () => {};

  open(options: { readonly sendsSettled: boolean; readonly offeredCapabilities?: readonly string[] }): void {
    if (this.state !== 'opening') return;
    this.#sendsSettled = options.sendsSettled;
    this.#offered = options.offeredCapabilities;
    this.writeAttach(true);
    this.state = 'open';
    this.onSendable();
  }

  /** The peer's flow: its view of the delivery count, and the credit from there. */
  peerFlow(deliveryCount: number, credit: number, drain: boolean): void {
    this.credit = Math.max(0, credit - ((this.deliveryCount - deliveryCount) >>> 0));
    this.isDraining = drain;
    if (this.isOpen) this.onSendable();
  }

  /** Nothing more to send for now: uses the credit up, if the peer asked for it. */
  drained(): void {
    if (!this.isDraining) return;
    this.deliveryCount = (this.deliveryCount + this.credit) >>> 0;
    this.credit = 0;
    this.session.writeFlow({
      handle: this.attach.handle,
      deliveryCount: this.deliveryCount,
      credit: 0,
      drain: true,
    });
    this.isDraining = false;
  }

  protected override writeAttach(hasTermini: boolean): void {
    const { name, handle, rawSource, rawTarget, sndSettleMode, rcvSettleMode } = this.attach;
    this.session.write(
      attachFrame(this.session.channel, {
        name,
        handle,
        role: false,
        // What is settled when it leaves leaves so for a peer that asked for the contrary, too: it has nothing to do then.
        sndSettleMode: this.#sendsSettled && sndSettleMode === 2 ? 1 : sndSettleMode,
        rcvSettleMode,
        source: hasTermini ? (rawSource === undefined ? emptySource : raw(rawSource)) : nil,
        target: hasTermini ? (rawTarget === undefined ? emptyTarget : raw(rawTarget)) : nil,
        offeredCapabilities: this.#offered,
      }),
    );
  }
}

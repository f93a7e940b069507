import { limits } from '../../../base/limits.ts';
import { nil, raw } from '../../../wire/amqp/fields.ts';
import {
  attachFrame,
  dispositionFrame,
  emptySource,
  emptyTarget,
  type Outcome,
} from '../../../wire/amqp/performatives.ts';
import type { AmqpValue } from '../../../wire/amqp/values.ts';
import { Link } from './link.ts';

/** What is needed to settle a delivery: a waiter keeps this, and not the message. */
export interface DeliveryMark {
  readonly id: number;
  /** True = the peer wants no answer. */
  readonly isSettled: boolean;
}

/** One message that the peer has sent. */
export interface Delivery extends DeliveryMark {
  /** The message's bytes. */
  readonly payload: Buffer;
  readonly messageFormat: number;
}

interface PartialDelivery {
  readonly id: number;
  readonly messageFormat: number;
  isSettled: boolean;
  /** Its parts one behind the other, in a buffer of its own: a part is a view of a chunk, and would keep all of it. */
  bytes: Buffer;
  size: number;
}

const nothing = Buffer.alloc(0);

/** A link on which the hub receives. Every message that it hands over must be settled: till then it counts as in flight. */
export class IncomingLink extends Link {
  #credit = 0;
  #creditMax = 0;
  #messageBytesMax = 0;
  #deliveryCount = 0;
  /** Messages that were handed over and not settled yet. */
  #inflight = 0;
  #isWithheld = false;
  #partial: PartialDelivery | undefined;
  onMessage: (delivery: Delivery) => void = () => {};

  /** Begins to receive: at most `creditMax` messages that are not settled yet, each up to `messageBytesMax`. */
  open(options: { readonly creditMax: number; readonly messageBytesMax: number }): void {
    if (this.state !== 'opening') return;
    this.#creditMax = options.creditMax;
    this.#messageBytesMax = options.messageBytesMax;
    this.writeAttach(true);
    this.state = 'open';
    this.whenClosed(() => this.#drop());
    this.#grant();
  }

  /** Says what became of a delivery; one that came settled needs no word. */
  settle(delivery: DeliveryMark, outcome: Outcome): void {
    this.settleAll([delivery], outcome);
  }

  /** The same for several, in the order in which they came: neighbours share a frame. */
  settleAll(deliveries: readonly DeliveryMark[], state: Outcome): void {
    this.#inflight -= deliveries.length;
    if (!this.isOpen) return;
    const { session } = this;
    for (let at = 0; at < deliveries.length; ) {
      const first = deliveries[at++];
      if (first.isSettled) continue;
      let last = first.id;
      // Ids are of the session: only what follows without a gap is all of this link.
      while (at < deliveries.length && !deliveries[at].isSettled && deliveries[at].id === (last + 1) >>> 0) {
        last = deliveries[at++].id;
      }
      session.write(dispositionFrame(session.channel, { role: true, first: first.id, last, state }));
    }
    this.#grantIfLow();
  }

  /** Gives no new credit until the returned function is called. What was given may still be used. */
  withhold(): () => void {
    this.#isWithheld = true;
    return () => {
      this.#isWithheld = false;
      this.#grantIfLow();
    };
  }

  /** Fields of one transfer frame and its part of the message. */
  peerTransfer(fields: readonly AmqpValue[], payload: Buffer): void {
    // One that still opens has given no credit: what comes on it is refused like any other message ahead of its credit.
    if (this.state !== 'open' && this.state !== 'opening') return;
    const partial = this.#partial ?? this.#begin(fields);
    if (partial === undefined) return;
    this.#partial = partial;
    if (fields[9] === true) {
      this.#drop(); // aborted: the peer takes it back (part 2 section 2.6.14)
      this.#inflight--;
      this.#grantIfLow();
      return;
    }
    if (partial.size + payload.length > this.#messageBytesMax) {
      this.detach({
        condition: 'amqp:link:message-size-exceeded',
        description: `A message on this link may have ${this.#messageBytesMax} bytes.`,
      });
      return;
    }
    partial.isSettled ||= fields[4] === true;
    const isLast = fields[5] !== true;
    if (isLast && partial.size === 0) this.#complete(partial, payload);
    else if (!this.#append(partial, payload)) {
      this.detach({
        condition: 'amqp:resource-limit-exceeded',
        description: `Messages that have begun on a connection may have ${limits.amqpPartialBytesMax} bytes together.`,
      });
    } else if (isLast) this.#complete(partial, partial.bytes.subarray(0, partial.size));
  }

  #complete({ id, messageFormat, isSettled }: PartialDelivery, payload: Buffer): void {
    this.#drop();
    this.onMessage({ id, messageFormat, isSettled, payload });
  }

  /** False = the connection has begun more than it may; nothing was kept then. */
  #append(partial: PartialDelivery, payload: Buffer): boolean {
    const size = partial.size + payload.length;
    if (size > partial.bytes.length) {
      const capacity = Math.max(size, Math.min(2 * partial.bytes.length, this.#messageBytesMax));
      if (!this.session.reserve(capacity - partial.bytes.length)) return false;
      const grown = Buffer.allocUnsafeSlow(capacity);
      partial.bytes.copy(grown, 0, 0, partial.size);
      partial.bytes = grown;
    }
    payload.copy(partial.bytes, partial.size);
    partial.size = size;
    return true;
  }

  #drop(): void {
    if (this.#partial !== undefined) this.session.unreserve(this.#partial.bytes.length);
    this.#partial = undefined;
  }

  #begin(fields: readonly AmqpValue[]): PartialDelivery | undefined {
    if (this.#credit === 0) {
      this.detach({ condition: 'amqp:link:transfer-limit-exceeded', description: 'The link has no credit.' });
      return undefined;
    }
    this.#credit--;
    this.#inflight++;
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0;
    const messageFormat = Number(fields[3] ?? 0);
    return { id: Number(fields[1] ?? 0), messageFormat, isSettled: false, bytes: nothing, size: 0 };
  }

  /** Not for every message: a flow frame for half of what the peer may send. */
  #grantIfLow(): void {
    if (this.isOpen && !this.#isWithheld && this.#creditMax - this.#inflight - this.#credit >= this.#creditMax / 2)
      this.#grant();
  }

  #grant(): void {
    this.#credit = this.#creditMax - this.#inflight;
    this.session.writeFlow({
      handle: this.attach.handle,
      deliveryCount: this.#deliveryCount,
      credit: this.#credit,
      drain: false,
    });
  }

  protected override writeAttach(hasTermini: boolean): void {
    const { name, handle, rawSource, rawTarget, sndSettleMode, rcvSettleMode } = this.attach;
    this.session.write(
      attachFrame(this.session.channel, {
        name,
        handle,
        role: true,
        sndSettleMode,
        rcvSettleMode,
        source: hasTermini ? (rawSource === undefined ? emptySource : raw(rawSource)) : nil,
        target: hasTermini ? (rawTarget === undefined ? emptyTarget : raw(rawTarget)) : nil,
        messageBytesMax: this.#messageBytesMax || limits.amqpMessageBytesMax,
      }),
    );
  }
}

import { limits } from '../../base/limits.ts';
import {
  type AmqpError,
  attachFrame,
  detachFrame,
  dispositionFrame,
  emptySource,
  emptyTarget,
  nil,
  type Outcome,
  raw,
} from '../../wire/amqp/performatives.ts';
import { type AmqpValue, Described } from '../../wire/amqp/values.ts';
import type { Session } from './session.ts';

/** What a peer asks for when it attaches a link, taken apart. */
export interface Attach {
  readonly name: string;
  readonly handle: number;
  /** True = the peer receives, so the hub sends. */
  readonly peerReceives: boolean;
  readonly sourceAddress: string | undefined;
  readonly targetAddress: string | undefined;
  readonly filter: ReadonlyMap<AmqpValue, AmqpValue>;
  readonly desiredCapabilities: readonly AmqpValue[];
  readonly properties: ReadonlyMap<AmqpValue, AmqpValue>;
  /** Both ends' bytes as they came, for the echo; undefined = absent. */
  readonly rawSource: Buffer | undefined;
  readonly rawTarget: Buffer | undefined;
}

const emptyMap: ReadonlyMap<AmqpValue, AmqpValue> = new Map();

/** Fields of an attach performative; those of the wrong type count as absent. */
export function readAttach(fields: readonly AmqpValue[], rawFields: readonly Buffer[]): Attach {
  const source = terminus(fields[5]);
  const target = terminus(fields[6]);
  return {
    name: textOf(fields[0]) ?? '',
    handle: Number(fields[1]),
    peerReceives: fields[2] === true,
    sourceAddress: textOf(source?.[0]),
    targetAddress: textOf(target?.[0]),
    filter: mapOf(source?.[7]),
    desiredCapabilities: Array.isArray(fields[12]) ? fields[12] : fields[12] === undefined ? [] : [fields[12]],
    properties: mapOf(fields[13]),
    rawSource: source === undefined ? undefined : rawFields[5],
    rawTarget: target === undefined ? undefined : rawFields[6],
  };
}

function terminus(value: AmqpValue | undefined): readonly AmqpValue[] | undefined {
  return value instanceof Described && Array.isArray(value.value) ? value.value : undefined;
}

function textOf(value: AmqpValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function mapOf(value: AmqpValue | undefined): ReadonlyMap<AmqpValue, AmqpValue> {
  return value instanceof Map ? value : emptyMap;
}

/**
 * One end of a link. `opening` until the hub has decided; `detaching` when the hub has ended it and the peer has not said
 * so yet: what still comes on it is read over.
 */
abstract class Link {
  readonly session: Session;
  readonly attach: Attach;
  state: 'opening' | 'open' | 'detaching' | 'closed' = 'opening';
  /** The link is over, whoever ended it. Called once. */
  onClosed: () => void = () => {};

  constructor(session: Session, attach: Attach) {
    this.session = session;
    this.attach = attach;
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  /**
   * Ends the link. One that was still opening is attached first, with the peer's termini (service reference 5.8: Python's
   * azure-eventhub takes an attach without them for a broken link), or without them where a redirect wants it so.
   */
  detach(error: AmqpError | undefined, options: { readonly withoutTermini?: boolean } = {}): void {
    if (this.state === 'opening') this.writeAttach(options.withoutTermini !== true);
    else if (this.state !== 'open') return;
    this.#closeAs('detaching');
    this.session.write(detachFrame(this.session.channel, this.attach.handle, true, error));
  }

  /** The peer has ended the link, or answered that the hub did. */
  peerDetached(closed: boolean): void {
    if (this.state === 'opening') this.writeAttach(true);
    const mustAnswer = this.state !== 'detaching';
    this.#closeAs('closed');
    if (mustAnswer) this.session.write(detachFrame(this.session.channel, this.attach.handle, closed));
  }

  /** Session or connection are gone: nothing can be said any more. */
  abandon(): void {
    this.#closeAs('closed');
  }

  protected abstract writeAttach(hasTermini: boolean): void;

  #closeAs(state: 'detaching' | 'closed'): void {
    const wasLive = this.state === 'opening' || this.state === 'open';
    this.state = state;
    if (wasLive) this.onClosed();
  }
}

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
    const { name, handle, rawSource, rawTarget } = this.attach;
    this.session.write(
      attachFrame(this.session.channel, {
        name,
        handle,
        role: false,
        sndSettleMode: this.#sendsSettled ? 1 : 2,
        rcvSettleMode: 0,
        source: hasTermini ? (rawSource === undefined ? emptySource : raw(rawSource)) : nil,
        target: hasTermini ? (rawTarget === undefined ? emptyTarget : raw(rawTarget)) : nil,
        offeredCapabilities: this.#offered,
      }),
    );
  }
}

/** One message that the peer has sent. */
export interface Delivery {
  readonly id: number;
  /** The message's bytes. */
  readonly payload: Buffer;
  readonly messageFormat: number;
  /** True = the peer wants no answer. */
  readonly isSettled: boolean;
}

interface PartialDelivery {
  readonly id: number;
  readonly messageFormat: number;
  isSettled: boolean;
  readonly parts: Buffer[];
  size: number;
}

/** A link on which the hub receives. */
export class IncomingLink extends Link {
  #credit = 0;
  #creditMax = 0;
  #messageBytesMax = 0;
  #deliveryCount = 0;
  #partial: PartialDelivery | undefined;
  onMessage: (delivery: Delivery) => void = () => {};

  /** Begins to receive: `creditMax` messages ahead of what has been settled or taken, each up to `messageBytesMax`. */
  open(options: { readonly creditMax: number; readonly messageBytesMax: number }): void {
    if (this.state !== 'opening') return;
    this.#creditMax = options.creditMax;
    this.#messageBytesMax = options.messageBytesMax;
    this.writeAttach(true);
    this.state = 'open';
    this.#grant();
  }

  /** Says what became of a delivery; one that came settled needs no word. */
  settle(delivery: Delivery, outcome: Outcome): void {
    if (this.isOpen && !delivery.isSettled) {
      this.session.write(dispositionFrame(this.session.channel, delivery.id, outcome));
    }
  }

  /** Fields of one transfer frame and its part of the message. */
  peerTransfer(fields: readonly AmqpValue[], payload: Buffer): void {
    if (!this.isOpen) return;
    const partial = this.#partial ?? this.#begin(fields);
    if (partial === undefined) return;
    this.#partial = partial;
    if (fields[9] === true) {
      this.#partial = undefined; // aborted: the peer takes it back (part 2 section 2.6.14)
      return;
    }
    partial.size += payload.length;
    if (partial.size > this.#messageBytesMax) {
      this.#partial = undefined;
      this.detach({
        condition: 'amqp:link:message-size-exceeded',
        description: `A message on this link may have ${this.#messageBytesMax} bytes.`,
      });
      return;
    }
    // An empty part costs no memory of the peer's: it is not kept.
    if (payload.length > 0) partial.parts.push(payload);
    partial.isSettled ||= fields[4] === true;
    if (fields[5] === true) return;
    this.#partial = undefined;
    const { id, messageFormat, isSettled, parts } = partial;
    const bytes = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    this.onMessage({ id, messageFormat, isSettled, payload: bytes });
    if (this.isOpen && this.#credit <= this.#creditMax / 2) this.#grant();
  }

  #begin(fields: readonly AmqpValue[]): PartialDelivery | undefined {
    if (this.#credit === 0) {
      this.detach({ condition: 'amqp:link:transfer-limit-exceeded', description: 'The link has no credit.' });
      return undefined;
    }
    this.#credit--;
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0;
    const messageFormat = Number(fields[3] ?? 0);
    return { id: Number(fields[1] ?? 0), messageFormat, isSettled: false, parts: [], size: 0 };
  }

  #grant(): void {
    this.#credit = this.#creditMax;
    this.session.writeFlow({
      handle: this.attach.handle,
      deliveryCount: this.#deliveryCount,
      credit: this.#credit,
      drain: false,
    });
  }

  protected override writeAttach(hasTermini: boolean): void {
    const { name, handle, rawSource, rawTarget } = this.attach;
    this.session.write(
      attachFrame(this.session.channel, {
        name,
        handle,
        role: true,
        sndSettleMode: 2,
        rcvSettleMode: 0,
        source: hasTermini ? (rawSource === undefined ? emptySource : raw(rawSource)) : nil,
        target: hasTermini ? (rawTarget === undefined ? emptyTarget : raw(rawTarget)) : nil,
        messageBytesMax: this.#messageBytesMax || limits.telemetryBytesMax,
      }),
    );
  }
}

export type AnyLink = OutgoingLink | IncomingLink;

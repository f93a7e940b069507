import { limits } from '../../../base/limits.ts';
import type { Frame } from '../../../wire/amqp/frames.ts';
import {
  type AmqpError,
  detachFrame,
  endFrame,
  performative,
  refusedAttachFrame,
  TRANSFER_FRAME_HEAD_BYTES_MAX,
  transferFrame,
} from '../../../wire/amqp/performatives.ts';
import { TRANSFER_HEAD_BYTES, writeTransferHead } from '../../../wire/amqp/transfer.ts';
import { AmqpDecodeError, type AmqpValue } from '../../../wire/amqp/values.ts';
import type { AnyLink } from './any-link.ts';
import { readAttach } from './attach.ts';
import { IncomingLink } from './incoming-link.ts';
import type { LinkSession, OutgoingDelivery, SendingLink } from './link-session.ts';
import { OutgoingLink } from './outgoing-link.ts';
import { Unsettled, type UnsettledPlaces } from './unsettled.ts';
import type { Wakes } from './wakes.ts';
import { type LinkFlow, Windows } from './windows.ts';

/** What a session needs of its connection; one for all sessions. */
export interface SessionHost {
  /** Links that wait for a window or for room in the socket. */
  readonly wakes: Wakes;
  readonly unsettled: UnsettledPlaces;
  /** So much was done for one frame: `1` stands for what a small frame costs. */
  worked(units: number): void;
  write(bytes: Buffer): void;
  /** Bytes of the largest frame that the peer takes. */
  peerFrameBytesMax(): number;
  /** The peer attaches a link: it is to be opened or refused, now or later. */
  linkAttached(link: AnyLink): void;
  /** Counts one more link, which keeps `bytes`, unless the connection has as many as it may. */
  takePlace(bytes: number): boolean;
  /** A link that was counted is gone. */
  leavePlace(bytes: number): void;
  /** Counts bytes of messages that are not complete, unless the connection has as many as it may. */
  reserve(bytes: number): boolean;
  /** Bytes that were counted are free. */
  unreserve(bytes: number): void;
  /** Counts one more handle that was refused and waits for the peer's detach. @throws AmqpDecodeError if they are too many */
  refuseHandle(): void;
  /** Handles that were refused are free. */
  freeHandles(count: number): void;
}

/** Characters of a refused link's name that are echoed; the handle says which link is meant. */
const REFUSED_NAME_CHARS_MAX = 256;

/**
 * One session (part 2 section 2.5): its links by handle, and what is sent and received on them. The hub uses the peer's
 * own numbers of channels and handles for its end.
 */
export class Session implements LinkSession {
  readonly channel: number;
  readonly #host: SessionHost;
  readonly #links = new Map<number, AnyLink>();
  /** Handles whose attach was refused before there was a link, until the peer detaches them. */
  #refused: Set<number> | undefined;
  readonly #unsettled: Unsettled;
  readonly #windows: Windows;
  /** The hub has ended the session and the peer has not said so yet. */
  #isEnding = false;

  /** @param fields of the peer's begin performative */
  constructor(channel: number, fields: readonly AmqpValue[], host: SessionHost) {
    this.channel = channel;
    this.#host = host;
    this.#unsettled = new Unsettled(channel, (frame) => this.write(frame), host.unsettled);
    this.#windows = new Windows({
      nextOutgoingId: uintOf(fields[1], 'next-outgoing-id'),
      incomingWindow: uintOf(fields[2], 'incoming-window'),
    });
    this.write(this.#windows.beginFrame(channel, limits.amqpLinksMax - 1));
  }

  get linkCount(): number {
    return this.#links.size;
  }

  get transfersMax(): number {
    return this.#windows.transfersMax;
  }

  get peerFrameBytesMax(): number {
    return this.#host.peerFrameBytesMax();
  }

  write(bytes: Buffer): void {
    this.#host.write(bytes);
  }

  reserve(bytes: number): boolean {
    return this.#host.reserve(bytes);
  }

  unreserve(bytes: number): void {
    this.#host.unreserve(bytes);
  }

  worked(units: number): void {
    this.#host.worked(units);
  }

  awaitRoom(link: SendingLink): void {
    this.#host.wakes.wait(link);
  }

  writeFlow(link?: LinkFlow): void {
    this.write(this.#windows.flowFrame(this.channel, link));
  }

  beginDelivery(link: SendingLink): number {
    return this.beginDeliveries(link, 1);
  }

  beginDeliveries(link: SendingLink, count: number): number {
    link.credit -= count;
    link.deliveryCount = (link.deliveryCount + count) >>> 0;
    return this.#windows.nextDeliveryIds(count);
  }

  countTransfers(count: number): void {
    this.#windows.sent(count);
  }

  sendMessage(link: SendingLink, message: Buffer): boolean {
    const payloadMax = this.peerFrameBytesMax - TRANSFER_HEAD_BYTES;
    const frames = Math.max(1, Math.ceil(message.length / payloadMax));
    if (link.credit === 0) return false;
    if (frames > this.transfersMax) {
      this.awaitRoom(link);
      return false;
    }
    const id = this.beginDelivery(link);
    const bytes = Buffer.allocUnsafe(frames * TRANSFER_HEAD_BYTES + message.length);
    let place = 0;
    for (let at = 0, frame = 1; frame <= frames; frame++) {
      const end = Math.min(at + payloadMax, message.length);
      place = writeTransferHead(bytes, place, this.channel, link.attach.handle, id, frame < frames, end - at);
      place += message.copy(bytes, place, at, end);
      at = end;
    }
    this.countTransfers(frames);
    this.write(bytes);
    return true;
  }

  sendTagged(delivery: OutgoingDelivery, message: Buffer, tag: Uint8Array): number | undefined {
    const { link } = delivery;
    const payloadMax = this.peerFrameBytesMax - TRANSFER_FRAME_HEAD_BYTES_MAX;
    const frames = Math.max(1, Math.ceil(message.length / payloadMax));
    if (link.credit === 0) return undefined;
    const settled = link.attach.wantsSettled;
    if (frames > this.transfersMax || (!settled && !this.#host.unsettled.take())) {
      this.awaitRoom(link);
      return undefined;
    }
    const deliveryId = this.beginDelivery(link);
    for (let frame = 0; frame < frames; frame++) {
      const part = message.subarray(frame * payloadMax, (frame + 1) * payloadMax);
      const transfer = { handle: link.attach.handle, deliveryId, tag, settled, more: frame < frames - 1 };
      this.write(transferFrame(this.channel, transfer, part));
    }
    this.countTransfers(frames);
    if (settled) delivery.settle('accepted');
    else this.#unsettled.add(deliveryId, delivery);
    return deliveryId;
  }

  forget(deliveryId: number): void {
    this.#unsettled.forget(deliveryId);
  }

  /** Takes a frame of this channel, other than begin and end. @throws AmqpDecodeError ends the connection. */
  peerFrame(code: number, frame: Frame): void {
    if (this.#isEnding) return;
    const { fields, payload } = frame;
    switch (code) {
      case performative.attach:
        this.#attach(frame);
        return;
      case performative.flow:
        this.#flow(fields);
        return;
      case performative.transfer:
        this.#transfer(fields, payload);
        return;
      case performative.disposition:
        this.#disposition(fields);
        return;
      case performative.detach:
        this.#detach(fields);
        return;
      default:
        throw new AmqpDecodeError(`performative 0x${code.toString(16)} is not known`, 'amqp:not-implemented');
    }
  }

  /** The address of the link that a frame speaks of, for people. */
  addressOf(code: number, { fields }: Frame): string | undefined {
    return this.#links.get(Number(fields[code === performative.flow ? 4 : 0] ?? Number.NaN))?.address;
  }

  /** Whether these are all links of the session. */
  isAllOf(links: ReadonlySet<object>): boolean {
    for (const link of this.#links.values()) if (!links.has(link)) return false;
    return true;
  }

  /** Ends the session with an error. */
  end(error: AmqpError): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.abandon(error);
    this.write(endFrame(this.channel, error));
  }

  /** The peer has ended the session. */
  peerEnded(): void {
    const mustAnswer = !this.#isEnding;
    this.abandon();
    if (mustAnswer) this.write(endFrame(this.channel));
  }

  /** Drops every link and tells the peer nothing. @param error why the hub ends the session */
  abandon(error?: AmqpError): void {
    const links = [...this.#links.values()];
    this.#links.clear();
    this.#unsettled.clear();
    if (this.#refused !== undefined) this.#host.freeHandles(this.#refused.size);
    this.#refused = undefined;
    for (const link of links) {
      this.#leave(link);
      link.abandon(error);
    }
  }

  #attach({ fields, raw, isCut, decodedBytes }: Frame): void {
    const handle = uintOf(fields[1], 'handle');
    if (handle >= limits.amqpLinksMax) {
      throw new AmqpDecodeError(`handles end at ${limits.amqpLinksMax - 1}`, 'amqp:framing-error');
    }
    if (this.#links.has(handle) || this.#refused?.has(handle) === true) {
      this.end({ condition: 'amqp:session:handle-in-use', description: `Handle ${handle} is in use.` });
      return;
    }
    // A link keeps what its attach says for as long as it lives, and there may be thousands of them.
    if (isCut) this.#refuse(fields, `An attach may have ${limits.amqpAttachBytesMax} bytes.`);
    else if (this.#host.takePlace(decodedBytes)) {
      const attach = readAttach(fields, raw);
      const link = attach.peerReceives ? new OutgoingLink(this, attach) : new IncomingLink(this, attach);
      link.keptBytes = decodedBytes;
      this.#links.set(handle, link);
      this.#host.linkAttached(link);
    } else this.#refuse(fields, `A connection may have ${limits.amqpLinksMax} links, and keep so many bytes of them.`);
  }

  /** Refuses an attach, of which nothing is kept but its handle: the peer may never answer the detach. */
  #refuse([name, handle, role]: readonly AmqpValue[], description: string): void {
    const isName = typeof name === 'string' && name.length <= REFUSED_NAME_CHARS_MAX;
    this.#host.refuseHandle();
    this.#refused ??= new Set();
    this.#refused.add(Number(handle));
    this.write(refusedAttachFrame(this.channel, isName ? name : '', Number(handle), role !== true));
    const error = { condition: 'amqp:resource-limit-exceeded', description };
    this.write(detachFrame(this.channel, Number(handle), true, error));
  }

  #leave(link: AnyLink): void {
    this.#host.leavePlace(link.keptBytes);
    if (link instanceof OutgoingLink) this.#host.wakes.forget(link);
  }

  #flow(fields: readonly AmqpValue[]): void {
    const window = uintOf(fields[1], 'incoming-window');
    this.#windows.peerFlow(uintOr(fields[0], 0), window);
    if (fields[4] !== null && fields[4] !== undefined) {
      // A flow may cross with a detach: one for a handle that is gone says nothing about the others.
      const link = this.#links.get(Number(fields[4]));
      if (link instanceof OutgoingLink) {
        link.peerFlow(uintOr(fields[5], 0), uintOr(fields[6], 0), fields[8] === true);
      }
    }
    if (fields[9] === true) this.writeFlow();
    // The window is shared: others may wait for it.
    if (this.transfersMax > 0) this.#host.wakes.widened(this);
  }

  #transfer(fields: readonly AmqpValue[], payload: Buffer): void {
    if (this.#refused?.has(Number(fields[0])) === true) return;
    const link = this.#link(fields[0]);
    if (link === undefined) return;
    this.#windows.received();
    if (!(link instanceof IncomingLink)) {
      throw new AmqpDecodeError('a transfer on a link on which the hub sends', 'amqp:not-allowed');
    }
    link.peerTransfer(fields, payload);
    if (!this.#isEnding && this.#windows.reopen()) this.writeFlow();
  }

  #disposition(fields: readonly AmqpValue[]): void {
    if (fields[0] !== true) return; // of its own deliveries, which are settled when the hub has answered them
    const first = uintOf(fields[1], 'first');
    this.#unsettled.disposition({ first, last: uintOr(fields[2], first) }, fields[3] === true, fields[4] ?? null);
  }

  #detach(fields: readonly AmqpValue[]): void {
    if (this.#refused?.delete(Number(fields[0])) === true) {
      this.#host.freeHandles(1);
      return;
    }
    const link = this.#link(fields[0]);
    if (link === undefined) return;
    this.#links.delete(link.attach.handle);
    this.#leave(link);
    this.#unsettled.forgetLink(link);
    link.peerDetached(fields[1] === true);
  }

  /** The link of a handle; one that does not exist ends the session (part 2 section 2.8.18). */
  #link(handle: AmqpValue | undefined): AnyLink | undefined {
    const link = this.#links.get(Number(handle));
    if (link === undefined) {
      this.end({
        condition: 'amqp:session:unattached-handle',
        description: `Handle ${String(handle)} is not attached.`,
      });
    }
    return link;
  }
}

function uintOr(value: AmqpValue | undefined, absent: number): number {
  return value === null || value === undefined ? absent : uintOf(value, 'a counter');
}

function uintOf(value: AmqpValue | undefined, name: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff) return value;
  throw new AmqpDecodeError(`${name} is missing or no unsigned number`, 'amqp:invalid-field');
}

import type { AmqpClient } from './amqp-client.ts';
import {
  type AttachOptions,
  detachFrame,
  dispositionFrame,
  flowFrame,
  type OutcomeName,
  type TransferOptions,
  transferFrames,
} from './amqp-frames.ts';

/** A message that the hub has sent. */
export interface Received {
  readonly id: number;
  readonly payload: Buffer;
}

/** The hub's word on a delivery; undefined = the connection or link was over before it came. */
export interface Verdict {
  readonly outcome: OutcomeName;
  /** Why it was rejected. */
  readonly condition: string | undefined;
}

export interface LinkEvents {
  /** The hub has opened the link and, as far as it has written, not ended it. */
  opened?(): void;
  /** It is over, whichever way; told once. */
  ended?(condition: string | undefined): void;
  /** More may be sent. */
  credit?(): void;
  message?(received: Received): void;
}

/** One link as the peer has it. */
export class AmqpLink {
  readonly handle: number;
  readonly options: AttachOptions;
  state: 'attaching' | 'open' | 'ended' = 'attaching';
  /** The truth of the hub's side: it has written its attach and no detach. */
  isHeldByHub = false;
  /** Deliveries that the hub takes. */
  credit = 0;
  deliveryCount = 0;
  readonly #client: AmqpClient;
  readonly #events: LinkEvents;
  #partial: Buffer[] = [];
  /** Deliveries that the hub may still make; a receiver keeps it filled. */
  #granted = 0;
  #grant = 0;

  constructor(client: AmqpClient, handle: number, options: AttachOptions, events: LinkEvents) {
    this.#client = client;
    this.handle = handle;
    this.options = options;
    this.#events = events;
  }

  get isHeld(): boolean {
    return this.isHeldByHub && this.#client.connection.isHeld;
  }

  /** Sends one message; the answer is the hub's word, or undefined for one that goes settled. Asks for credit. */
  send(payload: Buffer, options: TransferOptions, told: (verdict: Verdict | undefined) => void): void {
    this.credit--;
    this.deliveryCount++;
    const id = this.#client.nextDelivery(options.settled ? undefined : { link: this, told });
    this.#client.send(Buffer.concat(transferFrames(this.handle, id, payload, this.#client.frameBytesMax, options)));
  }

  /** Lets the hub send so many, and as many again when half of them have come. */
  receive(count: number): void {
    this.#grant = count;
    this.#granted = count;
    this.#flow();
  }

  /** Says what becomes of a delivery. @param told the hub's word, where the link waits for one */
  settle(id: number, outcome: OutcomeName, told: (verdict: Verdict | undefined) => void = () => {}): void {
    const isLast = this.options.settlesSecond !== true;
    if (!isLast) this.#client.awaitVerdict(id, { link: this, told });
    this.#client.send(dispositionFrame(id, id, isLast, outcome));
  }

  detach(): void {
    if (this.state === 'ended') return;
    this.#client.send(detachFrame(this.handle));
    this.end(undefined);
  }

  /** @internal from here on: what the client hears for it */
  attached(): void {
    if (this.state !== 'attaching') return;
    this.state = 'open';
    if (this.isHeld) this.#events.opened?.();
  }

  detached(condition: string | undefined): void {
    if (this.state === 'ended') return;
    this.#client.send(detachFrame(this.handle));
    this.end(condition);
  }

  end(condition: string | undefined): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.#events.ended?.(condition);
  }

  flow(deliveryCount: number, credit: number): void {
    this.credit = deliveryCount + credit - this.deliveryCount;
    if (this.state === 'open' && this.credit > 0) this.#events.credit?.();
  }

  transfer(id: number, part: Buffer, more: boolean): void {
    if (this.state === 'ended') return;
    this.#partial.push(part);
    if (more) return;
    const payload = this.#partial.length === 1 ? part : Buffer.concat(this.#partial);
    this.#partial = [];
    this.deliveryCount++;
    this.#granted--;
    this.#events.message?.({ id, payload });
    if (this.#granted > this.#grant / 2 || this.state !== 'open') return;
    this.#granted = this.#grant;
    this.#flow();
  }

  #flow(): void {
    this.#client.send(flowFrame(...this.#client.window(), this.handle, this.deliveryCount, this.#granted));
  }
}

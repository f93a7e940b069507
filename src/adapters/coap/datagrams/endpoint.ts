/** What is kept of one remote endpoint of datagrams: requests that were seen, and messages that await its acknowledgement. */
import { limits } from '../../../base/limits.ts';
import type { HostClock } from '../../../gateway/index.ts';
import { encodeDatagram } from '../../../wire/coap/datagram.ts';
import { type CoapMessage, types } from '../../../wire/coap/messages.ts';
import type { KnownOptions } from '../../../wire/coap/options.ts';
import { type Answer, type Caller, type Delivery, messageOf, type Repeated, type Shown } from '../exchange.ts';

/** Carries datagrams to one address, protected or not. */
export interface Carrier {
  /** Names the address, and the protection between: two carriers never have the same key. */
  readonly key: string;
  readonly peer: string;
  readonly via: 'udp' | 'dtls';
  /** What the protection below has proved. */
  readonly proof: Shown | undefined;
  send(bytes: Buffer): void;
}

/** A request that was seen: its answer as it was sent, or `undefined` while it is worked on. */
export interface Seen {
  readonly at: number;
  sent: Buffer | undefined;
}

export interface Waiting {
  cancel: () => void;
  settle(delivery: Delivery): void;
}

/** Time and chance of the retransmissions. */
export interface Pace {
  readonly clock: HostClock;
  /** From 0 to below 1. */
  chance(): number;
  /** Where message ids begin: not to be guessed by who does not see the traffic. */
  messageId(): number;
  /**
   * What awaits an acknowledgement, of all endpoints, by carrier and message id: an observer may be silent for so long that its
   * endpoint is forgotten, and still acknowledges.
   */
  readonly unacknowledged: Map<string, Waiting>;
}

export class Endpoint implements Caller {
  readonly carrier: Carrier;
  readonly #pace: Pace;
  readonly #seen = new Map<number, Seen>();
  readonly #waiting = new Map<number, Waiting>();
  #messageId: number;
  #isProved: boolean;
  /** The first device that has shown its credentials from here; '' = none has. */
  device = '';
  /** Milliseconds of the monotonic clock when the peer was heard last. */
  heardAt: number;
  /** Requests that are worked on. */
  working = 0;
  /** Options of its last request: most devices send the same ones again and again. */
  known: KnownOptions | undefined;
  repeated: Repeated | undefined;

  constructor(carrier: Carrier, pace: Pace) {
    this.carrier = carrier;
    this.#pace = pace;
    this.#messageId = pace.messageId();
    this.#isProved = carrier.proof !== undefined;
    this.device = carrier.proof?.device ?? '';
    this.heardAt = pace.clock.monotonic();
  }

  get key(): string {
    return this.carrier.key;
  }
  get peer(): string {
    return this.carrier.peer;
  }
  get via(): 'udp' | 'dtls' {
    return this.carrier.via;
  }
  get proof(): Shown | undefined {
    return this.carrier.proof;
  }
  get isAddressProved(): boolean {
    return this.#isProved;
  }
  readonly acknowledges = true;

  proved({ device }: Pick<Shown, 'device'>): void {
    this.#isProved = true;
    if (this.device === '') this.device = device;
  }

  /** True = nothing speaks for keeping it. */
  isIdle(now: number): boolean {
    return this.working === 0 && this.#waiting.size === 0 && now - this.heardAt > limits.coapExchangeMs;
  }

  /** The request of this id, where it is a duplicate (RFC 7252 section 4.5). */
  seen(messageId: number, now: number): Seen | undefined {
    const seen = this.#seen.get(messageId);
    return seen !== undefined && now - seen.at < limits.coapExchangeMs ? seen : undefined;
  }

  /** Notes a request as seen; the oldest ones are forgotten for it. */
  see(messageId: number, now: number): Seen {
    const seen: Seen = { at: now, sent: undefined };
    this.#seen.delete(messageId);
    this.#seen.set(messageId, seen);
    if (this.#seen.size > limits.coapSeenPerEndpointMax) {
      for (const oldest of this.#seen.keys()) {
        this.#seen.delete(oldest);
        break;
      }
    }
    return seen;
  }

  /** The request is to be answered anew when it comes again. */
  unsee(messageId: number): void {
    this.#seen.delete(messageId);
  }

  nextMessageId(): number {
    this.#messageId = (this.#messageId + 1) & 0xffff;
    return this.#messageId;
  }

  notify(token: Buffer, given: Answer): Promise<Delivery> {
    return this.confirmed(messageOf(token, given));
  }

  /** Sends a confirmable message until the peer has acknowledged it, has refused it, or is lost (RFC 7252 section 4.2). */
  confirmed(message: CoapMessage): Promise<Delivery> {
    if (this.#waiting.size >= limits.coapUnacknowledgedPerEndpointMax) return Promise.resolve('lost');
    let messageId = this.nextMessageId();
    while (this.#pace.unacknowledged.has(waitingName(this.carrier, messageId))) messageId = this.nextMessageId();
    const name = waitingName(this.carrier, messageId);
    const bytes = encodeDatagram({ ...message, type: types.confirmable, messageId });
    const { promise, resolve } = Promise.withResolvers<Delivery>();
    const waiting: Waiting = {
      cancel: () => {},
      settle: (delivery) => {
        this.#waiting.delete(messageId);
        this.#pace.unacknowledged.delete(name);
        waiting.cancel();
        resolve(delivery);
      },
    };
    let timeoutMs = limits.coapAcknowledgeMs * (1 + this.#pace.chance() / 2);
    let sent = 0;
    const send = (): void => {
      if (sent > limits.coapRetransmissions) {
        waiting.settle('lost');
        return;
      }
      sent++;
      this.carrier.send(bytes);
      waiting.cancel = this.#pace.clock.after(timeoutMs, send);
      timeoutMs *= 2;
    };
    this.#waiting.set(messageId, waiting);
    this.#pace.unacknowledged.set(name, waiting);
    send();
    return promise;
  }

  /** The carrier has ended. */
  lost(): void {
    for (const waiting of [...this.#waiting.values()]) waiting.settle('lost');
  }
}

export const waitingName = (carrier: Carrier, messageId: number): string => `${carrier.key} ${messageId}`;

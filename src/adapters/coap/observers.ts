/** Observations (RFC 7641) of one device's resources. */
import { limits } from '../../base/limits.ts';
import { codes, options, uintOption } from '../../wire/coap/messages.ts';
import type { Answer, Caller, Delivery } from './exchange.ts';

export type Observed = 'commands' | 'methods' | 'desired';

/** One client that observes a resource, under the token of its request. */
export interface Observer {
  readonly resource: Observed;
  readonly caller: Caller;
  readonly token: Buffer;
  /** Names the body of a notification that is longer than a block. */
  readonly bodyKey: string;
  /** True = the acknowledgement of a command is its settlement. */
  readonly settlesByAcknowledgement: boolean;
  /** Largest block that its notifications may have. */
  readonly exponentMax: number;
}

/** Numbers of a observation go up and wrap at 24 bits (RFC 7641 section 4.4). */
const SEQUENCE_MAX = 0xffffff;

export class Observers {
  readonly #all = new Map<string, Observer>();
  /** What is being sent to each: one notification at a time, in order. */
  readonly #sending = new Map<string, { end: Promise<unknown>; count: number }>();
  /** Who will be told of the newest state: the notification waits behind another one. */
  readonly #toBeTold = new WeakSet<Observer>();
  #sequence = 0;

  get size(): number {
    return this.#all.size;
  }

  /** The newest one comes last. */
  of(resource: Observed): readonly Observer[] {
    return [...this.#all.values()].filter((observer) => observer.resource === resource);
  }

  has(observer: Observer): boolean {
    return this.#all.get(idOf(observer)) === observer;
  }

  /** @returns false = the device has as many as it may */
  add(observer: Observer): boolean {
    const id = idOf(observer);
    if (!this.#all.has(id) && this.#all.size >= limits.coapObserversPerDeviceMax) {
      // An endpoint that came back from another port has left its observations behind: the oldest of the kind makes room.
      const oldest = this.of(observer.resource)[0];
      if (oldest === undefined) return false;
      this.#all.delete(idOf(oldest));
    }
    this.#all.delete(id);
    this.#all.set(id, observer);
    return true;
  }

  /** @returns false = there was none */
  remove(caller: Caller, token: Buffer): boolean {
    return this.#all.delete(idOf({ caller, token }));
  }

  removeOf(callerKey: string): void {
    for (const [id, observer] of this.#all) if (observer.caller.key === callerKey) this.#all.delete(id);
  }

  /** The option that an answer to a registration, and each notification, carries. */
  sequenceOption(): ReturnType<typeof uintOption> {
    this.#sequence = (this.#sequence + 1) & SEQUENCE_MAX;
    return uintOption(options.observe, this.#sequence);
  }

  /**
   * Sends the newest state behind what is sent before it. Changes that come while it waits are told by it: a client that is slow is not
   * told of each (RFC 7641 section 1.3).
   */
  async notifyNewest(observer: Observer, render: () => Answer | Promise<Answer>): Promise<void> {
    if (this.#toBeTold.has(observer)) return;
    this.#toBeTold.add(observer);
    await this.notify(observer, () => {
      this.#toBeTold.delete(observer);
      return render();
    });
  }

  /** Sends a notification behind those before it. One that does not arrive ends the observation, as does one too many that waits. */
  async notify(observer: Observer, render: () => Answer | Promise<Answer>): Promise<Delivery> {
    const id = idOf(observer);
    const before = this.#sending.get(id) ?? { end: Promise.resolve(), count: 0 };
    if (before.count >= limits.coapNotificationsWaitingMax) {
      this.#all.delete(id);
      return 'lost';
    }
    const sending = before.end.then(async (): Promise<Delivery> => {
      if (!this.has(observer)) return 'lost';
      const answer = await render();
      if (!this.has(observer)) return 'lost';
      const withSequence = { ...answer, options: [this.sequenceOption(), ...(answer.options ?? [])] };
      const delivery = await observer.caller.notify(observer.token, withSequence);
      if ((delivery === 'lost' || delivery === 'refused') && this.has(observer)) this.#all.delete(id);
      return delivery;
    });
    before.count++;
    before.end = sending
      .catch(() => undefined)
      .then(() => {
        before.count--;
        if (before.count === 0) this.#sending.delete(id);
      });
    this.#sending.set(id, before);
    return sending;
  }

  /** Ends all of them with an answer that says why (RFC 7641 section 4.2). */
  end(code: number): void {
    const all = [...this.#all.values()];
    this.#all.clear();
    for (const { caller, token } of all) void caller.notify(token, { code });
  }
}

const idOf = ({ caller, token }: Pick<Observer, 'caller' | 'token'>): string =>
  `${caller.key} ${token.toString('hex')}`;

/** Codes that end an observation are errors; everything else goes on. */
export const goesOn = (answer: Answer): boolean => answer.code === codes.content || answer.code === codes.valid;

import { limits } from '../../../base/limits.ts';
import { asHubError, HubError } from '../../../core/errors.ts';
import type { Outcome, PeerOutcome } from '../../../wire/amqp/performatives.ts';
import { guidBytes } from '../../../wire/amqp/uuid.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import type { LinkHost } from '../link-host.ts';

/** What back ends are handed under locks: receipts of commands, notifications of files. */
export interface LockedSource {
  /** What it is called in the log. */
  readonly name: string;
  /** Whose share of the questions it uses (`shareName`). */
  holder(): string;
  /** The next message; undefined: nothing to hand out now. Asks for the right again: a token may have ended or been renewed. */
  take(): Promise<LockedMessage | undefined>;
  /** False: the lock is gone. */
  settle(lockToken: string, settlement: 'complete' | 'abandon'): Promise<boolean>;
  /** Calls `listener` when there may be something to take. The returned function ends it. */
  watch(listener: () => void): () => void;
}

export interface LockedMessage {
  readonly lockToken: string;
  /** UTC milliseconds. */
  readonly lockedUntil: number;
  /** The AMQP message. */
  readonly message: Buffer;
}

/** A message that the back end has not settled yet. */
interface Held {
  readonly lockToken: string;
  /** UTC milliseconds. */
  readonly lockedUntil: number;
}

/**
 * Hands messages to one back end, each under a lock (service reference 4.3). Several back ends compete: a message goes to
 * one of them. What is not settled when the link ends goes to another at once.
 */
export class LockedDelivery {
  readonly #link: OutgoingLink;
  readonly #host: LinkHost;
  readonly #source: LockedSource;
  readonly #unwatch: () => void;
  /** By delivery id. */
  readonly #held = new Map<number, Held>();
  #isRunning = false;
  #isClosed = false;
  /** Leaves the pulse; set while nothing is there to deliver, or all that may be held is. */
  #stopWaiting: (() => void) | undefined;

  constructor(link: OutgoingLink, host: LinkHost, source: LockedSource) {
    this.#link = link;
    this.#host = host;
    this.#source = source;
    this.#unwatch = source.watch(() => host.pulse.hurry());
    link.whenClosed(() => this.#close());
    link.onSendable = () => this.#run();
    link.open({ sendsSettled: link.attach.wantsSettled });
  }

  /** Delivers until there is nothing, or the back end takes no more. Never rejects. */
  async #run(): Promise<void> {
    if (this.#isRunning) return;
    if (!this.#mayDeliver()) {
      // Only time frees what the back end never settles.
      if (this.#isFull) this.#wait();
      return;
    }
    this.#isRunning = true;
    this.#stopWaiting?.();
    try {
      while (this.#mayDeliver()) {
        const next = await this.#take();
        if (next === 'later') break;
        if (next === undefined) {
          this.#link.drained();
          break;
        }
        if (!this.#send(next)) await this.#settle(next.lockToken, 'released');
      }
    } catch (error) {
      if (asHubError(error).code === 'IotHubUnauthorized') this.#link.detach(this.#host.error(error));
      else this.#host.log.error({ error }, `${this.#source.name} could not be taken`);
    } finally {
      this.#isRunning = false;
      this.#wait();
    }
  }

  /** Looks again at the next beat. */
  #wait(): void {
    if (this.#isClosed || this.#link.credit === 0) return;
    this.#stopWaiting?.();
    this.#stopWaiting = this.#host.pulse.join(() => this.#run());
  }

  /** As many as it may hold are handed over and not settled. */
  get #isFull(): boolean {
    return this.#held.size >= limits.amqpReceiptBatchesMax;
  }

  /** `later` = links of the same policy ask as much as they may. */
  async #take(): Promise<LockedMessage | 'later' | undefined> {
    const { takes } = this.#host;
    const holder = this.#source.holder();
    if (!takes.take(holder)) return 'later';
    try {
      return await this.#source.take();
    } finally {
      takes.give(holder);
    }
  }

  #mayDeliver(): boolean {
    if (this.#isClosed || !this.#link.isOpen || this.#link.credit === 0) return false;
    const now = this.#host.hub.clock.now();
    for (const [id, { lockedUntil }] of this.#held) if (lockedUntil <= now) this.#forget(id);
    if (this.#isFull) return false;
    if (this.#host.unsentBytes() < limits.readerBytesMax) return true;
    this.#link.session.awaitRoom(this.#link);
    return false;
  }

  #forget(deliveryId: number): void {
    this.#held.delete(deliveryId);
    this.#link.session.forget(deliveryId);
  }

  /** False = the link takes nothing at the moment. */
  #send({ lockToken, lockedUntil, message }: LockedMessage): boolean {
    if (this.#isClosed) return false;
    let id: number | undefined;
    const delivery = {
      link: this.#link,
      settle: (outcome: PeerOutcome): Promise<Outcome> => {
        if (id !== undefined) this.#held.delete(id);
        return this.#settle(lockToken, outcome).finally(() => this.#run());
      },
    };
    id = this.#link.session.sendTagged(delivery, message, guidBytes(lockToken));
    if (id === undefined) return false;
    if (!this.#link.attach.wantsSettled) this.#held.set(id, { lockToken, lockedUntil });
    return true;
  }

  /** `rejected` drops the message, as `accepted` does. Never rejects. */
  async #settle(lockToken: string, outcome: PeerOutcome): Promise<Outcome> {
    const settlement = outcome === 'accepted' || outcome === 'rejected' ? 'complete' : 'abandon';
    try {
      const settled = await this.#source.settle(lockToken, settlement);
      if (!settled) throw new HubError('DeviceMessageLockLost');
      return { kind: 'accepted' };
    } catch (error) {
      return { kind: 'rejected', error: this.#host.error(error) };
    }
  }

  #close(): void {
    this.#isClosed = true;
    this.#unwatch();
    this.#stopWaiting?.();
    for (const { lockToken } of this.#held.values()) this.#settle(lockToken, 'released');
    this.#held.clear();
  }
}

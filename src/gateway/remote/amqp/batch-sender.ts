import rhea, { type Connection, type Delivery, type EventContext, type Message, type Sender } from 'rhea';
import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { PARTLY_REFUSED, type RefusedMessage, readRefused } from '../../../wire/gateway/refused.ts';
import type { BatchLink } from '../forwarder.ts';
import { endingOf, failureOf, HubFailure } from './failure.ts';

const ADDRESS = 'gateway/messages/events';
// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of sections
const sections = (rhea as any).message as { data_section(bytes: Buffer): unknown };

export interface BatchSenderParts {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly ended: Promise<HubFailure>;
  readonly abandon: (failure: HubFailure) => void;
}

/** The link on which batches go to the hub. */
export class BatchSender implements BatchLink {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #abandon: (failure: HubFailure) => void;
  readonly #waiting = new Map<
    Delivery,
    { resolve(refused: readonly RefusedMessage[]): void; reject(failure: Error): void }
  >();
  #sender: Sender | undefined;
  #over: Error | undefined;
  /** Since when an answer is awaited: the last one, or the first batch after none was under way. By the monotonic clock. */
  #awaitedSince = 0;
  /** Bytes of the largest batch since none was under way. */
  #largest = 0;
  #cancelLook: Cancel | undefined;

  /** @param parts `abandon` ends the connection, whose batches are sent again on the next one */
  constructor({ connection, clock, ended, abandon }: BatchSenderParts) {
    this.#connection = connection;
    this.#clock = clock;
    this.#abandon = abandon;
    void ended.then((failure) => {
      this.#over = failure;
      this.#cancelLook?.();
      for (const { reject } of this.#waiting.values()) reject(failure);
      this.#waiting.clear();
    });
  }

  /** Resolves when the hub takes batches. The connection ends where it does not. */
  async open(): Promise<void> {
    const sender = this.#connection.open_sender({ target: { address: ADDRESS } });
    this.#sender = sender;
    const end = (): void => this.#abandon(failureOf(endingOf(sender.error), 'link for batches'));
    sender.on('sender_error', end);
    sender.on('sender_close', end);
    sender.on('accepted', ({ delivery }: EventContext) => this.#settle(delivery)?.resolve([]));
    sender.on('rejected', ({ delivery }: EventContext) => this.#rejected(delivery as Delivery));
    for (const kind of ['released', 'modified'] as const) {
      sender.on(kind, () => this.#abandon(new HubFailure('unreachable', 'The hub has given a batch back.')));
    }
    await new Promise<void>((resolve) => sender.once('sendable', () => resolve()));
  }

  send(batch: Buffer): Promise<readonly RefusedMessage[]> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      const message = { body: sections.data_section(batch) } as Message;
      const delivery = this.#sender?.send(message);
      if (delivery === undefined) {
        reject(new HubFailure('unreachable', 'The link for batches is not open.'));
        return;
      }
      if (this.#waiting.size === 0) {
        this.#awaitedSince = this.#clock.monotonic();
        this.#largest = 0;
      }
      this.#largest = Math.max(this.#largest, batch.length);
      this.#waiting.set(delivery, { resolve, reject });
      if (this.#cancelLook === undefined) this.#lookIn(limits.gatewayBatchAnswerMs);
    });
  }

  /** A hub that lives, and has lost a batch, would be waited for without end. */
  #lookIn(ms: number): void {
    this.#cancelLook = this.#clock.after(ms, () => {
      this.#cancelLook = undefined;
      if (this.#waiting.size === 0) return;
      const waits = this.#clock.monotonic() - this.#awaitedSince;
      const most = limits.gatewayBatchAnswerMs + (this.#largest / limits.gatewaySlowestBytesPerSecond) * 1000;
      if (waits < most) this.#lookIn(most - waits);
      else {
        const seconds = Math.round(waits / 1000);
        this.#abandon(new HubFailure('unreachable', `The hub has answered no batch for ${seconds} s.`));
      }
    });
  }

  #settle(delivery: Delivery | undefined) {
    if (delivery === undefined) return undefined;
    const waiting = this.#waiting.get(delivery);
    this.#waiting.delete(delivery);
    this.#awaitedSince = this.#clock.monotonic();
    return waiting;
  }

  #rejected(delivery: Delivery): void {
    const { error } = (delivery.remote_state ?? {}) as { error?: { condition?: string; info?: { refused?: Buffer } } };
    const refused = error?.info?.refused;
    if (error?.condition === PARTLY_REFUSED && Buffer.isBuffer(refused)) {
      this.#settle(delivery)?.resolve(readRefused(refused));
      return;
    }
    const { condition, description } = endingOf(error);
    // Nothing of it was stored, and nothing of it may be lost: it is sent again, to a hub that reads it.
    const isUnread = condition === 'com.microsoft:argument-error';
    this.#abandon(
      isUnread
        ? new HubFailure(
            'unsupported',
            `The hub reads no batches of this gateway (${description}): update the older one.`,
          )
        : failureOf({ condition, description }, 'link for batches'),
    );
  }
}

import rhea, { type Connection, type Delivery, type EventContext, type Message, type Sender } from 'rhea';
import { PARTLY_REFUSED, type RefusedMessage, readRefused } from '../../../wire/gateway/refused.ts';
import type { BatchLink } from '../forwarder.ts';
import { endingOf, failureOf, HubFailure } from './failure.ts';

const ADDRESS = 'gateway/messages/events';
// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of sections
const sections = (rhea as any).message as { data_section(bytes: Buffer): unknown };

/** The link on which batches go to the hub. */
export class BatchSender implements BatchLink {
  readonly #connection: Connection;
  readonly #abandon: (failure: HubFailure) => void;
  readonly #waiting = new Map<
    Delivery,
    { resolve(refused: readonly RefusedMessage[]): void; reject(failure: Error): void }
  >();
  #sender: Sender | undefined;
  #over: Error | undefined;

  /** @param abandon ends the connection, whose batches are sent again on the next one */
  constructor(connection: Connection, ended: Promise<HubFailure>, abandon: (failure: HubFailure) => void) {
    this.#connection = connection;
    this.#abandon = abandon;
    void ended.then((failure) => {
      this.#over = failure;
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
      if (delivery === undefined) reject(new HubFailure('unreachable', 'The link for batches is not open.'));
      else this.#waiting.set(delivery, { resolve, reject });
    });
  }

  #settle(delivery: Delivery | undefined) {
    if (delivery === undefined) return undefined;
    const waiting = this.#waiting.get(delivery);
    this.#waiting.delete(delivery);
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

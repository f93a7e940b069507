import { randomUUID } from 'node:crypto';
import type { Connection, EventContext, Message, Receiver, Sender } from 'rhea';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { endingOf, failureOf, HubFailure } from './failure.ts';

export interface NodeAnswer {
  /** As HTTP's. */
  readonly status: number;
  readonly description: string;
  readonly body: unknown;
}

export interface RequestNodeParts {
  readonly connection: Connection;
  readonly address: string;
  readonly clock: Clock;
  readonly ended: Promise<HubFailure>;
  /** Ends the connection: the hub has ended a link of the node, which is opened anew on the next one. */
  readonly abandon: (failure: HubFailure) => void;
}

/** A node of the hub that answers requests: `$cbs`, `$gateway`. Its links are opened with the first request. */
export class RequestNode {
  readonly #parts: RequestNodeParts;
  readonly #waiting = new Map<string, { resolve(answer: NodeAnswer): void; reject(failure: Error): void }>();
  readonly #replyTo = `mooring-gateway-${randomUUID()}`;
  #links: { readonly sender: Sender; readonly receiver: Receiver } | undefined;
  #opening: Promise<void> | undefined;
  #over: Error | undefined;

  constructor(parts: RequestNodeParts) {
    this.#parts = parts;
    void parts.ended.then((failure) => this.#fail(failure));
  }

  /** Resolves when the hub has let the links in. @throws HubFailure */
  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** @throws HubFailure when no answer comes */
  async request(properties: Readonly<Record<string, string>>, body: unknown): Promise<NodeAnswer> {
    await this.open();
    if (this.#over !== undefined) throw this.#over;
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      const cancel = this.#parts.clock.after(limits.gatewayAnswerMs, () => {
        this.#waiting.delete(id);
        reject(new HubFailure('unreachable', `The hub does not answer at ${this.#parts.address}.`));
      });
      const settled =
        <Value>(then: (value: Value) => void) =>
        (value: Value): void => {
          cancel();
          this.#waiting.delete(id);
          then(value);
        };
      this.#waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
      const message = { message_id: id, reply_to: this.#replyTo, application_properties: properties, body };
      this.#links?.sender.send(message as Message);
    });
  }

  async #open(): Promise<void> {
    const { connection, address } = this.#parts;
    const target = { address: this.#replyTo };
    const receiver = connection.open_receiver({ name: this.#replyTo, source: { address }, target, credit_window: 64 });
    const sender = connection.open_sender({ source: target, target: { address } });
    this.#links = { sender, receiver };
    const ended = ({ receiver: ofReceiver, sender: ofSender }: EventContext): void => {
      const failure = failureOf(endingOf((ofReceiver ?? ofSender)?.error), address);
      this.#fail(failure);
      this.#parts.abandon(failure);
    };
    for (const [link, kind] of [
      [receiver, 'receiver'],
      [sender, 'sender'],
    ] as const) {
      link.on(`${kind}_error`, ended);
      link.on(`${kind}_close`, ended);
    }
    receiver.on('message', ({ message }: EventContext) => this.#answered(message as Message));
    await new Promise<void>((resolve, reject) => {
      // Credit comes to a sender that was let in.
      sender.once('sendable', () => resolve());
      this.#waiting.set('open', { resolve: () => resolve(), reject });
    });
    this.#waiting.delete('open');
  }

  #answered({ correlation_id: id, application_properties: properties = {}, body }: Message): void {
    this.#waiting.get(String(id))?.resolve({
      status: Number(properties['status-code'] ?? 0),
      description: String(properties['status-description'] ?? ''),
      body,
    });
  }

  #fail(failure: Error): void {
    this.#over ??= failure;
    for (const { reject } of [...this.#waiting.values()]) reject(this.#over);
    this.#waiting.clear();
  }
}

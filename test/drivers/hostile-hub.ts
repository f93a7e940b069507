/** What a gateway's connection meets that is no good hub: an AMQP peer of the test that answers as it is told. */
import { once } from 'node:events';
import type net from 'node:net';
import rhea, {
  type Connection,
  type Delivery,
  type EventContext,
  type Message,
  type Receiver,
  type Sender,
} from 'rhea';
import { endTimers } from '../../src/gateway/remote/amqp/connection.ts';
import { bodyOf } from '../../src/gateway/remote/amqp/messages.ts';
import { readBatch } from '../../src/wire/gateway/batch.ts';

export interface Batch {
  readonly texts: readonly string[];
  readonly delivery: Delivery;
  readonly connection: Connection;
}

export class HostileHub {
  /** What becomes of a batch. */
  onBatch: (batch: Batch) => void = (batch) => this.take(batch);
  /** Status of what `$gateway` is asked about a device; undefined = no answer. */
  onQuestion: (device: string, operation: string) => number | undefined = () => 200;
  /** What becomes of a link of a device, once it is attached. */
  onDeviceLink: (device: string, link: Sender | Receiver) => void = () => {};
  /** Deliveries that the gateway may send on the link for batches, at once and behind each one. */
  credit = { first: 8, more: 1 };
  /** Texts of the messages that were accepted, in order. */
  readonly taken: string[] = [];
  /** Open links of `$gateway`. */
  gatewayLinks: (Sender | Receiver)[] = [];
  readonly attaches = new Map<string, number>();
  connections = 0;
  readonly #server: net.Server;
  readonly #open = new Set<Connection>();
  /** Those that have ended too: their timers may go on. */
  readonly #all = new Set<Connection>();

  private constructor() {
    const container = rhea.create_container({ id: 'hostile' });
    container.on('error', () => {});
    for (const name of ['connection_error', 'session_error', 'sender_error', 'receiver_error', 'protocol_error'])
      container.on(name, () => {});
    container.on('connection_open', ({ connection }: EventContext) => {
      this.connections++;
      this.#open.add(connection);
      this.#all.add(connection);
    });
    container.on('disconnected', ({ connection }: EventContext) => {
      this.#open.delete(connection);
    });
    container.on('receiver_open', (context: EventContext) => this.#receiver(context.receiver!));
    container.on('sender_open', (context: EventContext) => this.#sender(context.sender!));
    container.on('message', (context: EventContext) => this.#message(context));
    this.#server = container.listen({
      ...{ host: '127.0.0.1', port: 0 },
      receiver_options: { credit_window: 0, autoaccept: false },
    } as never);
  }

  static async open(): Promise<HostileHub> {
    const hub = new HostileHub();
    if (!hub.#server.listening) await once(hub.#server, 'listening');
    return hub;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Notes the messages, and says that they are stored. */
  take({ texts, delivery }: Batch): void {
    this.taken.push(...texts);
    delivery.accept();
  }

  cut(): void {
    for (const { socket } of this.#open) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
    for (const connection of this.#all) endTimers(connection);
  }

  #receiver(receiver: Receiver): void {
    const { address } = receiver.target;
    receiver.set_target({ address });
    if (address === 'gateway/messages/events') {
      if (this.credit.first > 0) receiver.add_credit(this.credit.first);
    } else receiver.add_credit(100);
    if (address === '$gateway') this.gatewayLinks.push(receiver);
    this.#deviceLink(address, receiver);
  }

  #sender(sender: Sender): void {
    const { address } = sender.source;
    sender.set_source({ address });
    if (address === '$gateway') this.gatewayLinks.push(sender);
    this.#deviceLink(address, sender);
  }

  #deviceLink(address: string, link: Sender | Receiver): void {
    const device = /^\/devices\/([^/]+)\//.exec(address)?.[1];
    if (device === undefined) return;
    this.attaches.set(device, (this.attaches.get(device) ?? 0) + 1);
    this.onDeviceLink(device, link);
  }

  #message({ receiver, message, delivery, connection }: EventContext): void {
    const { address } = receiver!.target;
    if (address === 'gateway/messages/events') {
      if (this.credit.more > 0) receiver!.add_credit(this.credit.more);
      const texts = readBatch(bodyOf(message as Message)).map(({ body }) => Buffer.from(body).toString());
      this.onBatch({ texts, delivery: delivery!, connection });
      return;
    }
    delivery!.accept();
    receiver!.add_credit(1);
    const { message_id: id, reply_to: replyTo, application_properties: properties = {} } = message as Message;
    const status = address === '$cbs' ? 200 : this.onQuestion(String(properties.device), String(properties.operation));
    if (status === undefined) return;
    const answers = { 'status-code': status, 'status-description': 'as told' };
    const answer = { correlation_id: id, application_properties: answers, body: '{}' } as Message;
    connection.each_sender?.((sender: Sender) => {
      if (sender.is_open() && sender.target?.address === replyTo) sender.send(answer);
    }, undefined as never);
  }
}

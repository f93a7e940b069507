import { randomUUID } from 'node:crypto';
import rhea, { type Delivery, type EventContext, type Message, type Receiver, type Sender } from 'rhea';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { Refused } from '../../refused.ts';
import type { Command, JsonObject, MethodAnswer, MethodCall, Settlement, Twin } from '../../types.ts';
import { type AmqpEnding, endingOf } from './failure.ts';
import { jsonOf, readCommand, textOf } from './messages.ts';
import type { SessionPlace, SessionPool } from './session-pool.ts';
import { TwinLink } from './twin-link.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of types
const { types, message: sections } = rhea as any;

/** What a device is to hear of. */
export interface DeviceWants {
  /** Commands at a time; 0 = none. */
  readonly commands: number;
  readonly methods: boolean;
  readonly desired: boolean;
}

/** What comes from the hub for one device. */
export interface DeviceEvents {
  /** @param name the same for each delivery of one command */
  command(command: Command, name: string): void;
  /** The hub's lock is over. */
  commandOver(id: string): void;
  method(id: string, call: MethodCall): void;
  methodOver(id: string): void;
  desired(patch: JsonObject, version: number): void;
  /** Its links are gone, by the hub's will. */
  ended(ending: AmqpEnding): void;
}

export interface DeviceLinksParts {
  readonly pool: SessionPool;
  readonly clock: Clock;
  /** `d1` or `d1/m1`. */
  readonly device: string;
  readonly wants: DeviceWants;
  readonly modelId?: string;
  readonly events: DeviceEvents;
}

/** The links of one device behind the gateway, on the gateway's connection: it has its identity's place while they are there. */
export class DeviceLinks {
  readonly #parts: DeviceLinksParts;
  readonly #place: SessionPlace;
  readonly #links: (Sender | Receiver)[] = [];
  readonly #commands = new Map<string, { readonly delivery: Delivery; readonly cancel: () => void }>();
  readonly #methods = new Map<string, () => void>();
  #commandLink: Receiver | undefined;
  #answerLink: Sender | undefined;
  #twin: TwinLink | undefined;
  #isOver = false;

  constructor(parts: DeviceLinksParts) {
    this.#parts = parts;
    this.#place = parts.pool.enter((ending) => this.#ended(ending));
    const { wants } = parts;
    if (wants.commands > 0) this.#openCommands(wants.commands);
    if (wants.methods) this.#openMethods();
    if (wants.desired) this.#openTwin();
    // A device that hears of nothing has its place by the link on which it could send.
    if (this.#links.length === 0) this.#keep(this.#place.session.open_sender(this.#to('messages/events')), 'sender');
  }

  /** Links of a device that wants all of it. */
  static readonly linksMax = 5;

  /** Resolves when the hub has let in the first link, and the device hears of what it wants. */
  async opened(): Promise<void> {
    const [first] = this.#links;
    const kind = first.is_receiver() ? 'receiver_open' : 'sender_open';
    if (!first.is_remote_open()) await new Promise<void>((resolve) => first.once(kind, () => resolve()));
    if (this.#parts.wants.desired) await this.#twin?.subscribe();
  }

  /** @throws Refused */
  twin(): Promise<Twin> {
    return this.#openTwin().read();
  }

  /** @throws Refused */
  report(patch: JsonObject): Promise<number> {
    return this.#openTwin().report(patch);
  }

  /** @returns whether the hub may hear of it */
  settle(id: string, settlement: Settlement): boolean {
    const open = this.#commands.get(id);
    if (open === undefined || this.#isOver) return false;
    this.#commands.delete(id);
    open.cancel();
    const { delivery } = open;
    if (settlement === 'complete') delivery.accept();
    else if (settlement === 'reject') delivery.reject();
    else delivery.release({ undeliverable_here: false, delivery_failed: true });
    this.#commandLink?.add_credit(1);
    return true;
  }

  answer(id: string, { status, payload }: MethodAnswer): void {
    const cancel = this.#methods.get(id);
    if (cancel === undefined || this.#isOver) return;
    this.#methods.delete(id);
    cancel();
    const body = sections.data_section(Buffer.from(payload === undefined ? '' : JSON.stringify(payload)));
    const properties = { 'IoThub-status': types.wrap_int(status) };
    this.#answerLink?.send({ correlation_id: id, application_properties: properties, body } as Message);
  }

  /** Gives the place back. What the device has not settled is delivered again. */
  close(): void {
    if (this.#isOver) return;
    this.#finish();
    for (const link of this.#links) if (link.is_open()) link.close();
  }

  /** The connection is gone. */
  abandon(): void {
    if (!this.#isOver) this.#finish();
  }

  #openCommands(atOnce: number): void {
    const options = { ...this.#from('messages/devicebound'), credit_window: 0, autoaccept: false };
    const link = this.#keep(this.#place.session.open_receiver(options), 'receiver');
    this.#commandLink = link;
    link.on('message', ({ message, delivery }: EventContext) => {
      const { command, name } = readCommand(message as Message);
      // The hub gives the command to the next delivery when its lock is over, and takes no outcome of this one any more.
      const cancel = this.#parts.clock.after(limits.commandLockMs, () => {
        if (!this.#commands.delete(command.id)) return;
        this.#parts.events.commandOver(command.id);
        link.add_credit(1);
      });
      this.#commands.set(command.id, { delivery: delivery as Delivery, cancel });
      this.#parts.events.command(command, name);
    });
    link.add_credit(atOnce);
  }

  #openMethods(): void {
    const properties = { ...this.#properties(), 'com.microsoft:channel-correlation-id': randomUUID() };
    const calls = { ...this.#from('methods/devicebound'), properties, credit_window: 32 };
    const link = this.#keep(this.#place.session.open_receiver(calls), 'receiver');
    this.#answerLink = this.#keep(
      this.#place.session.open_sender({ ...this.#to('methods/devicebound'), properties }),
      'sender',
    );
    link.on('message', ({ message }: EventContext) => {
      const id = textOf((message as Message).correlation_id) ?? '';
      const name = String((message as Message).application_properties?.['IoThub-methodname'] ?? '');
      // The hub does not say when a caller no longer waits, and lets none wait longer.
      const cancel = this.#parts.clock.after(limits.methodResponseMsMax, () => {
        if (this.#methods.delete(id)) this.#parts.events.methodOver(id);
      });
      this.#methods.set(id, cancel);
      try {
        this.#parts.events.method(id, { name, payload: jsonOf(message as Message) });
      } catch {
        this.answer(id, { status: 400, payload: { error: 'The payload is no JSON.' } });
      }
    });
  }

  #openTwin(): TwinLink {
    if (this.#isOver) throw new Refused('unreachable', 'The hub cannot be reached.');
    if (this.#twin !== undefined) return this.#twin;
    const { clock, events } = this.#parts;
    this.#twin = new TwinLink({
      session: this.#place.session,
      clock,
      address: this.#address('twin'),
      properties: this.#properties(),
      desired: (patch, version) => events.desired(patch, version),
    });
    this.#keep(this.#twin.receiver, 'receiver');
    this.#keep(this.#twin.sender, 'sender');
    return this.#twin;
  }

  #keep<Link extends Sender | Receiver>(link: Link, kind: 'sender' | 'receiver'): Link {
    this.#links.push(link);
    link.on(`${kind}_error`, () => {});
    link.on(`${kind}_close`, () => this.#ended(endingOf(link.error)));
    return link;
  }

  #ended(ending: AmqpEnding): void {
    if (this.#isOver) return;
    this.close();
    this.#parts.events.ended(ending);
  }

  #finish(): void {
    this.#isOver = true;
    this.#place.leave();
    // The device goes on with them: the hub delivers them again, and hears then what became of them.
    for (const { cancel } of this.#commands.values()) cancel();
    for (const [id, cancel] of this.#methods) {
      cancel();
      this.#parts.events.methodOver(id);
    }
    this.#commands.clear();
    this.#methods.clear();
    this.#twin?.over();
  }

  #address(endpoint: string): string {
    const [deviceId, moduleId] = this.#parts.device.split('/').map(encodeURIComponent);
    return `/devices/${deviceId}${moduleId === undefined ? '' : `/modules/${moduleId}`}/${endpoint}`;
  }

  #properties(): Record<string, string> {
    const { modelId } = this.#parts;
    return {
      'com.microsoft:api-version': '2021-04-12',
      ...(modelId !== undefined && { 'com.microsoft:model-id': modelId }),
    };
  }

  #from(endpoint: string) {
    return { source: { address: this.#address(endpoint) }, properties: this.#properties() };
  }

  #to(endpoint: string) {
    return { target: { address: this.#address(endpoint) }, properties: this.#properties() };
  }
}

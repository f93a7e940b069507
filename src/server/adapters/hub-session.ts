/** The hub's end of one session behind an adapter: a device connection like that of any door. */
import { limits } from '../../base/limits.ts';
import type { Settlement } from '../../core/commands/lifecycle.ts';
import type { Command } from '../../core/commands/types.ts';
import type { CommandDelivery } from '../../core/devices/command-delivery.ts';
import { DeviceConnection } from '../../core/devices/connection.ts';
import type { CommandWire, DeviceReceiver } from '../../core/devices/types.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { DevicePrincipal } from '../../core/identity/types.ts';
import { MethodReceiver, type MethodWire } from '../../core/methods/receiver.ts';
import type { MethodCall } from '../../core/methods/types.ts';
import type { Call, DisconnectReason, Note } from '../../core/presence/types.ts';
import type { DesiredText } from '../../core/twins/ports.ts';
import { DesiredPushes, type DesiredWire } from '../../core/twins/pushes.ts';
import { DESIRED, type DesiredTold } from '../../core/twins/types.ts';
import type { MethodAnswer } from '../../gateway/types.ts';
import type { MessageParts } from './frames.ts';
import { closeReasonOf } from './refusals.ts';
import { type MessagesOwner, SessionMessages } from './session-messages.ts';
import { type QuestionsOwner, SessionQuestions } from './session-questions.ts';
import type { CommandHead, ToHub } from './words.ts';

/** What a session needs of its adapter. */
export interface SessionOwner extends MessagesOwner, QuestionsOwner {
  readonly protocol: `adapter:${string}`;
  command(head: CommandHead, body: Uint8Array): void;
  ended(session: number): void;
}

export class HubSession implements DeviceReceiver, CommandWire, DesiredWire, MethodWire {
  readonly device: DeviceConnection;
  readonly #owner: SessionOwner;
  readonly #id: number;
  readonly #connect: Extract<ToHub, { kind: 'connect' }>;
  #isOver = false;
  readonly #messages: SessionMessages;
  readonly #questions: SessionQuestions;
  #commands: CommandDelivery | undefined;
  readonly #held = new Set<string>();
  #pushes: DesiredPushes | undefined;
  #isTelling = false;
  #methods: MethodReceiver | undefined;

  constructor(owner: SessionOwner, connect: Extract<ToHub, { kind: 'connect' }>, principal: DevicePrincipal) {
    this.#owner = owner;
    this.#id = connect.s;
    this.#connect = connect;
    const { peer = '', address, modelId } = connect;
    const origin = { protocol: owner.protocol, peer, ...(address !== undefined && { address }) };
    this.device = new DeviceConnection(owner.hub, principal, origin, this);
    this.#messages = new SessionMessages({
      ...{ owner, id: connect.s, device: this.device, modelId },
      failed: (error) => {
        owner.hub.log.warn(
          { identity: this.device.name, error: error.message },
          'messages of an adapter are not stored',
        );
        this.end('storage-failed');
      },
    });
    this.#questions = new SessionQuestions(owner, this.device);
  }

  /** Takes the identity's place. False = it has been ended meanwhile. @throws HubError */
  async open(): Promise<boolean> {
    await this.device.enter();
    if (this.device.ended !== undefined) return false;
    const { wants } = this.#connect;
    if (wants.desired) {
      this.#pushes = new DesiredPushes(this);
      await this.#pushes.begun;
    }
    if (this.device.ended !== undefined || this.#isOver) return false;
    if (wants.command) this.#commands = this.device.openCommands(this);
    return true;
  }

  /** The adapter knows that it is open. */
  begin(): void {
    this.#commands?.wake();
    this.#pushes?.proceed();
    const { modelId } = this.#connect;
    if (modelId === undefined) return;
    const { hub } = this.#owner;
    hub.twins.nameModel(this.device.principal, this.device.key, modelId).catch((error: unknown) => {
      hub.log.warn({ identity: this.device.name, error }, 'the model of a device is not kept');
    });
  }

  /** A message in `bytes`; it is read before this returns. @throws FrameFault */
  message(bytes: Buffer, parts: MessageParts): void {
    this.#messages.take(bytes, parts);
  }

  /** A word of the adapter about this session. */
  word(word: ToHub): void {
    this.device.touch();
    switch (word.kind) {
      case 'settle':
        if (this.#held.delete(word.id) && word.how !== 'release') this.#settle(word.id, word.how);
        return;
      case 'answer':
        this.#answer(word.id, word.answer);
        return;
      case 'taken':
        this.#isTelling = false;
        this.#pushes?.proceed();
        return;
      case 'report':
        this.#questions.report(word);
        return;
      case 'twin':
        this.#questions.twin(word);
        return;
      case 'fileRead':
      case 'fileBegin':
      case 'fileWrite':
      case 'fileEnd':
        this.#questions.file(word);
        return;
      case 'close':
        // Behind what was sent before it, and however many questions wait: the adapter forgets the session now.
        void this.#messages.settled().then(() => {
          this.end(word.reason === 'idle' ? 'keep-alive' : 'by-client');
          this.#owner.say({ kind: 'reply', r: word.r });
        });
        return;
      default:
    }
  }

  /** Ends it from this side; the adapter is told, unless it has ended it itself. */
  end(reason: DisconnectReason): void {
    if (this.#isOver) return;
    if (reason !== 'by-client') this.#owner.say({ kind: 'closed', s: this.#id, reason: closeReasonOf(reason) });
    this.#finish();
    this.device.release(reason);
  }

  /** Presence: the place is lost. */
  drop(reason: DisconnectReason): void {
    if (this.#isOver) return;
    this.#owner.say({ kind: 'closed', s: this.#id, reason: closeReasonOf(reason) });
    this.#finish();
  }

  commandsWait(): void {
    this.#commands?.wake();
  }

  notify({ kind, value }: Note): void {
    if (kind === DESIRED) this.#pushes?.note(value as DesiredTold);
  }

  async invoke(call: Call, signal: AbortSignal, begins: () => void): Promise<unknown> {
    if (!this.#connect.wants.method) throw new HubError('DeviceNotOnline');
    const { clock, random } = this.#owner.hub;
    this.#methods ??= new MethodReceiver(clock, random, this);
    let id: number | undefined;
    this.#written = (written) => {
      id = written;
    };
    const answer = this.#methods.invoke(call, signal, begins);
    const over = (): void => {
      if (id !== undefined) this.#owner.say({ kind: 'over', s: this.#id, id: String(id) });
    };
    signal.addEventListener('abort', over, { once: true });
    return answer;
  }
  /** Hears which id the method that is being handed over has. */
  #written: (id: number) => void = () => {};

  // What commands, desired properties and methods are handed over by.

  get twins(): Hub['twins'] {
    return this.#owner.hub.twins;
  }

  get principal(): DevicePrincipal {
    return this.device.principal;
  }

  space(): number {
    const { commandsAtOnce = 1 } = this.#connect;
    return Math.max(0, Math.min(limits.commandsInflightMax, commandsAtOnce) - this.#held.size);
  }

  hasSpace(): boolean {
    return !this.#isTelling && !this.#isOver;
  }

  listens(): boolean {
    return true;
  }

  write(command: Command, lockToken: string): boolean;
  write(patch: DesiredText): boolean;
  write(id: number, call: MethodCall): boolean;
  write(what: Command | DesiredText | number, more?: string | MethodCall): boolean {
    const s = this.#id;
    if (typeof what === 'number') {
      const { name, payload } = more as MethodCall;
      this.#written(what);
      const given = payload === undefined ? {} : { payload: JSON.parse(payload) };
      this.#owner.say({ kind: 'method', s, id: String(what), name, ...given });
    } else if ('message' in what) {
      const { message, deliveryCount, expiresAt: expires } = what;
      const { messageId, correlationId, contentType, contentEncoding, properties } = message;
      const id = more as string;
      this.#held.add(id);
      this.#owner.command(
        {
          ...{ s, id, deliveryCount, expires, properties: Object.fromEntries(properties) },
          ...{ ...(messageId && { messageId }), ...(correlationId && { correlationId }) },
          ...{ ...(contentType && { contentType }), ...(contentEncoding && { contentEncoding }) },
        },
        message.body,
      );
    } else {
      this.#isTelling = true;
      this.#owner.say({ kind: 'desired', s, version: what.version, patch: JSON.parse(what.text) });
    }
    return true;
  }

  forget(lockToken: string): void {
    if (this.#held.delete(lockToken)) this.#owner.say({ kind: 'over', s: this.#id, id: lockToken });
  }

  rests(): void {}

  refused(): boolean {
    return this.#isOver;
  }

  failed(error: unknown): void {
    this.#owner.hub.log.warn(
      { identity: this.device.name, error },
      'a device cannot be told of its desired properties',
    );
    this.end('storage-failed');
  }

  #answer(id: string, { status, payload }: MethodAnswer): void {
    const text = payload === undefined ? '' : JSON.stringify(payload);
    this.#methods?.answered(Number(id), Number(status), Buffer.from(text ?? ''));
  }

  #settle(id: string, how: Settlement): void {
    this.#commands?.settle(id, how).catch(() => {});
    this.#commands?.proceed();
  }

  #finish(): void {
    this.#isOver = true;
    this.#commands?.close();
    this.#pushes?.close();
    this.#questions.close();
    this.#messages.close();
    this.#owner.ended(this.#id);
  }
}

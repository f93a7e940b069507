/**
 * The hub's end of one session behind an adapter: a device connection like that of any door. It takes messages in their order and
 * answers in it, whatever became of them.
 */
import { limits } from '../../base/limits.ts';
import type { Settlement } from '../../core/commands/lifecycle.ts';
import type { Command } from '../../core/commands/types.ts';
import type { CommandDelivery } from '../../core/devices/command-delivery.ts';
import { DeviceConnection } from '../../core/devices/connection.ts';
import type { TelemetrySender } from '../../core/devices/telemetry-sender.ts';
import type { CommandWire, DeviceReceiver, Slowing, TelemetryDoor } from '../../core/devices/types.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import type { PreparedTelemetry } from '../../core/events/room.ts';
import type { Hub } from '../../core/hub.ts';
import type { DevicePrincipal } from '../../core/identity/types.ts';
import { MethodReceiver, type MethodWire } from '../../core/methods/receiver.ts';
import type { MethodCall } from '../../core/methods/types.ts';
import type { Call, DisconnectReason, Note } from '../../core/presence/types.ts';
import type { DesiredText } from '../../core/twins/ports.ts';
import { DesiredPushes, type DesiredWire } from '../../core/twins/pushes.ts';
import { readReportedPatch } from '../../core/twins/rules.ts';
import { DESIRED, type DesiredTold } from '../../core/twins/types.ts';
import { Refused } from '../../gateway/refused.ts';
import type { MethodAnswer } from '../../gateway/types.ts';
import { closeReasonOf, refusedCodeOf } from './refusals.ts';
import { SessionFiles, type SessionFilesParts } from './session-files.ts';
import { headOf, telemetryOf } from './telemetry.ts';
import type { CommandHead, FileWord, ToAdapter, ToHub } from './words.ts';

/** What a session needs of its adapter. */
export interface SessionOwner {
  readonly hub: Hub;
  readonly protocol: `adapter:${string}`;
  say(word: ToAdapter): void;
  command(head: CommandHead, body: Uint8Array): void;
  done(session: number, count: number): void;
  /** Messages and bytes that wait for the disk; below 0 = they wait no more. */
  waits(messages: number, bytes: number): void;
  /** Absent = the hub keeps no files. */
  readonly fileRooms: SessionFilesParts['rooms'] | undefined;
  /** False = as many parts of files are under way as may be; otherwise `filePartDone` is called once. */
  takesFilePart(): boolean;
  filePartDone(): void;
  ended(session: number): void;
}

/** A message that is not answered: its batch, or why it was refused. */
interface Unanswered {
  readonly batch: number;
  readonly bytes: number;
  readonly refusal?: HubError;
}

/** The head of messages that were sent before, and from the second one on what they have in common. */
interface PreparedHead {
  readonly head: Buffer;
  prepared: PreparedTelemetry | undefined;
}

export class HubSession implements DeviceReceiver, TelemetryDoor, CommandWire, DesiredWire, MethodWire {
  readonly device: DeviceConnection;
  readonly #owner: SessionOwner;
  readonly #id: number;
  readonly #connect: Extract<ToHub, { kind: 'connect' }>;
  #isOver = false;
  #telemetry: TelemetrySender | undefined;
  readonly #slowedBy = new Set<Slowing>();
  /** Messages since the adapter was told to slow the device. */
  #sinceSlowed = 0;
  #unanswered: Unanswered[] = [];
  #lastBatch = 0;
  #whenSettled: () => void = () => {};
  readonly #heads: PreparedHead[] = [];
  #commands: CommandDelivery | undefined;
  readonly #held = new Set<string>();
  #pushes: DesiredPushes | undefined;
  #isTelling = false;
  #methods: MethodReceiver | undefined;
  #questions = 0;
  #files: SessionFiles | undefined;

  constructor(owner: SessionOwner, connect: Extract<ToHub, { kind: 'connect' }>, principal: DevicePrincipal) {
    this.#owner = owner;
    this.#id = connect.s;
    this.#connect = connect;
    const { peer = '', address } = connect;
    const origin = { protocol: owner.protocol, peer, ...(address !== undefined && { address }) };
    this.device = new DeviceConnection(owner.hub, principal, origin, this);
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

  /** A message in `bytes`; it is read before this returns. */
  message(bytes: Buffer, headAt: number, bodyAt: number, end: number): void {
    this.device.touch();
    let batch: number;
    try {
      if (this.#slowedBy.size > 0 && ++this.#sinceSlowed > limits.adapterSlowedMessagesMax) {
        throw new HubError('ThrottlingException', 'The device was to be slowed.');
      }
      batch = this.#enqueue(bytes, headAt, bodyAt, end);
    } catch (error) {
      this.#refuse(asHubError(error));
      return;
    }
    this.#lastBatch = batch;
    this.#unanswered.push({ batch, bytes: end - headAt });
    this.#owner.waits(1, end - headAt);
  }

  batchDurable(batch: number): void {
    let done = 0;
    let messages = 0;
    const { length } = this.#unanswered;
    for (; done < length && this.#unanswered[done].batch <= batch; done++) {
      const { refusal, bytes: its } = this.#unanswered[done];
      if (refusal !== undefined) {
        if (messages > 0) this.#owner.done(this.#id, messages);
        messages = 0;
        this.#tellRefusal(refusal);
      } else {
        messages++;
        this.#owner.waits(-1, -its);
      }
    }
    if (messages > 0) this.#owner.done(this.#id, messages);
    this.#unanswered = done === length ? [] : this.#unanswered.slice(done);
    if (done === length) this.#whenSettled();
  }

  /** Nothing behind it is known to be stored either. */
  batchFailed(_batch: number, error: Error): void {
    this.#giveUp();
    this.#owner.hub.log.warn(
      { identity: this.device.name, error: error.message },
      'messages of an adapter are not stored',
    );
    this.end('storage-failed');
  }

  slow(by: Slowing): void {
    if (this.#slowedBy.size === 0) {
      this.#sinceSlowed = 0;
      this.#owner.say({ kind: 'writable', s: this.#id, isWritable: false });
    }
    this.#slowedBy.add(by);
  }

  goOn(by: Slowing): void {
    if (!this.#slowedBy.delete(by) || this.#slowedBy.size > 0 || this.#isOver) return;
    this.#owner.say({ kind: 'writable', s: this.#id, isWritable: true });
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
        this.#ask(word.r, async () => {
          const patch = readReportedPatch(Buffer.from(JSON.stringify(word.patch)));
          return this.twins.report(this.principal, this.device.key, patch);
        });
        return;
      case 'twin':
        this.#ask(word.r, async () => {
          const { desired, reported } = JSON.parse(await this.twins.readOwn(this.principal, this.device.key));
          const { $version: desiredVersion, ...wanted } = desired;
          const { $version: _, ...told } = reported;
          return { desired: wanted, desiredVersion, reported: told };
        });
        return;
      case 'fileRead':
      case 'fileBegin':
      case 'fileWrite':
      case 'fileEnd':
        this.#file(word);
        return;
      case 'close':
        // Behind what was sent before it, and however many questions wait: the adapter forgets the session now.
        void this.#settled().then(() => {
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

  #enqueue(bytes: Buffer, headAt: number, bodyAt: number, end: number): number {
    const { device } = this;
    this.#telemetry ??= device.openTelemetry(this, this.#connect.modelId);
    const known = this.#heads.find(({ head }) => head.compare(bytes, headAt, bodyAt) === 0);
    if (known?.prepared !== undefined) return this.#telemetry.enqueuePrepared(known.prepared, bytes, bodyAt, end);
    const head = headOf(bytes, headAt, bodyAt);
    const telemetry = telemetryOf(head, Buffer.from(bytes.subarray(bodyAt, end)));
    if (known !== undefined) known.prepared = this.#telemetry.prepare(telemetry);
    // What is the message's own is not met again.
    else if (head.m === undefined && head.t === undefined && head.c === undefined) {
      if (this.#heads.length >= limits.adapterHeadsKeptMax) this.#heads.shift();
      this.#heads.push({ head: Buffer.from(bytes.subarray(headAt, bodyAt)), prepared: undefined });
    }
    return this.#telemetry.enqueue(telemetry);
  }

  #refuse(refusal: HubError): void {
    if (this.#unanswered.length === 0) this.#tellRefusal(refusal);
    else this.#unanswered.push({ batch: this.#lastBatch, bytes: 0, refusal });
  }

  #tellRefusal(refusal: HubError): void {
    this.#owner.say({ kind: 'refusedMessage', s: this.#id, code: refusedCodeOf(refusal), text: refusal.message });
  }

  /** Nothing of it waits for the disk any more. */
  async #settled(): Promise<void> {
    if (this.#unanswered.length === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenSettled = resolve;
    });
  }

  #answer(id: string, { status, payload }: MethodAnswer): void {
    const text = payload === undefined ? '' : JSON.stringify(payload);
    this.#methods?.answered(Number(id), Number(status), Buffer.from(text ?? ''));
  }

  #settle(id: string, how: Settlement): void {
    this.#commands?.settle(id, how).catch(() => {});
    this.#commands?.proceed();
  }

  #ask(r: number, work: () => Promise<unknown>): void {
    if (this.#questions >= limits.adapterQuestionsMax) {
      this.#owner.say({ kind: 'reply', r, code: 'throttled', text: 'Too many questions of the device wait.' });
      return;
    }
    this.#questions++;
    work().then(
      (value) => {
        this.#questions--;
        this.#owner.say({ kind: 'reply', r, ...(value !== undefined && { value }) });
      },
      (error: unknown) => {
        this.#questions--;
        if (error instanceof Refused) {
          this.#owner.say({ kind: 'reply', r, code: error.code, text: error.message });
          return;
        }
        const refusal = asHubError(error);
        if (refusal.code === 'ServerError') {
          this.#owner.hub.log.error({ identity: this.device.name, error }, 'a question of an adapter failed');
        }
        this.#owner.say({ kind: 'reply', r, code: refusedCodeOf(refusal), text: refusal.message });
      },
    );
  }

  #file(word: FileWord): void {
    const { fileRooms, hub } = this.#owner;
    const { principal } = this;
    if (fileRooms === undefined) {
      this.#owner.say({ kind: 'reply', r: word.r, code: 'invalid', text: 'The hub keeps no files.' });
      return;
    }
    if (!this.#owner.takesFilePart()) {
      this.#owner.say({ kind: 'reply', r: word.r, code: 'throttled', text: 'Too many parts of files are under way.' });
      return;
    }
    this.#files ??= new SessionFiles({ hub, rooms: fileRooms, principal, key: this.device.key });
    const files = this.#files;
    this.#ask(word.r, () => fileWork(files, word).finally(() => this.#owner.filePartDone()));
  }

  #giveUp(): void {
    for (const { refusal, bytes } of this.#unanswered) if (refusal === undefined) this.#owner.waits(-1, -bytes);
    this.#unanswered = [];
    this.#whenSettled();
  }

  #finish(): void {
    this.#isOver = true;
    this.#telemetry?.close();
    this.#commands?.close();
    this.#pushes?.close();
    this.#files?.close();
    this.#giveUp();
    this.#owner.ended(this.#id);
  }
}

async function fileWork(files: SessionFiles, word: FileWord): Promise<unknown> {
  switch (word.kind) {
    case 'fileRead':
      return files.read(String(word.name), word.from, word.length);
    case 'fileBegin':
      return files.begin(String(word.name), String(word.contentType ?? 'application/octet-stream'));
    case 'fileWrite':
      return files.write(word.u, Buffer.from(String(word.bytes), 'base64'));
    case 'fileEnd':
      return files.end(word.u, word.isWhole === true);
  }
}

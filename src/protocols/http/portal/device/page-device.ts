/**
 * A device that runs in a page, for trying things out: JSON messages of a WebSocket on one side, a device connection like that of
 * every door on the other.
 */
import { z } from 'zod';
import { limits } from '../../../../base/limits.ts';
import type { Command } from '../../../../core/commands/types.ts';
import type { CommandDelivery } from '../../../../core/devices/command-delivery.ts';
import { DeviceConnection } from '../../../../core/devices/connection.ts';
import type { TelemetrySender } from '../../../../core/devices/telemetry-sender.ts';
import type { CommandWire, DeviceReceiver, Slowing, TelemetryDoor } from '../../../../core/devices/types.ts';
import { asHubError, HubError } from '../../../../core/errors.ts';
import type { Hub } from '../../../../core/hub.ts';
import type { DevicePrincipal } from '../../../../core/identity/types.ts';
import { MethodReceiver, type MethodWire } from '../../../../core/methods/receiver.ts';
import type { MethodCall } from '../../../../core/methods/types.ts';
import type { Call, DisconnectReason, Note } from '../../../../core/presence/types.ts';
import type { DesiredText } from '../../../../core/twins/ports.ts';
import { DesiredPushes, type DesiredWire } from '../../../../core/twins/pushes.ts';
import { readReportedPatch } from '../../../../core/twins/rules.ts';
import { DESIRED, type DesiredTold } from '../../../../core/twins/types.ts';
import type { TextSocket } from '../../../shared/text-websocket.ts';
import { parseJson } from '../../json-body.ts';

/** Codes of the page's own (RFC 6455 section 7.4.2). */
export const CLOSED_BY_HUB = 4000;

const id = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const wordSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('telemetry'),
    id,
    body: z.unknown(),
    contentType: z.string().max(128).optional(),
    properties: z.record(z.string().max(128), z.string().max(1024)).default({}),
  }),
  z.strictObject({ type: z.literal('report'), id, patch: z.record(z.string(), z.unknown()) }),
  z.strictObject({ type: z.literal('twin'), id }),
  z.strictObject({
    type: z.literal('settle'),
    lockToken: z.string().max(128),
    how: z.enum(['complete', 'reject', 'abandon']),
  }),
  z.strictObject({ type: z.literal('answer'), id, status: z.number().int(), payload: z.unknown().optional() }),
]);
type Word = z.output<typeof wordSchema>;

export class PageDevice implements DeviceReceiver, TelemetryDoor, CommandWire, DesiredWire, MethodWire {
  readonly twins: Hub['twins'];
  readonly #hub: Hub;
  readonly #socket: TextSocket;
  readonly #device: DeviceConnection;
  readonly #slowedBy = new Set<Slowing>();
  readonly #held = new Set<string>();
  readonly #methods: MethodReceiver;
  #telemetry: TelemetrySender | undefined;
  #commands: CommandDelivery | undefined;
  #pushes: DesiredPushes | undefined;
  /** Words of the page that are not answered yet. */
  #open = 0;
  #isOver = false;

  constructor(hub: Hub, socket: TextSocket, principal: DevicePrincipal, peer: string) {
    this.#hub = hub;
    this.twins = hub.twins;
    this.#socket = socket;
    this.#device = new DeviceConnection(hub, principal, { protocol: 'portal', peer }, this);
    this.#methods = new MethodReceiver(hub.clock, hub.random, this);
    socket.onMessage = (text) => this.#heard(text);
    socket.onClose = () => this.end('by-client');
  }

  get principal(): DevicePrincipal {
    return this.#device.principal;
  }

  /** Takes the identity's place, and tells the page. @throws HubError */
  async begin(): Promise<void> {
    await this.#device.enter();
    if (this.#device.ended !== undefined || this.#isOver) return;
    this.#pushes = new DesiredPushes(this);
    await this.#pushes.begun;
    if (this.#device.ended !== undefined || this.#isOver) return;
    this.#commands = this.#device.openCommands(this);
    this.#say({ type: 'connected', deviceId: this.#device.key.deviceId });
    this.#commands.wake();
    this.#pushes.proceed();
  }

  /** Ends it from this side. @param text for the page; absent = the word of the reason */
  end(reason: DisconnectReason, text: string = reason): void {
    if (this.#isOver) return;
    this.#finish(text);
    this.#device.release(reason);
  }

  /** Presence: the place is lost. */
  drop(reason: DisconnectReason): void {
    if (!this.#isOver) this.#finish(reason);
  }

  #finish(text: string): void {
    this.#isOver = true;
    this.#telemetry?.close();
    this.#commands?.close();
    this.#pushes?.close();
    this.#socket.close(CLOSED_BY_HUB, text);
  }

  #heard(text: string): void {
    if (this.#isOver) return;
    this.#device.touch();
    let word: Word;
    try {
      const parsed = wordSchema.safeParse(parseJson(Buffer.from(text), { valuesMax: limits.httpCommandValuesMax }));
      if (!parsed.success) throw new HubError('ArgumentInvalid', 'This is no message of a device in a page.');
      word = parsed.data;
      if (this.#open >= limits.portalDeviceOpenMax) {
        throw new HubError('ThrottlingException', 'Too many messages of this page wait for their answers.');
      }
    } catch (error) {
      this.#refused(undefined, error);
      return;
    }
    this.#carryOut(word);
  }

  #carryOut(word: Word): void {
    const { key } = this.#device;
    switch (word.type) {
      case 'telemetry':
        this.#answer(word.id, async () => {
          this.#telemetry ??= this.#device.openTelemetry(this, undefined);
          await this.#telemetry.send([telemetryOf(word)]);
          return { type: 'stored' };
        });
        return;
      case 'report':
        this.#answer(word.id, async () => {
          const patch = readReportedPatch(Buffer.from(JSON.stringify(word.patch)));
          return { type: 'reported', version: await this.twins.report(this.principal, key, patch) };
        });
        return;
      case 'twin':
        this.#answer(word.id, async () => ({
          type: 'twin',
          ...JSON.parse(await this.twins.readOwn(this.principal, key)),
        }));
        return;
      case 'settle':
        if (!this.#held.delete(word.lockToken)) return;
        this.#commands?.settle(word.lockToken, word.how).catch(() => {});
        this.#commands?.proceed();
        return;
      case 'answer': {
        const payload = word.payload === undefined ? '' : JSON.stringify(word.payload);
        this.#methods.answered(word.id, word.status, Buffer.from(payload));
      }
    }
  }

  #answer(id: number, work: () => Promise<Readonly<Record<string, unknown>>>): void {
    this.#open++;
    work().then(
      (answer) => {
        this.#open--;
        this.#say({ ...answer, id });
      },
      (error: unknown) => {
        this.#open--;
        this.#refused(id, error);
      },
    );
  }

  #refused(id: number | undefined, error: unknown): void {
    const { code, message } = asHubError(error);
    if (code === 'ServerError') this.#hub.log.error({ identity: this.#device.name, error }, 'a page’s device failed');
    this.#say({ type: 'refused', ...(id !== undefined && { id }), code, message });
  }

  #say(word: object): void {
    if (!this.#isOver) this.#socket.send(JSON.stringify(word));
  }

  // What the hub asks of a door.

  /** Of messages that are sent one by one their promises tell. */
  batchDurable(): void {}
  batchFailed(): void {}

  slow(by: Slowing): void {
    this.#slowedBy.add(by);
    this.#socket.pause();
  }

  goOn(by: Slowing): void {
    if (this.#slowedBy.delete(by) && this.#slowedBy.size === 0) this.#socket.resume();
  }

  commandsWait(): void {
    this.#commands?.wake();
  }

  notify({ kind, value }: Note): void {
    if (kind === DESIRED) this.#pushes?.note(value as DesiredTold);
  }

  invoke(call: Call, signal: AbortSignal, begins: () => void): Promise<unknown> {
    return this.#methods.invoke(call, signal, begins);
  }

  space(): number {
    return this.#isOver ? 0 : Math.max(0, limits.portalDeviceCommandsMax - this.#held.size);
  }

  hasSpace(): boolean {
    return !this.#isOver;
  }

  listens(): boolean {
    return true;
  }

  write(command: Command, lockToken: string): boolean;
  write(patch: DesiredText): boolean;
  write(id: number, call: MethodCall): boolean;
  write(what: Command | DesiredText | number, more?: string | MethodCall): boolean {
    if (typeof what === 'number') {
      const { name, payload } = more as MethodCall;
      this.#say({ type: 'method', id: what, name, ...(payload !== undefined && { payload: JSON.parse(payload) }) });
    } else if ('message' in what) {
      const { messageId, correlationId, contentType, properties, body } = what.message;
      const lockToken = more as string;
      this.#held.add(lockToken);
      this.#say({
        ...{ type: 'command', lockToken, deliveryCount: what.deliveryCount, properties },
        ...{ messageId, correlationId, contentType },
        ...bodyText(Buffer.from(body)),
      });
    } else this.#say({ type: 'desired', version: what.version, patch: JSON.parse(what.text) });
    return true;
  }

  forget(lockToken: string): void {
    if (this.#held.delete(lockToken)) this.#say({ type: 'over', lockToken });
  }

  rests(): void {}

  refused(): boolean {
    return this.#isOver;
  }

  failed(error: unknown): void {
    this.#hub.log.warn(
      { identity: this.#device.name, error },
      'a page’s device cannot be told of its desired properties',
    );
    this.end('storage-failed');
  }
}

/** Text as it stands; anything else as JSON. */
function telemetryOf({ body, contentType, properties }: Extract<Word, { type: 'telemetry' }>) {
  const isText = typeof body === 'string';
  return {
    system: {
      contentType: contentType ?? (isText ? 'text/plain' : 'application/json'),
      contentEncoding: 'utf-8',
    },
    properties: Object.entries(properties),
    body: Buffer.from(isText ? body : (JSON.stringify(body) ?? '')),
  };
}

function bodyText(body: Buffer): { body: string; bodyEncoding: 'utf8' | 'base64' } {
  try {
    return { body: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body), bodyEncoding: 'utf8' };
  } catch {
    return { body: body.toString('base64'), bodyEncoding: 'base64' };
  }
}

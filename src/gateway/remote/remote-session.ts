import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ForwardedMessage } from '../../wire/gateway/batch.ts';
import { Refused } from '../refused.ts';
import type { SessionEnd, SessionWire } from '../session.ts';
import type {
  CloseReason,
  Command,
  DeviceFiles,
  JsonObject,
  MethodAnswer,
  MethodCall,
  Settlement,
  Telemetry,
  Twin,
} from '../types.ts';
import { type DeviceEvents, DeviceLinks, type DeviceWants } from './amqp/device-links.ts';
import type { AmqpEnding } from './amqp/failure.ts';
import type { SessionPool } from './amqp/session-pool.ts';
import type { Forwarder } from './forwarder.ts';
import type { Outcomes } from './outcomes.ts';
import type { Queue } from './queue.ts';
import { difference, type Reports } from './reports.ts';

export interface RemoteSessionParts {
  readonly device: string;
  readonly wants: DeviceWants;
  readonly modelId?: string;
  /** What names the device outside. */
  readonly address?: string;
  readonly clock: Clock;
  readonly queue: Queue;
  readonly forwarder: Forwarder;
  readonly outcomes: Outcomes;
  readonly reports: Reports;
  /** Absent = the gateway has no way to the hub's files. */
  readonly files?: DeviceFiles | undefined;
  /** The session as the adapter has it. */
  readonly end: SessionEnd;
  /** Its links ended for a reason that may pass: they are to be opened again. */
  readonly lost: (session: RemoteSession) => void;
  readonly closed: (session: RemoteSession) => void;
}

/** One device's way to the hub: messages by queue and batches, the rest by links of its own, which come and go with the connection. */
export class RemoteSession implements SessionWire, DeviceEvents {
  readonly device: string;
  readonly #parts: RemoteSessionParts;
  readonly #deviceId: string;
  readonly #moduleId: string | undefined;
  #links: DeviceLinks | undefined;
  #isClosed = false;
  /** How often in a row, and when last, the hub has ended its links. */
  #losses = 0;
  #lostAt = Number.NEGATIVE_INFINITY;
  /** A message of this session is on the gateway's disk, or on its way there. */
  #hasStored = false;
  /** Names of commands that are with the device, by the id under which it has them. */
  readonly #names = new Map<string, string>();
  /** The newest delivery of each of them, by name, and the id under which the device has it: a lost link makes the hub deliver again. */
  readonly #deliveries = new Map<string, { readonly given: string; readonly newest: string }>();
  /** Desired properties as the device knows them, as far as it has read them. */
  #known: { version: number; properties: JsonObject | undefined } | undefined;
  /** Changes that the handler has not been given yet: it has one at a time. */
  readonly #changes: { readonly patch: JsonObject; readonly version: number }[] = [];
  #isTelling = false;
  #isSlowed = false;

  constructor(parts: RemoteSessionParts) {
    this.#parts = parts;
    this.device = parts.device;
    [this.#deviceId, this.#moduleId] = parts.device.split('/');
  }

  get files(): DeviceFiles | undefined {
    return this.#parts.files;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isAttached(): boolean {
    return this.#links !== undefined;
  }

  /** How often in a row the hub has ended its links on this connection, none of which has lasted. */
  get losses(): number {
    return this.#losses;
  }

  /** Opens the device's links. Resolves when the hub has let them in. @throws Refused, HubFailure */
  async attach(pool: SessionPool): Promise<void> {
    if (this.#isClosed || this.#links !== undefined) return;
    const { clock, device, wants, modelId } = this.#parts;
    const links = new DeviceLinks({ pool, clock, device, wants, modelId, events: this });
    this.#links = links;
    await links.opened();
    if (this.#links !== links) return;
    await this.#catchUp(links);
    await this.flushReport();
  }

  /** The connection is gone. */
  detach(): void {
    const links = this.#links;
    this.#links = undefined;
    this.#losses = 0;
    links?.abandon();
  }

  send(message: Telemetry, until: 'hub' | 'stored'): Promise<void> {
    const { clock, forwarder, queue } = this.#parts;
    const forwarded = this.#forwarded(message, clock.now());
    if (until === 'hub') return this.#sendToHub(forwarded);
    // What goes past the disk is before the queue's, on the same link: the order holds.
    if (forwarder.isNear) return forwarder.send(forwarded, true);
    this.#hasStored = true;
    const stored = queue.put(forwarded);
    this.#heedQueue();
    return stored;
  }

  async #sendToHub(message: ForwardedMessage): Promise<void> {
    const { forwarder, queue } = this.#parts;
    if (this.#hasStored && forwarder.isLinked) {
      await queue.liveTaken();
      this.#hasStored = false;
    }
    return forwarder.send(message);
  }

  #forwarded({ body, messageId, correlationId, created, ...rest }: Telemetry, now: number): ForwardedMessage {
    const { contentType, contentEncoding, properties, address = this.#parts.address } = rest;
    const at = created?.getTime() ?? now;
    return {
      deviceId: this.#deviceId,
      moduleId: this.#moduleId,
      // A time that is none, or out of the calendar, says nothing.
      created: Math.abs(at) <= limits.gatewayCreatedMsMax ? at : now,
      messageId: messageId === '' ? undefined : messageId,
      correlationId,
      contentType,
      contentEncoding,
      address: address?.slice(0, limits.adapterAddressCharsMax),
      properties: properties === undefined ? NONE : Object.entries(properties),
      body: typeof body === 'string' ? Buffer.from(body) : body,
    };
  }

  async report(patch: JsonObject): Promise<number | undefined> {
    const { reports } = this.#parts;
    if (this.#links !== undefined) {
      await this.flushReport();
      try {
        if (!reports.has(this.device)) return await this.#links.report(patch);
      } catch (error) {
        if (!(error instanceof Refused) || error.code !== 'unreachable') throw error;
      }
    }
    await reports.keep(this.device, patch);
    return undefined;
  }

  /** Tells the hub what was reported while it was away. */
  async flushReport(): Promise<void> {
    const { reports, device } = this.#parts;
    const waiting = reports.has(device) ? reports.find(device) : undefined;
    if (waiting === undefined || this.#links === undefined) return;
    try {
      await this.#links.report(waiting);
    } catch (error) {
      // What the hub refuses for good waits for nothing.
      if (error instanceof Refused && error.retry) return;
    }
    await reports.done(device, waiting);
  }

  async twin(): Promise<Twin> {
    if (this.#links === undefined) throw new Refused('unreachable', 'The hub cannot be reached.');
    const twin = await this.#links.twin();
    this.#known = { version: twin.desiredVersion, properties: twin.desired };
    return twin;
  }

  settle(id: string, settlement: Settlement | 'release'): void {
    const name = this.#names.get(id);
    if (name === undefined) return;
    const newest = this.#deliveries.get(name)?.newest ?? id;
    this.#names.delete(id);
    this.#deliveries.delete(name);
    // Given back: its lock ends by itself.
    if (settlement === 'release') return;
    const isTold = this.#links?.settle(newest, settlement) ?? false;
    this.#parts.outcomes.settled(this.device, name, settlement, isTold);
  }

  answer(id: string, answer: MethodAnswer): void {
    this.#links?.answer(id, answer);
  }

  desiredTaken(): void {
    this.#isTelling = false;
    this.#tellNext();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const links = this.#links;
    this.#links = undefined;
    links?.close();
    this.#parts.closed(this);
  }

  command(command: Command, name: string): void {
    const known = this.#parts.outcomes.find(this.device, name);
    if (known !== undefined) {
      this.#links?.settle(command.id, known);
      return;
    }
    const before = this.#deliveries.get(name);
    this.#deliveries.set(name, { given: before?.given ?? command.id, newest: command.id });
    // The device is still at it.
    if (before !== undefined) return;
    this.#names.set(command.id, name);
    this.#parts.end.command(command);
  }

  /** @param newest the delivery whose lock is over */
  commandOver(newest: string): void {
    for (const [name, delivery] of this.#deliveries) {
      if (delivery.newest !== newest) continue;
      this.#deliveries.delete(name);
      this.#names.delete(delivery.given);
      this.#parts.end.commandOver(delivery.given);
    }
  }

  method(id: string, call: MethodCall): void {
    this.#parts.end.method(id, call);
  }

  methodOver(id: string): void {
    this.#parts.end.methodOver(id);
  }

  desired(patch: JsonObject, version: number): void {
    if (this.#known !== undefined && version <= this.#known.version) return;
    this.#known = { version, properties: this.#known?.properties && applied(this.#known.properties, patch) };
    this.#changes.push({ patch, version });
    this.#tellNext();
  }

  ended(ending: AmqpEnding): void {
    this.#links = undefined;
    const reason = reasonOf(ending);
    const now = this.#parts.clock.monotonic();
    this.#losses = now - this.#lostAt > LASTING_MS ? 1 : this.#losses + 1;
    this.#lostAt = now;
    if (reason === undefined) this.#parts.lost(this);
    else this.end(reason);
  }

  /** The session ends by the hub's will, or the host's. */
  end(reason: CloseReason): void {
    if (this.#isClosed) return;
    this.#parts.end.closed(reason);
    void this.close();
  }

  setWritable(isWritable: boolean): void {
    this.#parts.end.setWritable(isWritable);
  }

  /** Changes that were made while the connection was away: told as one, with what was deleted where the device had read the whole. */
  async #catchUp(links: DeviceLinks): Promise<void> {
    if (!this.#parts.wants.desired) return;
    if (this.#known === undefined) {
      // Nothing was missed before the first connection; from here on something may be.
      this.#known = { version: 0, properties: undefined };
      return;
    }
    const { desired, desiredVersion } = await links.twin();
    const { version, properties } = this.#known;
    if (desiredVersion <= version) return;
    this.#known = { version: desiredVersion, properties: desired };
    const patch = properties === undefined ? desired : difference(properties, desired);
    this.#changes.push({ patch, version: desiredVersion });
    this.#tellNext();
  }

  #tellNext(): void {
    if (this.#isTelling || this.#isClosed) return;
    const next = this.#changes.shift();
    if (next === undefined) return;
    this.#isTelling = true;
    this.#parts.end.desired(next.patch, next.version);
  }

  #heedQueue(): void {
    const { queue } = this.#parts;
    if (this.#isSlowed || queue.writable) return;
    this.#isSlowed = true;
    this.setWritable(false);
    void queue.drained().then(() => {
      this.#isSlowed = false;
      this.setWritable(true);
    });
  }
}

/** Links that last longer than the longest pause before them begin anew with short pauses. */
const LASTING_MS = 3 * limits.gatewayPauseMsMax;
const NONE: ForwardedMessage['properties'] = [];

/** Undefined = it may pass: the links are opened again. */
function reasonOf({ condition }: AmqpEnding): CloseReason | undefined {
  if (condition === 'amqp:link:stolen') return 'replaced';
  if (condition === 'amqp:not-found') return 'deleted';
  return condition === 'amqp:unauthorized-access' ? 'disabled' : undefined;
}

function applied(properties: JsonObject, patch: JsonObject): JsonObject {
  const entries = new Map(Object.entries(properties));
  for (const [name, value] of Object.entries(patch)) {
    const before = entries.get(name);
    if (value === null) entries.delete(name);
    else if (typeof value !== 'object' || Array.isArray(value)) entries.set(name, value);
    else {
      const inner = typeof before === 'object' && before !== null && !Array.isArray(before) ? before : {};
      entries.set(name, applied(inner as JsonObject, value as JsonObject));
    }
  }
  return Object.fromEntries(entries);
}

/**
 * What a device does with its twin and its methods over MQTT: it listens and stops to, reads, reports, and answers methods or does
 * not. Its other half is `device.ts`, whose connections it uses.
 */
import type { Packet } from 'mqtt-packet';
import type { JsonObject, JsonValue } from '../../src/core/twins/types.ts';
import type { Attempt } from './check-sessions.ts';
import type { Changing, Listening } from './check-twins.ts';
import type { Checkers } from './device.ts';
import type { MqttClient } from './mqtt-client.ts';
import type { Dice, World } from './world.ts';

/** Packet ids from here on are this half's. */
export const TWIN_PACKET_IDS = 60_001;
const ID_MAX = 65_535;
const RESPONSES = '$iothub/twin/res/#';
const DESIRED = '$iothub/twin/PATCH/properties/desired/#';
const SETTLED_MS = 10_000;
const METHODS = '$iothub/methods/POST/#';

/** The device's end of one connection. */
export interface TwinLink {
  readonly client: MqttClient;
  readonly attempt: Attempt;
  /** Which filters the hub has confirmed in this session. */
  readonly confirmed: Set<string>;
  /** SUBSCRIBE and UNSUBSCRIBE without an answer. */
  readonly asked: Map<number, { readonly filters: readonly string[]; readonly ends: boolean }>;
  readonly requests: Map<string, Request>;
  /** The version that the newest answered report of this connection has. */
  lastReport: { readonly number: number; readonly version: number };
  listening: Listening | undefined;
  hasSettled: boolean;
}

type Request =
  | { readonly kind: 'read'; readonly calm: boolean; readonly least: { desired: number; reported: number } }
  | { readonly kind: 'report'; readonly calm: boolean; readonly number: number; readonly changing: Changing };

export class DeviceTwin {
  readonly #id: string;
  readonly #world: World;
  readonly #checkers: Checkers;
  readonly #dice: Dice;
  #count = 0;
  #packetId = TWIN_PACKET_IDS;
  /** The filters of the MQTT session, for the generation whose it is; undefined = there is none. */
  #session: { readonly generationId: string; readonly confirmed: Set<string> } | undefined;
  #newest: Attempt | undefined;

  constructor(id: string, world: World, checkers: Checkers) {
    this.#id = id;
    this.#world = world;
    this.#checkers = checkers;
    this.#dice = world.dice(`${id}'s twin`);
  }

  /** What is to be done yet; undefined = it listens to everything, and nothing is without an answer. */
  left(link: TwinLink): string | undefined {
    const [asked] = link.asked.values();
    if (asked !== undefined) return `waits until it ${asked.ends ? 'no longer hears' : 'hears'} ${asked.filters}`;
    if (!link.hasSettled) return 'has not yet done its last with its twin';
    const [request] = link.requests;
    return request && `waits for the answer to ${request[1].kind} ${request[0]} of its twin`;
  }

  /** The CONNECT is about to be sent. */
  connecting(client: MqttClient, attempt: Attempt): TwinLink {
    const { generationId } = attempt.credential;
    // A clean one ends the session for both sides, answered or not (MQTT-3.1.2-6).
    if (attempt.clean) this.#session = undefined;
    this.#newest = attempt;
    return {
      ...{ client, attempt, confirmed: new Set(), asked: new Map(), requests: new Map() },
      lastReport: { number: -1, version: 0 },
      // Who comes back to a session may be told at once, of what happens from now on.
      hasSettled: false,
      listening: attempt.clean ? undefined : this.#checkers.twins.listens(this.#id, generationId),
    };
  }

  accepted(link: TwinLink, sessionPresent: boolean): void {
    const { generationId } = link.attempt.credential;
    const session = sessionPresent && this.#session?.generationId === generationId ? this.#session : undefined;
    // An older connection whose answer comes late says nothing of what is there now.
    const isNewest = link.attempt === this.#newest;
    if (isNewest) this.#session = session;
    if (!sessionPresent) this.#stopListening(link);
    for (const filter of session?.confirmed ?? []) link.confirmed.add(filter);
    if (link.confirmed.has(DESIRED)) this.#hears(link);
    if (!link.attempt.clean && isNewest) this.#session = { generationId, confirmed: link.confirmed };
  }

  closed(link: TwinLink): void {
    this.#stopListening(link);
  }

  act(link: TwinLink): void {
    const dice = this.#dice;
    const kind = dice.next();
    const missing = [RESPONSES, DESIRED, METHODS].filter((filter) => !link.confirmed.has(filter));
    if (missing.length > 0 && link.asked.size === 0 && kind < 0.3) {
      this.#subscribe(link, dice.chance(0.7) ? missing : [dice.pick(missing)]);
    } else if (kind < 0.35) this.#read(link);
    else if (kind < 0.85) for (let nth = dice.between(1, 4); nth > 0; nth--) this.#report(link);
    else if (kind < 0.88) this.#unsubscribe(link, dice.pick([DESIRED, METHODS]));
  }

  /** What is left to do when all is calm. */
  settle(link: TwinLink): void {
    const missing = [RESPONSES, DESIRED, METHODS].filter((filter) => !link.confirmed.has(filter));
    if (missing.length > 0 && link.asked.size === 0) this.#subscribe(link, missing);
    // What was under way when the faults ended is over by then.
    if (missing.length > 0 || link.hasSettled) return;
    if (this.#world.scheduler.monotonic() - this.#world.calmSince < SETTLED_MS) return;
    link.hasSettled = true;
    this.#report(link);
    this.#read(link);
  }

  /** @returns whether the packet was for this half of the device */
  received(link: TwinLink, packet: Packet): boolean {
    if (packet.cmd === 'publish') return this.#published(link, packet.topic, packet.payload as Buffer);
    if (packet.cmd !== 'suback' && packet.cmd !== 'unsuback') return false;
    const asked = link.asked.get(packet.messageId ?? 0);
    if (asked === undefined) return false;
    link.asked.delete(packet.messageId ?? 0);
    for (const filter of asked.filters) {
      if (asked.ends) continue;
      link.confirmed.add(filter);
      if (filter === DESIRED) this.#hears(link);
    }
    return true;
  }

  #subscribe(link: TwinLink, filters: readonly string[]): void {
    const { generationId } = link.attempt.credential;
    if (filters.includes(DESIRED)) link.listening ??= this.#checkers.twins.listens(this.#id, generationId);
    const messageId = this.#nextId();
    link.asked.set(messageId, { filters, ends: false });
    this.#world.trace(this.#id, `subscribes to ${filters.length} of its twin`);
    link.client.send({ cmd: 'subscribe', messageId, subscriptions: filters.map((topic) => ({ topic, qos: 0 })) });
  }

  #unsubscribe(link: TwinLink, filter: string): void {
    if (!link.confirmed.delete(filter)) return;
    const messageId = this.#nextId();
    link.asked.set(messageId, { filters: [filter], ends: true });
    this.#world.trace(this.#id, `unsubscribes from ${filter}`);
    if (filter === DESIRED) this.#stopListening(link);
    link.client.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] });
  }

  #read(link: TwinLink): void {
    if (!link.confirmed.has(RESPONSES)) return;
    const least = this.#checkers.twins.knownTo(this.#id, link.attempt.credential.generationId);
    const rid = this.#request(link, { kind: 'read', calm: this.#world.calm, least });
    link.client.send({ ...publish, topic: `$iothub/twin/GET/?$rid=${rid}`, payload: ' ' });
  }

  #report(link: TwinLink): void {
    const number = this.#count++;
    const name = `${this.#id}:r${number}`;
    const changing = this.#checkers.twins.begins(name, this.#id, '*');
    const key = `k${number % 5}`;
    const patch: JsonObject = {
      by: name,
      [key]: this.#dice.pick<JsonValue>([number, null, { in: number }, { also: { x: number } }]),
    };
    const rid = this.#request(link, { kind: 'report', calm: this.#world.calm, number, changing });
    link.client.send({
      ...publish,
      topic: `$iothub/twin/PATCH/properties/reported/?$rid=${rid}`,
      payload: Buffer.from(JSON.stringify(patch)),
    });
  }

  /** Answers come only to who listens to them. */
  #request(link: TwinLink, request: Request): string {
    const rid = `${this.#count++}`;
    if (link.confirmed.has(RESPONSES)) link.requests.set(rid, request);
    return rid;
  }

  #published(link: TwinLink, topic: string, payload: Buffer): boolean {
    const answer = /^\$iothub\/twin\/res\/(\d+)\/\?\$rid=([^&]+)(?:&\$version=(\d+))?$/.exec(topic);
    if (answer !== null) this.#answered(link, Number(answer[1]), answer[2], Number(answer[3]), payload);
    const push = /^\$iothub\/twin\/PATCH\/properties\/desired\/\?\$version=(\d+)$/.exec(topic);
    if (push !== null) {
      this.#world.trace(this.#id, `is told of version ${push[1]}`);
      // What was on its way when the device stopped to listen is not held against anything.
      if (![...link.asked.values()].some(({ ends, filters }) => ends && filters.includes(DESIRED))) {
        this.#checkers.twins.pushed(link.listening, this.#id, Number(push[1]), JSON.parse(payload.toString()));
      }
    }
    const method = /^\$iothub\/methods\/POST\/([^/]+)\/\?\$rid=(.+)$/.exec(topic);
    if (method !== null) this.#invoked(link, method[1], method[2], payload);
    const isKnown = answer !== null || push !== null || method !== null;
    this.#world.check(isKnown || !topic.startsWith('$iothub/'), () => `${this.#id} received ${topic}`);
    return topic.startsWith('$iothub/');
  }

  #answered(link: TwinLink, status: number, rid: string, version: number, payload: Buffer): void {
    const request = link.requests.get(rid);
    link.requests.delete(rid);
    // One that was not to be answered, for nobody listened when it was asked.
    if (request === undefined) return;
    const { twins } = this.#checkers;
    const { generationId } = link.attempt.credential;
    const isDone = status === (request.kind === 'read' ? 200 : 204);
    this.#world.check(isDone || !request.calm, () => `all is calm, and ${this.#id} is answered ${status} ${payload}`);
    if (request.kind === 'read') {
      if (isDone) twins.read(this.#id, generationId, request.least, payload.toString());
    } else if (!isDone) {
      // The database has done it, perhaps, and its answer was lost.
      if (!(this.#world.plan.cluster && status === 503)) twins.refused(request.changing);
    } else {
      twins.reported(request.changing, generationId, version);
      const { number: before, version: beforeVersion } = link.lastReport;
      // Answers come in whatever order; versions are in the order of the reports.
      this.#world.check(request.number > before === version > beforeVersion, () => {
        return `${this.#id}: report ${request.number} has version ${version}, report ${before} ${beforeVersion}`;
      });
      if (request.number > before) link.lastReport = { number: request.number, version };
    }
  }

  #invoked(link: TwinLink, name: string, rid: string, payload: Buffer): void {
    const { call } = JSON.parse(payload.toString()) as { readonly call: string };
    this.#world.trace(this.#id, `is asked ${call}`);
    this.#checkers.methods.reached(call, this.#id);
    this.#world.check(name === 'ask', () => `${this.#id} was asked ${name}`);
    if (!this.#world.calm && this.#dice.chance(0.1)) return;
    const status = this.#dice.pick([200, 404, -1]);
    const thinks = this.#world.calm ? 50 : this.#dice.wait(this.#dice.chance(0.1) ? 8000 : 300);
    this.#world.scheduler.after(thinks, () => {
      if (!link.client.connection.isOpen) return;
      this.#checkers.methods.answers(call, status);
      const body = JSON.stringify({ answers: call });
      link.client.send({ ...publish, topic: `$iothub/methods/res/${status}/?$rid=${rid}`, payload: Buffer.from(body) });
    });
  }

  /** The hub tells from here on. */
  #hears({ listening }: TwinLink): void {
    if (listening !== undefined) listening.since ??= this.#world.scheduler.monotonic();
  }

  #stopListening(link: TwinLink): void {
    if (link.listening !== undefined) link.listening.isOver = true;
    link.listening = undefined;
  }

  #nextId(): number {
    this.#packetId = this.#packetId === ID_MAX ? TWIN_PACKET_IDS : this.#packetId + 1;
    return this.#packetId;
  }
}

const publish = { cmd: 'publish', qos: 0, retain: false, dup: false } as const;

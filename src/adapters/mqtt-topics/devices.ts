/**
 * The devices that one user speaks for: the one that it is, or all whose names come up in topics. The latter are made on sight, up to
 * a bound; one that says that it is gone, or is silent for long, is so in the hub too.
 */
import { limits } from '../../base/limits.ts';
import { type DeviceSession, type Handlers, type Host, type Proof, Refused } from '../../gateway/index.ts';
import { isOnline } from './body.ts';
import { Device } from './device.ts';
import { deviceId } from './device-id.ts';
import type { Done } from './inbox.ts';
import type { Route } from './route.ts';
import type { Mapping, Match } from './rules.ts';

export interface Speaker {
  /** User name, or what stands for it; for the log. */
  readonly name: string;
  readonly peer: string | undefined;
  /** Of a user that speaks for many: how their ids are made, how many they may be, and after which silence they are gone. */
  readonly many?: { readonly template: string; readonly devicesMax: number; readonly idleSeconds: number };
}

export class Devices {
  readonly #host: Host;
  readonly #mapping: Mapping;
  readonly #speaker: Speaker;
  readonly #route: Route;
  /** By their names in topics. */
  readonly #many = new Map<string, Device>();
  #single: Device | undefined;
  /** Topic -> what it means; null = nothing. */
  readonly #known = new Map<string, Match | null>();
  /** The operator has been told that no more devices are taken. */
  #toldFull = false;

  constructor(host: Host, mapping: Mapping, speaker: Speaker, route: Route) {
    this.#host = host;
    this.#mapping = mapping;
    this.#speaker = speaker;
    this.#route = route;
  }

  get count(): number {
    return this.#single === undefined ? this.#many.size : 1;
  }

  /** The user is this device. @param closed its session has ended in the hub @throws Refused */
  async enter(proof: Proof, address: string, closed: () => void): Promise<void> {
    const device = new Device(this.#host, this.#mapping, this.#route, this.#speaker.name);
    const { peer } = this.#speaker;
    await device.open(
      (handlers) => this.#host.connect(proof, handlers, { ...(peer !== undefined && { peer }), address }),
      closed,
    );
    this.#single = device;
  }

  get isMany(): boolean {
    return this.#speaker.many !== undefined;
  }

  isPresence(topic: string): boolean {
    return this.#match(topic)?.rule.to === 'presence';
  }

  /** Whether a message on that topic has come before. */
  knows(topic: string): boolean {
    return this.#known.has(topic);
  }

  /** A subscription may name the device before it has published anything. */
  subscribed(filter: string): void {
    const named = this.#single && this.#mapping.deviceInFilter(filter);
    if (!this.#single || !named) return;
    this.#single.name = named.device;
    this.#single.dialect = named.dialect;
  }

  /** Undefined = the hub takes more. */
  get congested(): Promise<void> | undefined {
    const device = this.#single ?? this.#lastUsed;
    return device === undefined || device.writable ? undefined : device.drained();
  }

  #lastUsed: Device | undefined;

  /** Takes a message. @param payload a view, used before this returns @throws Refused; then `done` is not called */
  receive(topic: string, payload: Buffer, done: Done): void {
    const match = this.#match(topic);
    if (match === null) this.#host.metrics.count('unmapped');
    const to = match?.rule.to ?? 'nothing';
    if (match === null || to === 'nothing') {
      done();
      return;
    }
    if (to === 'presence') {
      this.#presence(match, payload, done);
      return;
    }
    const device = this.#single ?? this.#deviceOf(match);
    if (device === undefined) {
      done();
      return;
    }
    if (this.#single !== undefined && match.device !== undefined) device.name = match.device;
    device.dialect = match.dialect;
    this.#lastUsed = device;
    device.take(match, payload, topic, done);
  }

  async close(): Promise<void> {
    const all = [...this.#many.values()];
    this.#many.clear();
    if (this.#single !== undefined) all.push(this.#single);
    await Promise.allSettled(all.map((device) => device.close()));
  }

  #match(topic: string): Match | null {
    const known = this.#known.get(topic);
    if (known !== undefined) return known;
    const match = this.#mapping.match(topic) ?? null;
    if (this.#known.size >= limits.mqttTopicsRememberedMax) this.#known.clear();
    this.#known.set(topic, match);
    return match;
  }

  /** @throws Refused when it would be one too many */
  #deviceOf({ device: name }: Match): Device | undefined {
    if (name === undefined || this.#speaker.many === undefined) return undefined;
    const found = this.#many.get(name);
    if (found !== undefined && !found.isRefused) return found;
    if (found !== undefined) this.#many.delete(name);
    const { template, devicesMax, idleSeconds } = this.#speaker.many;
    if (this.#many.size >= devicesMax) {
      if (!this.#toldFull) {
        this.#host.log.warn(
          `More than ${devicesMax} devices behind one user: no more are taken. Raise devicesMax if they are real`,
          { user: this.#speaker.name },
        );
      }
      this.#toldFull = true;
      throw new Refused('invalid', `more than ${devicesMax} devices behind "${this.#speaker.name}"`);
    }
    const device = new Device(this.#host, this.#mapping, this.#route, name);
    const { peer } = this.#speaker;
    const connect = (handlers: Handlers): Promise<DeviceSession> =>
      this.#host.connect({ kind: 'vouched', device: deviceId(template, name) }, handlers, {
        ...(peer !== undefined && { peer }),
        address: name,
        idleSeconds,
      });
    const forget = (): void => {
      if (this.#many.get(name) === device) this.#many.delete(name);
    };
    this.#many.set(name, device);
    device.open(connect, forget).catch((error: unknown) => {
      this.#host.log.warn('A device behind a user was refused', {
        user: this.#speaker.name,
        device: name,
        reason: (error as Error).message,
      });
    });
    return device;
  }

  /** A device that logs in by itself is there as long as its connection is. */
  #presence(match: Match, payload: Buffer, done: Done): void {
    if (this.#single !== undefined) {
      if (match.device !== undefined) this.#single.name = match.device;
      this.#single.dialect = match.dialect;
      done();
      return;
    }
    if (isOnline(match, payload)) {
      const device = match.rule.of === 'all' ? undefined : this.#deviceOf(match);
      if (device !== undefined) device.dialect = match.dialect;
      done();
      return;
    }
    const name = match.device ?? '';
    const closed = match.rule.of === 'all' ? this.close() : this.#many.get(name)?.close();
    this.#many.delete(name);
    if (closed === undefined) done();
    else closed.then(() => done(), done);
  }
}

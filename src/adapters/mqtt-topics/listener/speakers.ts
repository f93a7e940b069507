/** Those who are logged in, each with its connections, its devices and what it has retained. */
import { type Host, Refused, type Settlement } from '../../../gateway/index.ts';
import { Devices, type Speaker as Who } from '../devices.ts';
import type { Done, Sink } from '../inbox.ts';
import { Retained, type RetainedBytes } from '../retained.ts';
import { Lost, type Route } from '../route.ts';
import type { Mapping, Outgoing } from '../rules.ts';
import type { Login } from './logins.ts';

/** What a speaker asks of its connections. */
export interface SpeakerConnection {
  /** QoS that its subscriptions grant for a topic; undefined = none matches. */
  grantedQos(topic: string): 0 | 1 | undefined;
  deliver(outgoing: Outgoing, qos: 0 | 1, signal: AbortSignal): Promise<Settlement>;
  /** Its device's session in the hub has ended. */
  dropped(): void;
}

export class Speaker implements Route, Sink {
  readonly hearsItself = false;
  /** For the log. */
  readonly name: string;
  readonly devices: Devices;
  readonly retained: Retained;
  readonly #host: Host;
  readonly #connections = new Set<SpeakerConnection>();
  #changed: (() => void)[] = [];

  constructor(host: Host, mapping: Mapping, who: Who, retainedInAll: RetainedBytes) {
    this.#host = host;
    this.name = who.name;
    this.devices = new Devices(host, mapping, who, this);
    this.retained = new Retained(retainedInAll);
  }

  /** It speaks for many devices, and so may send large lists of them. */
  get isCoordinator(): boolean {
    return this.devices.isMany;
  }

  knows(topic: string): boolean {
    return this.devices.knows(topic);
  }

  receive(topic: string, payload: Buffer, retain: boolean, done: Done): void {
    if (retain && !this.retained.set(topic, payload)) this.#host.metrics.count('retained_refused');
    this.devices.receive(topic, payload, done);
  }

  get congested(): Promise<void> | undefined {
    return this.devices.congested;
  }

  add(connection: SpeakerConnection): void {
    this.#connections.add(connection);
  }

  /** Whether it was the last one. */
  remove(connection: SpeakerConnection): boolean {
    this.#connections.delete(connection);
    return this.#connections.size === 0;
  }

  drop(): void {
    for (const connection of [...this.#connections]) connection.dropped();
  }

  subscriptionsChanged(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const wake of waiting) wake();
  }

  choose(options: readonly Outgoing[]): Outgoing | undefined {
    return options.find(({ topic }) => this.#connectionFor(topic) !== undefined);
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = (): void => {
        this.#changed = this.#changed.filter((other) => other !== wake);
        reject(signal.reason);
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener('abort', aborted, { once: true });
      this.#changed.push(wake);
    });
  }

  async publish(outgoing: Outgoing, signal: AbortSignal): Promise<Settlement> {
    if (outgoing.rule.retain) this.retained.set(outgoing.topic, Buffer.from(outgoing.body));
    const found = this.#connectionFor(outgoing.topic);
    if (found === undefined) throw new Lost('nobody has subscribed to the topic');
    return found.connection.deliver(outgoing, Math.min(found.qos, outgoing.rule.qos) as 0 | 1, signal);
  }

  async close(): Promise<void> {
    this.retained.clear();
    await this.devices.close();
  }

  #connectionFor(topic: string): { connection: SpeakerConnection; qos: 0 | 1 } | undefined {
    for (const connection of this.#connections) {
      const qos = connection.grantedQos(topic);
      if (qos !== undefined) return { connection, qos };
    }
    return undefined;
  }
}

export class Speakers {
  readonly #host: Host;
  readonly #mapping: Mapping;
  readonly #idleSeconds: number;
  readonly #users = new Map<string, Speaker>();
  readonly #retained: RetainedBytes = { total: 0 };

  constructor(host: Host, mapping: Mapping, idleSeconds: number) {
    this.#host = host;
    this.#mapping = mapping;
    this.#idleSeconds = idleSeconds;
  }

  /** @param address names the client outside @throws Refused when the hub refuses the device that it is */
  async enter(login: Login, peer: string, address: string): Promise<Speaker> {
    if (login.kind === 'user' && login.user.devices !== undefined)
      return this.#many(login.user.name, login.user.devices, login.user.devicesMax);
    const name = login.kind === 'user' ? login.user.name : login.device;
    const device = login.kind === 'user' ? login.user.device : undefined;
    const speaker = new Speaker(this.#host, this.#mapping, { name, peer }, this.#retained);
    const proof = login.kind === 'user' ? ({ kind: 'vouched', device: device as string } as const) : login.proof;
    await speaker.devices.enter(proof, address, () => speaker.drop());
    return speaker;
  }

  /** The last connection of a speaker has gone. */
  async leave(speaker: Speaker): Promise<void> {
    for (const [name, other] of this.#users) if (other === speaker) this.#users.delete(name);
    await speaker.close();
  }

  #many(name: string, template: string, devicesMax: number): Speaker {
    const found = this.#users.get(name);
    if (found !== undefined) return found;
    if (this.#users.size >= this.#host.limits.sessionsMax)
      throw new Refused('queueFull', 'too many users are connected');
    const who: Who = { name, peer: undefined, many: { template, devicesMax, idleSeconds: this.#idleSeconds } };
    const speaker = new Speaker(this.#host, this.#mapping, who, this.#retained);
    this.#users.set(name, speaker);
    return speaker;
  }
}

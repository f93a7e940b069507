/** The adapter as a client of a broker that is there already: it reconnects with growing pauses, and subscribes again. */
import { limits } from '../../../base/limits.ts';
import type { Adapter, Host, Settlement } from '../../../gateway/index.ts';
import { Devices } from '../devices.ts';
import type { Done, Sink } from '../inbox.ts';
import { fewestFilters } from '../pattern.ts';
import { Lost, type Route } from '../route.ts';
import type { Mapping, Outgoing } from '../rules.ts';
import type { BridgeSettings } from '../settings.ts';
import { Link, type LinkOptions } from './link.ts';

export function createBridge(host: Host, settings: BridgeSettings, mapping: Mapping, idleSeconds: number): Adapter {
  const bridge = new Bridge(host, settings, mapping, idleSeconds);
  return {
    start: () => bridge.start(),
    stop: () => bridge.stop(),
  };
}

class Bridge implements Route, Sink {
  readonly hearsItself = true;
  readonly name = 'bridge';
  readonly #host: Host;
  readonly #settings: BridgeSettings;
  readonly #mapping: Mapping;
  readonly #devices: Devices;
  #link: Link | undefined;
  #stopped = false;
  #wakeUp: () => void = () => {};
  #changed: (() => void)[] = [];

  constructor(host: Host, settings: BridgeSettings, mapping: Mapping, idleSeconds: number) {
    this.#host = host;
    this.#settings = settings;
    this.#mapping = mapping;
    const { devices: template, devicesMax } = settings;
    this.#devices = new Devices(
      host,
      mapping,
      { name: this.name, peer: undefined, many: { template, devicesMax, idleSeconds } },
      this,
    );
  }

  /** A broker that is away keeps the adapter from nothing but its work. */
  async start(): Promise<void> {
    const { url, userName, password, ca, clientId, keepAliveSeconds, persistent } = this.#settings;
    const options: LinkOptions = {
      ...{ url: new URL(url), userName, password, ca, clientId, keepAliveSeconds, persistent },
      filters: fewestFilters(this.#mapping.filters()),
    };
    void this.#run(options);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wakeUp();
    this.#link?.close();
    await this.#devices.close();
  }

  knows(topic: string): boolean {
    return this.#devices.knows(topic);
  }

  /** What the broker had kept is the past: only presence counts of it. */
  receive(topic: string, payload: Buffer, retain: boolean, done: Done): void {
    if (retain && !this.#devices.isPresence(topic)) done();
    else this.#devices.receive(topic, payload, done);
  }

  get congested(): Promise<void> | undefined {
    return this.#devices.congested;
  }

  choose(options: readonly Outgoing[]): Outgoing | undefined {
    return this.#link?.isReady === true ? options[0] : undefined;
  }

  changed(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal.aborted || this.#changed.length >= limits.mqttTopicsBridgeWaitingMax) {
      reject(signal.reason ?? new Error('too many commands wait for the broker'));
      return promise;
    }
    const wake = (): void => {
      signal.removeEventListener('abort', aborted);
      resolve();
    };
    const aborted = (): void => {
      this.#changed = this.#changed.filter((other) => other !== wake);
      reject(signal.reason);
    };
    signal.addEventListener('abort', aborted, { once: true });
    this.#changed.push(wake);
    return promise;
  }

  async publish(outgoing: Outgoing, signal: AbortSignal): Promise<Settlement> {
    if (this.#link === undefined) throw new Lost('the broker cannot be reached');
    await this.#link.publish(outgoing, signal);
    this.#host.metrics.count('delivered');
    return 'complete';
  }

  async #run(options: LinkOptions): Promise<void> {
    const { log, health } = { log: this.#host.log, health: this.#host.health };
    const broker = options.url.host;
    let pauseMs: number = limits.mqttTopicsBackoffMsMin;
    while (!this.#stopped) {
      const link = new Link(this.#host, options, this);
      this.#link = link;
      try {
        await link.ready;
        pauseMs = limits.mqttTopicsBackoffMsMin;
        log.info('The bridge is connected to its broker', { broker, filters: options.filters.join(' ') });
        health('ok', `connected to ${broker}`);
        for (const wake of this.#changed.splice(0)) wake();
      } catch {
        // Why it has ended is told below.
      }
      const why = await link.over;
      this.#link = undefined;
      if (this.#stopped) return;
      log.warn('The bridge has no connection to its broker, and tries again', {
        broker,
        reason: why,
        seconds: pauseMs / 1000,
      });
      health('warn', `no connection to ${broker}: ${why}`);
      await this.#pause(pauseMs);
      pauseMs = Math.min(2 * pauseMs, limits.mqttTopicsBackoffMsMax);
    }
  }

  /** Spread by half, so that many bridges do not come back at one moment. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#host.clock.after(ms * (0.75 + Math.random() / 2), resolve);
      this.#wakeUp = () => {
        cancel();
        resolve();
      };
    });
  }
}

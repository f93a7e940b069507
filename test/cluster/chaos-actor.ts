/**
 * A device of the chaos suite that commands, methods and twins are about, and the back end that asks: each does one thing after the other,
 * comes back by itself, and notes what must not be.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { IPublishPacket } from 'mqtt-packet';
import { type ApiClient, createApiClient } from '../../src/api/client.ts';
import { connectDevice } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import type { MqttDriver } from '../drivers/mqtt.ts';

const AGAIN_MS = 200;
const CALL_MS = 8000;
const METHOD_SECONDS = 5;
const PACE_MS = 60;
/** Commands that were accepted and have not come: a device takes at most 50. */
const COMMANDS_WAITING_MAX = 15;
/** The acknowledgement of the last commands is on its way to the database; far less than a lock of a command. */
const SETTLED_MS = 20_000;

export class ChaosActor {
  readonly deviceId: string;
  /** What must not be, in words. */
  readonly faults: string[] = [];
  readonly counts = { commands: 0, methods: 0, desired: 0, reported: 0, failed: 0 };
  readonly #hub: Pick<TestHub, 'endpoints' | 'ca'>;
  readonly #ended: Promise<void>[] = [];
  #isDeviceOn = false;
  #isBackEndOn = false;
  #client: MqttDriver | undefined;

  // What the device has seen.
  /** In the order in which they came first. */
  readonly #commands = new Set<number>();
  readonly #invoked = new Set<number>();
  #desiredVersion = 0;
  #desired = -1;
  #reportedVersion = 0;
  #reported = 0;
  #reportedAcknowledged = 0;

  // What the back end was told.
  readonly #accepted: number[] = [];
  #desiredAcknowledged = -1;

  constructor(deviceId: string, hub: Pick<TestHub, 'endpoints' | 'ca'>) {
    this.deviceId = deviceId;
    this.#hub = hub;
  }

  start(): void {
    this.#isDeviceOn = true;
    this.#isBackEndOn = true;
    this.#ended.push(this.#device(), this.#backEnd());
  }

  /** The back end asks nothing more; the device goes on. */
  async stopAsking(): Promise<void> {
    this.#isBackEndOn = false;
    await this.#ended[1];
  }

  async stop(): Promise<void> {
    this.#isDeviceOn = false;
    this.#client?.destroy();
    await Promise.all(this.#ended);
  }

  /** Whether all that the back end was told of has come to the device. */
  hasAll(): boolean {
    return this.#accepted.every((k) => this.#commands.has(k)) && this.#desired >= this.#desiredAcknowledged;
  }

  /** What is missing, in words. */
  missing(): string {
    const commands = this.#accepted.filter((k) => !this.#commands.has(k));
    return `commands ${commands.slice(0, 5).join()} (${commands.length}); desired ${this.#desired} of ${this.#desiredAcknowledged}`;
  }

  /**
   * Every command that was accepted has ended once, and came in order. Asks the hub for each one's trail.
   */
  async checkCommands(): Promise<void> {
    const api = this.#api();
    for (const k of this.#accepted) {
      const find = () => api.commands.find({ deviceId: this.deviceId }, { messageId: `k${k}` });
      let { commands } = await find();
      const trails = (): string[] => commands.flatMap(({ trail }) => trail.map(({ step }) => step));
      for (
        const end = performance.now() + SETTLED_MS;
        !trails().some((step) => ENDS.has(step));
        { commands } = await find()
      ) {
        if (performance.now() > end) break;
        await sleep(AGAIN_MS);
      }
      const steps = trails();
      const ends = steps.filter((step) => ENDS.has(step));
      if (commands.length !== 1 || ends.join() !== 'completed') {
        this.faults.push(`command ${k}: ${commands.length} of it, ${steps.join(' ')}`);
      }
    }
    // One whose sender has had no answer may have been carried out late, behind the next one.
    const accepted = new Set(this.#accepted);
    const order = [...this.#commands].filter((k) => accepted.has(k));
    for (const [at, k] of order.entries()) {
      if (at > 0 && k < order[at - 1]) this.faults.push(`command ${k} came first after ${order[at - 1]}`);
    }
    api.close();
  }

  #api(): ApiClient {
    const { endpoints, ca } = this.#hub;
    const connectionString = endpoints.connectionStrings.iothubowner;
    return createApiClient({ connectionString, port: endpoints.ports.https ?? 0, ca, timeoutMs: CALL_MS });
  }

  async #backEnd(): Promise<void> {
    const target = { deviceId: this.deviceId };
    let api = this.#api();
    let etag: string | undefined;
    let version = 0;
    const attempt = async (what: () => Promise<unknown>): Promise<void> => {
      try {
        await what();
      } catch {
        this.counts.failed++;
        etag = undefined;
        api.close();
        api = this.#api();
        await sleep(AGAIN_MS);
      }
    };
    for (let k = 0; this.#isBackEndOn; k++) {
      const waiting = this.#accepted.slice(-COMMANDS_WAITING_MAX).filter((sent) => !this.#commands.has(sent)).length;
      if (waiting < COMMANDS_WAITING_MAX) {
        await attempt(async () => {
          await api.commands.send(target, { messageId: `k${k}`, bodyText: String(k) });
          this.#accepted.push(k);
          this.counts.commands++;
        });
      }
      await attempt(async () => {
        // With its etag, so that a request whose answer was lost changes nothing after a later one.
        etag ??= (await api.twins.get(target)).etag;
        const twin = await api.twins.update(target, { properties: { desired: { k } } }, { ifMatch: etag });
        const desired = twin.properties?.desired as { k: number; $version: number };
        if (desired.k !== k) this.faults.push(`desired ${k} was answered with ${desired.k}`);
        if (desired.$version <= version) this.faults.push(`desired version ${desired.$version} after ${version}`);
        version = desired.$version;
        etag = twin.etag;
        this.#desiredAcknowledged = k;
        this.counts.desired++;
      });
      await attempt(async () => {
        const call = { methodName: 'echo', payload: k, responseTimeoutInSeconds: METHOD_SECONDS };
        const { status, payload } = await api.twins.invoke(target, call);
        if (status !== 200 || payload !== k) this.faults.push(`method ${k} was answered ${status} ${payload}`);
        this.counts.methods++;
      });
      await sleep(PACE_MS);
    }
    api.close();
  }

  async #device(): Promise<void> {
    while (this.#isDeviceOn) {
      try {
        const { client, returnCode } = await connectDevice(this.#hub, this.deviceId);
        this.#client = client;
        if (returnCode === 0) await this.#serve(client);
        client.destroy();
      } catch {
        this.#client?.destroy();
      }
      await sleep(AGAIN_MS);
    }
  }

  /** Throws when the connection ends, or has been silent for ten seconds. */
  async #serve(client: MqttDriver): Promise<void> {
    const topics = [
      `devices/${this.deviceId}/messages/devicebound/#`,
      '$iothub/methods/POST/#',
      '$iothub/twin/res/#',
      '$iothub/twin/PATCH/properties/desired/#',
    ];
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 1 as const })) });
    client.publish({ topic: '$iothub/twin/GET/?$rid=get' });
    let version = 0;
    const report = (): void => {
      const n = ++this.#reported;
      const topic = `$iothub/twin/PATCH/properties/reported/?$rid=${n}`;
      client.publish({ topic, payload: JSON.stringify({ n }) });
    };
    while (this.#isDeviceOn) {
      const packet = await client.next();
      if (packet.cmd !== 'publish') continue;
      const { topic, payload } = packet as IPublishPacket;
      const text = payload.toString();
      if (topic.startsWith('$iothub/methods/POST/')) {
        const k = Number(text);
        if (this.#invoked.has(k)) this.faults.push(`method ${k} twice`);
        this.#invoked.add(k);
        client.publish({ topic: `$iothub/methods/res/200/${topic.slice(topic.indexOf('?'))}`, payload: text });
      } else if (topic.startsWith('$iothub/twin/PATCH')) {
        const desired = JSON.parse(text) as { k: number; $version: number };
        if (desired.$version <= version) this.faults.push(`told version ${desired.$version} after ${version}`);
        version = desired.$version;
        this.#sawDesired(desired);
      } else if (topic.startsWith('$iothub/twin/res/200')) {
        const { desired, reported } = JSON.parse(text);
        if (desired.$version < this.#desiredVersion) this.faults.push(`twin at ${desired.$version}, was told before`);
        if ((reported.n ?? 0) < this.#reportedAcknowledged) this.faults.push(`reported ${reported.n} is an older one`);
        this.#sawDesired(desired);
        report();
      } else if (topic.startsWith('$iothub/twin/res/204')) {
        const [, rid, at] = /\$rid=(\d+)&\$version=(\d+)/.exec(topic) ?? [];
        if (Number(at) <= this.#reportedVersion)
          this.faults.push(`reported version ${at} after ${this.#reportedVersion}`);
        this.#reportedVersion = Number(at);
        this.#reportedAcknowledged = Number(rid);
        this.counts.reported++;
        setTimeout(report, PACE_MS);
      } else if (topic.startsWith('$iothub/twin/res/')) {
        // Refused for now.
        setTimeout(topic.includes('$rid=get') ? () => client.destroy() : report, AGAIN_MS);
      } else {
        const k = Number(text);
        this.#commands.add(k);
        client.send({ cmd: 'puback', messageId: packet.messageId });
      }
    }
  }

  #sawDesired({ k = -1, $version }: { readonly k?: number; readonly $version: number }): void {
    if ($version < this.#desiredVersion) return;
    this.#desiredVersion = $version;
    this.#desired = k;
  }
}

/** Steps of a trail after which a command is over. */
const ENDS = new Set(['completed', 'rejected', 'expired', 'deliveryCountExceeded', 'purged']);

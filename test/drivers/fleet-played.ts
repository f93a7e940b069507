/** A fleet that a script plays: what each device does is written into its record, and the registry asked what it knows. */
import assert from 'node:assert/strict';
import type { ApiClient } from '../../src/api/client.ts';
import { limits } from '../../src/base/limits.ts';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from './api.ts';
import { makeCertificate } from './certificates.ts';
import { connectFleetDevice, type FleetConnection, type FleetDevice, NotLetIn, sendByHttp, ways } from './fleet.ts';
import { type Recorded, Refusals } from './fleet-record.ts';
import type { TestHub } from './hub.ts';
import type { Told } from './monitoring.ts';

const WAIT_MS_MAX = 20_000;
/** Where devices of the fleet come from themselves. */
const HOME = '127.0.0.1';

const WINDOW_SECONDS = 1;
export const windowMs = WINDOW_SECONDS * 1000;
/** So that sums are told within a second, refusals are answered at once, and a fleet that flaps by script is no detection. */
export const dayArgs = [
  ...['--monitoring-window-seconds', String(WINDOW_SECONDS), '--refusal-delay-seconds', '0', '--detect-flapping', '0'],
];

/** One device of the fleet, and the script's own record of it. */
export interface Played extends FleetDevice, Recorded {
  client: FleetConnection | undefined;
}

export class PlayedFleet implements AsyncDisposable {
  hub: TestHub;
  api: ApiClient;
  readonly devices: Played[] = [];
  /** Refusals that the script has seen. */
  readonly refusals = new Refusals();
  readonly #random: ReturnType<typeof seededRandom>;
  #step = 0;

  /** @param hub started with `dayArgs`; disposed of with the fleet */
  constructor(hub: TestHub, seed: number) {
    this.hub = hub;
    this.api = this.#client();
    this.#random = seededRandom(seed);
  }

  /** Those that can be connected; the others send by HTTP. */
  get connectable(): readonly Played[] {
    return this.devices.filter(({ way }) => way.protocol !== 'http');
  }

  get senders(): readonly Played[] {
    return this.devices.filter(({ way }) => way.protocol === 'http');
  }

  /** Some of these, by chance. */
  some<Each>(of: readonly Each[], share: number): readonly Each[] {
    return of.filter(() => this.chance(share));
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  /** From 0 to 1. */
  random(): number {
    return this.#random.next();
  }

  /** Creates so many devices, of every way in turn. */
  async create(count: number): Promise<void> {
    // The registry is asked for all of them at once.
    assert.ok(count < limits.listPageMax, `a day has less than ${limits.listPageMax} devices`);
    for (let at = 0; at < count; at++) {
      const id = `day-${String(at).padStart(4, '0')}`;
      const way = ways[at % ways.length];
      const shown = way.credential === 'x509' ? await makeCertificate(id) : undefined;
      const x509Thumbprint = { primaryThumbprint: shown?.sha256 ?? null, secondaryThumbprint: null };
      const draft = shown === undefined ? {} : { authentication: { type: 'selfSigned' as const, x509Thumbprint } };
      const made = { record: [] };
      await this.#recorded(made, ['identityCreated'], async () => {
        const { authentication } = await this.api.devices.create(id, draft);
        const key = authentication.symmetricKey.primaryKey ?? '';
        this.devices.push({ ...made, id, key, way, shown, client: undefined });
      });
    }
  }

  /** Connects it; one that is connected is taken over. */
  async connect(device: Played): Promise<void> {
    const older = device.client;
    const { protocol, credential } = device.way;
    const takeover = older === undefined ? [] : ['disconnected taken-over'];
    await this.#recorded(device, [...takeover, `connected ${protocol} ${credential}`], async () => {
      device.client = await connectFleetDevice(this.hub, device);
    });
    await older?.untilClosed();
  }

  /** Ends its connection, with a good-bye or without one, by chance. */
  async leave(device: Played): Promise<void> {
    const { client } = device;
    if (client === undefined) return;
    const politely = this.chance(0.5);
    await this.#recorded(device, [`disconnected ${politely ? 'by-client' : 'connection-lost'}`], async () => {
      if (politely) await client.disconnect();
      else client.destroy();
      // The hub has seen the end when the registry says so.
      const deadline = Date.now() + WAIT_MS_MAX;
      while ((await this.api.devices.get(device.id)).connectionState === 'Connected') {
        if (Date.now() > deadline) throw new Error(`${device.id} is still connected: ${JSON.stringify(device.record)}`);
      }
    });
    device.client = undefined;
  }

  /** Disables or enables it; one that is disabled is cut off. */
  async setStatus(device: Played, status: 'enabled' | 'disabled'): Promise<void> {
    const { client } = device;
    const cutOff = status === 'disabled' && client !== undefined;
    const texts = [status === 'disabled' ? 'identityDisabled' : 'identityEnabled'];
    await this.#recorded(device, [...texts, ...(cutOff ? ['disconnected disabled'] : [])], async () => {
      const { authentication } = await this.api.devices.get(device.id);
      await this.api.devices.update(device.id, { authentication, status });
      if (cutOff) await client.untilClosed();
    });
    if (cutOff) device.client = undefined;
  }

  /** It tries to come in, and is not let in. @param check that it fails at */
  async beRefused(device: Played, check: string): Promise<void> {
    const attempt = device.way.protocol === 'http' ? sendByHttp : connectFleetDevice;
    await assert.rejects(attempt(this.hub, device), NotLetIn, device.id);
    this.refusals.add(check, HOME);
  }

  /** The registry says of each device whether it is connected, and since when, as the script knows it. */
  async checkPresence(): Promise<void> {
    const listed = new Map((await this.api.devices.list()).map((each) => [each.deviceId, each]));
    for (const { id, client, way } of this.devices) {
      assert.equal(listed.get(id)?.connectionState, client === undefined ? 'Disconnected' : 'Connected', id);
      if (way.protocol === 'http') assert.match(String(listed.get(id)?.connectionStateUpdatedTime), /^0001-/, id);
    }
  }

  /** The registry's time of each device's last change is that of the stream, which tells it right behind. */
  async checkTimes(told: readonly Told[]): Promise<void> {
    const changes = told.filter(({ type }) => type === 'connected' || type === 'disconnected');
    const own = Map.groupBy(changes, ({ deviceId }) => deviceId);
    for (const { deviceId, connectionStateUpdatedTime } of await this.api.devices.list()) {
      const [before, last] = [own.get(deviceId)?.at(-2), own.get(deviceId)?.at(-1)];
      if (last === undefined) continue;
      const known = Date.parse(connectionStateUpdatedTime);
      const what = `${deviceId}: ${connectionStateUpdatedTime}, ${JSON.stringify(last)}`;
      // What a crash has ended ended when it was last heard of.
      if (last.reason === 'hub-crashed') assert.equal(known, Date.parse(String(last.lastActivityTime)), what);
      else assert.ok(known >= Date.parse(before?.time ?? '1970-01-01') && known <= Date.parse(last.time), what);
    }
  }

  /** Resolves when the registry has written all that presence knows. */
  async quiesce(): Promise<void> {
    const metrics = `http://127.0.0.1:${this.hub.endpoints.ports.admin}/metrics`;
    const deadline = Date.now() + WAIT_MS_MAX;
    while (!/^mooring_presence_pending 0$/m.test(await (await fetch(metrics)).text())) {
      if (Date.now() > deadline) throw new Error('presence is not written');
    }
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.api.close();
    await this.hub.kill();
    for (const { client } of this.devices) client?.destroy();
  }

  async restart(): Promise<void> {
    this.hub = await this.hub.restart();
    this.api = this.#client();
    for (const device of this.devices) device.client = undefined;
  }

  /** What the restart after a crash tells of those that were connected. */
  async crashed(devices: readonly Played[]): Promise<void> {
    for (const device of devices) await this.#recorded(device, ['disconnected hub-crashed'], async () => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.api.close();
    for (const { client } of this.devices) client?.destroy();
    await this.hub[Symbol.asyncDispose]();
  }

  /** Writes down what is begun, and what has been seen to end; what fails in between may have happened or not. */
  async #recorded(device: Pick<Recorded, 'record'>, texts: readonly string[], run: () => Promise<void>): Promise<void> {
    const lines = texts.map((text) => ({ text, begun: ++this.#step }) as Recorded['record'][number]);
    device.record.push(...lines);
    await run();
    for (const line of lines) {
      line.seen = ++this.#step;
      line.seenTime = Date.now();
    }
  }

  #client(): ApiClient {
    return apiOf(this.hub);
  }
}

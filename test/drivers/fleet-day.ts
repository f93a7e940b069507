/**
 * A day of a fleet as a script that keeps a record of its own: devices connect in every way, flap, are taken over, disabled
 * and enabled, strangers try wrong keys from several addresses over TLS and plain MQTT, the hub is killed and started
 * again. `checkTold` compares what a reader of the monitoring stream has seen with the record, event for event.
 */
import assert from 'node:assert/strict';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import mqttPacket from 'mqtt-packet';
import { type ApiClient, createApiClient } from '../../src/api/client.ts';
import { seededRandom } from '../../src/base/random.ts';
import { makeCertificate } from './certificates.ts';
import { connectFleetDevice, type FleetConnection, type FleetDevice, ways } from './fleet.ts';
import type { TestHub } from './hub.ts';
import { devicePlace, MonitoringReader, type Told, tokenOf } from './monitoring.ts';
import { connectPacket } from './mqtt.ts';

/** So that each refusal is told within a second, at once, and a fleet that flaps by script is no detection. */
export const dayArgs = [
  ...['--monitoring-window-seconds', '1', '--refusal-delay-seconds', '0', '--detect-flapping', '0'],
];

const WAIT_MS_MAX = 10_000;
const attackers = process.platform === 'linux' ? ['127.0.0.2', '127.0.0.3', '127.0.0.4'] : ['127.0.0.1'];
/** Of each address, half of them over TLS. */
const ATTEMPTS_PER_ATTACKER = 50;

/** One device of the fleet, and the script's own record of it. */
interface Played extends FleetDevice {
  readonly record: string[];
  client: FleetConnection | undefined;
}

export interface DayWish {
  readonly devices: number;
  readonly seed: number;
  note(text: string): void;
}

export class Day implements AsyncDisposable {
  hub: TestHub;
  readonly #wish: DayWish;
  #api: ApiClient;
  readonly #fleet: Played[] = [];
  /** Devices that speak HTTP: they send, and are never connected. */
  readonly #senders: { readonly id: string; readonly key: string }[] = [];
  /** Failed attempts by address. */
  readonly #attempts = new Map<string, number>();
  readonly #random: ReturnType<typeof seededRandom>;

  /** @param hub started with `dayArgs`; disposed of with the day */
  constructor(hub: TestHub, wish: DayWish) {
    this.hub = hub;
    this.#wish = wish;
    this.#api = this.#client();
    this.#random = seededRandom(wish.seed);
  }

  /** Plays the whole day. */
  async play(): Promise<void> {
    await this.#timed('created', () => this.#create());
    await this.#timed('connected', async () => {
      for (const device of this.#fleet) await this.#connect(device);
    });
    await this.#checkPresence();
    await this.#timed('flapped', async () => {
      for (let round = 0; round < 3; round++) await this.#flap();
    });
    const disabled = this.#some(0.15);
    for (const device of disabled) await this.#setStatus(device, 'disabled');
    await this.#timed('attacked', () => Promise.all(attackers.map((address) => this.#attack(address))));
    for (const device of disabled) await this.#setStatus(device, 'enabled');
    await this.#checkPresence();
    await this.#untilAttackIsTold();
    await this.#timed('killed and restarted', () => this.#crash());
    await this.#checkPresence();
    for (const device of this.#some(0.7)) await this.#connect(device);
    await this.#checkPresence();
  }

  /** How many events of devices there are to read, and whether `told` has them. */
  isComplete(told: readonly Told[]): boolean {
    return told.filter(isOfFleet).length >= this.#fleet.reduce((sum, { record }) => sum + record.length, 0);
  }

  /** The stream, read from its start, is what the script has done. */
  checkTold(all: readonly Told[]): void {
    const told = Map.groupBy(all.filter(isOfFleet), ({ deviceId }) => String(deviceId));
    for (const { id, record } of this.#fleet) {
      const own = told.get(id) ?? [];
      assert.deepEqual(own.map(lineOf), record, id);
      for (const [at, event] of own.entries()) assert.ok(at === 0 || event.sequenceNumber > own[at - 1].sequenceNumber);
    }
    for (const { id } of this.#senders) assert.equal(told.get(id), undefined, id);
    assert.deepEqual(failuresOf(all).sort(), [...this.#attempts].sort());
    const ofHub = all.filter(({ type }) => type.startsWith('hub')).map(({ type }) => type);
    assert.deepEqual(ofHub, ['hubStarted', 'hubStarted', 'hubRecovered']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#api.close();
    for (const { client } of this.#fleet) client?.destroy();
    await this.hub[Symbol.asyncDispose]();
  }

  #client(): ApiClient {
    const { connectionStrings, ports } = this.hub.endpoints;
    const connectionString = connectionStrings.iothubowner;
    return createApiClient({ connectionString, port: ports.https ?? 0, ca: this.hub.ca });
  }

  async #timed(what: string, run: () => Promise<unknown>): Promise<void> {
    const started = performance.now();
    await run();
    this.#wish.note(`${what} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }

  /** Some of the fleet, by chance. */
  #some(share: number): readonly Played[] {
    return this.#fleet.filter(() => this.#random.next() < share);
  }

  #chance(share: number): boolean {
    return this.#random.next() < share;
  }

  async #create(): Promise<void> {
    for (let at = 0; at < this.#wish.devices; at++) {
      const id = `day-${String(at).padStart(4, '0')}`;
      const way = ways[at % ways.length];
      const shown = way.credential === 'x509' ? await makeCertificate(id) : undefined;
      const x509Thumbprint = { primaryThumbprint: shown?.sha256 ?? null, secondaryThumbprint: null };
      const { authentication } = await this.#api.devices.create(
        id,
        shown === undefined ? {} : { authentication: { type: 'selfSigned', x509Thumbprint } },
      );
      const key = authentication.symmetricKey.primaryKey ?? '';
      this.#fleet.push({ id, key, way, shown, record: ['identityCreated'], client: undefined });
    }
    for (let at = 0; at < Math.ceil(this.#wish.devices / ways.length); at++) {
      const { deviceId, authentication } = await this.#api.devices.create(`sender-${at}`);
      this.#senders.push({ id: deviceId, key: authentication.symmetricKey.primaryKey ?? '' });
    }
  }

  async #connect(device: Played): Promise<void> {
    const older = device.client;
    device.client = await connectFleetDevice(this.hub, device);
    if (older !== undefined) device.record.push('disconnected taken-over');
    device.record.push(`connected ${device.way.protocol} ${device.way.credential}`);
    await older?.untilClosed();
  }

  async #leave(device: Played): Promise<void> {
    if (device.client === undefined) return;
    if (this.#chance(0.5)) {
      await device.client.disconnect();
      device.record.push('disconnected by-client');
    } else {
      device.client.destroy();
      device.record.push('disconnected connection-lost');
    }
    // The hub has seen the end when the registry says so.
    const deadline = Date.now() + WAIT_MS_MAX;
    while ((await this.#api.devices.get(device.id)).connectionState === 'Connected') {
      if (Date.now() > deadline)
        throw new Error(`${device.id} is still connected: ${JSON.stringify([device.way, device.record])}`);
    }
    device.client = undefined;
  }

  async #flap(): Promise<void> {
    for (const device of this.#some(0.3)) {
      await this.#leave(device);
      if (this.#chance(0.8)) await this.#connect(device);
    }
    for (const device of this.#some(0.1)) if (device.client !== undefined) await this.#connect(device);
    for (const sender of this.#senders) await sendByHttp(this.hub, sender);
    await this.#checkPresence();
  }

  async #setStatus(device: Played, status: 'enabled' | 'disabled'): Promise<void> {
    const { authentication } = await this.#api.devices.get(device.id);
    await this.#api.devices.update(device.id, { authentication, status });
    device.record.push(status === 'disabled' ? 'identityDisabled' : 'identityEnabled');
    if (status === 'enabled' || device.client === undefined) return;
    await device.client.untilClosed();
    device.record.push('disconnected disabled');
    device.client = undefined;
  }

  /** One attempt after the other with a wrong key, against devices that exist and others. */
  async #attack(address: string): Promise<void> {
    const { hostName, ports } = this.hub.endpoints;
    for (let at = 0; at < ATTEMPTS_PER_ATTACKER; at++) {
      const id = `day-${String(at * 7).padStart(4, '0')}`;
      const password = Buffer.from(await tokenOf(id, Buffer.alloc(32, at).toString('base64'), hostName));
      const packet = connectPacket({ clientId: id, username: `${hostName}/${id}/?api-version=2021-04-12`, password });
      const secure = at % 2 === 0;
      const place = secure ? { port: ports.mqtts ?? 0, ca: this.hub.ca } : devicePlace(this.hub);
      await refusedFrom(address, place, packet);
      this.#attempts.set(address, (this.#attempts.get(address) ?? 0) + 1);
    }
  }

  /** The sums of the attack are told at the end of their window; then the crash may come. */
  async #untilAttackIsTold(): Promise<void> {
    const attempts = attackers.length * ATTEMPTS_PER_ATTACKER;
    await using early = await MonitoringReader.open(this.hub);
    await early.until((all) => failuresOf(all).reduce((sum, [, count]) => sum + count, 0) === attempts);
  }

  /** Kills the hub when the registry has written what presence knows, and starts it again. */
  async #crash(): Promise<void> {
    // Last activities may wait a minute, but go with the next change: here is one.
    const marker = await connectFleetDevice(this.hub, { ...this.#senders[0], way: ways[0], shown: undefined });
    await marker.disconnect();
    const metrics = `http://127.0.0.1:${this.hub.endpoints.ports.admin}/metrics`;
    const deadline = Date.now() + WAIT_MS_MAX;
    while (!/^mooring_presence_pending 0$/m.test(await (await fetch(metrics)).text())) {
      if (Date.now() > deadline) throw new Error('presence is not written');
    }
    this.#api.close();
    await this.hub.kill();
    for (const device of this.#fleet) {
      if (device.client === undefined) continue;
      await device.client.untilClosed();
      device.client = undefined;
      device.record.push('disconnected hub-crashed');
    }
    this.hub = await this.hub.restart();
    this.#api = this.#client();
  }

  async #checkPresence(): Promise<void> {
    const listed = new Map((await this.#api.devices.list()).map((each) => [each.deviceId, each.connectionState]));
    for (const { id, client } of this.#fleet) {
      assert.equal(listed.get(id), client === undefined ? 'Disconnected' : 'Connected', id);
    }
    for (const { id } of this.#senders) assert.equal(listed.get(id), 'Disconnected', id);
  }
}

async function sendByHttp(hub: TestHub, { id, key }: { readonly id: string; readonly key: string }): Promise<void> {
  const { hostName, ports } = hub.endpoints;
  const authorization = await tokenOf(id, key, hostName);
  const path = `/devices/${id}/messages/events?api-version=2021-04-12`;
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const options = { host: 'localhost', port: ports.https ?? 0, ca: hub.ca, path, method: 'POST', agent: false };
    const request = https.request({ ...options, headers: { authorization } }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode));
    });
    request.once('error', reject).end('{}');
  });
  assert.equal(status, 204);
}

/** Sends a CONNECT from one of this machine's loopback addresses; resolves when it has been refused. */
function refusedFrom(
  localAddress: string,
  { port, ca }: { readonly port: number; readonly ca?: string },
  packet: mqttPacket.IConnectPacket,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const place = { host: '127.0.0.1', port, localAddress };
    const socket = ca === undefined ? net.connect(place) : tls.connect({ ...place, ca, servername: 'localhost' });
    socket.once('error', reject);
    socket.once('data', (answer: Buffer) => {
      socket.destroy();
      if (answer[3] === 5) resolve();
      else reject(new Error(`CONNACK ${answer[3]}`));
    });
    socket.write(mqttPacket.generate(packet));
  });
}

/** Of those that each device's own record has; refusals are counted, detections are opinions. */
function isOfFleet({ type, deviceId = '' }: Told): boolean {
  return (
    deviceId.startsWith('day-') && (type === 'connected' || type === 'disconnected' || type.startsWith('identity'))
  );
}

function lineOf({ type, reason, protocol, credential }: Told): string {
  if (type === 'connected') return `${type} ${protocol} ${credential}`;
  return reason === undefined ? type : `${type} ${reason}`;
}

function failuresOf(all: readonly Told[]): [address: string, count: number][] {
  const failures = all.filter(({ type }) => type === 'authenticationFailed');
  return [...Map.groupBy(failures, ({ peer }) => String(peer))].map(([address, events]) => [
    address,
    events.reduce((sum, { count }) => sum + Number(count), 0),
  ]);
}

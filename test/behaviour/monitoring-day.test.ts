/**
 * A day of a fleet in one run: devices connect, flap, are taken over, disabled and enabled, strangers try wrong keys from
 * several addresses, the hub is killed and started again. What the stream says is what the script has done, event for
 * event, and the registry's presence is the truth at every checkpoint. MQTT only; `MOORING_DAY_DEVICES` sizes it,
 * `MOORING_DAY_THREADS` says how many listener threads the hub has.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import mqttPacket from 'mqtt-packet';
import { type ApiClient, createApiClient } from '../../src/api/client.ts';
import { seededRandom } from '../../src/base/random.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { devicePlace, MonitoringReader, type Told, tokenOf } from '../drivers/monitoring.ts';
import { connectPacket, MqttDriver } from '../drivers/mqtt.ts';

const deviceCount = Number(process.env.MOORING_DAY_DEVICES ?? 60);
const seed = Number(process.env.MOORING_DAY_SEED ?? Math.floor(Math.random() * 2 ** 31));
const attackers = process.platform === 'linux' ? ['127.0.0.2', '127.0.0.3', '127.0.0.4'] : ['127.0.0.1'];
const ATTEMPTS_PER_ATTACKER = 50;

/** One device of the fleet, and the script's own record of it. */
interface Played {
  readonly id: string;
  readonly key: string;
  readonly record: string[];
  client: MqttDriver | undefined;
}

class Day {
  hub: TestHub;
  api: ApiClient;
  readonly fleet: Played[] = [];
  /** Failed attempts by address. */
  readonly attempts = new Map<string, number>();
  readonly #random = seededRandom(seed);

  constructor(hub: TestHub) {
    this.hub = hub;
    this.api = this.#client();
  }

  #client(): ApiClient {
    const { connectionStrings, ports } = this.hub.endpoints;
    return createApiClient({
      connectionString: connectionStrings.iothubowner,
      port: ports.https ?? 0,
      ca: this.hub.ca,
    });
  }

  /** Some of the fleet, by chance. */
  some(share: number): readonly Played[] {
    return this.fleet.filter(() => this.#random.next() < share);
  }

  chance(share: number): boolean {
    return this.#random.next() < share;
  }

  async create(): Promise<void> {
    for (let at = 0; at < deviceCount; at++) {
      const { deviceId, authentication } = await this.api.devices.create(`day-${String(at).padStart(4, '0')}`);
      const key = authentication.symmetricKey.primaryKey ?? '';
      this.fleet.push({ id: deviceId, key, record: ['identityCreated'], client: undefined });
    }
  }

  async connect(device: Played): Promise<void> {
    const { hostName } = this.hub.endpoints;
    const older = device.client;
    const { client, returnCode } = await MqttDriver.connect(devicePlace(this.hub), {
      clientId: device.id,
      username: `${hostName}/${device.id}/?api-version=2021-04-12`,
      password: Buffer.from(await tokenOf(device.id, device.key, hostName)),
    });
    assert.equal(returnCode, 0, device.id);
    if (older !== undefined) device.record.push('disconnected taken-over');
    device.record.push('connected');
    device.client = client;
    await older?.untilClosed();
  }

  async leave(device: Played): Promise<void> {
    if (device.client === undefined) return;
    if (this.chance(0.5)) {
      await device.client.disconnect();
      device.record.push('disconnected by-client');
    } else {
      device.client.destroy();
      device.record.push('disconnected connection-lost');
      // The hub has seen the end when the registry says so.
      while ((await this.api.devices.get(device.id)).connectionState === 'Connected') await Promise.resolve();
    }
    device.client = undefined;
  }

  async setStatus(device: Played, status: 'enabled' | 'disabled'): Promise<void> {
    const { authentication } = await this.api.devices.get(device.id);
    await this.api.devices.update(device.id, { authentication, status });
    device.record.push(status === 'disabled' ? 'identityDisabled' : 'identityEnabled');
    if (status === 'enabled' || device.client === undefined) return;
    await device.client.untilClosed();
    device.record.push('disconnected disabled');
    device.client = undefined;
  }

  /** One attempt after the other with a wrong key, against devices that exist and others. */
  async attack(address: string): Promise<void> {
    const { hostName } = this.hub.endpoints;
    for (let at = 0; at < ATTEMPTS_PER_ATTACKER; at++) {
      const id = `day-${String(at * 7).padStart(4, '0')}`;
      const password = Buffer.from(await tokenOf(id, Buffer.alloc(32, at).toString('base64'), hostName));
      const username = `${hostName}/${id}/?api-version=2021-04-12`;
      await refusedFrom(address, devicePlace(this.hub).port, connectPacket({ clientId: id, username, password }));
      this.attempts.set(address, (this.attempts.get(address) ?? 0) + 1);
    }
  }

  /** Kills the hub when the registry has written what presence knows, and starts it again. */
  async crash(): Promise<void> {
    const metrics = `http://127.0.0.1:${this.hub.endpoints.ports.admin}/metrics`;
    while (!/^mooring_presence_pending 0$/m.test(await (await fetch(metrics)).text())) await Promise.resolve();
    this.api.close();
    await this.hub.kill();
    for (const device of this.fleet) {
      if (device.client === undefined) continue;
      await device.client.untilClosed();
      device.client = undefined;
      device.record.push('disconnected hub-crashed');
    }
    this.hub = await this.hub.restart();
    this.api = this.#client();
  }

  async checkPresence(): Promise<void> {
    const listed = new Map((await this.api.devices.list()).map((each) => [each.deviceId, each.connectionState]));
    for (const { id, client } of this.fleet) {
      assert.equal(listed.get(id), client === undefined ? 'Disconnected' : 'Connected', id);
    }
  }
}

/** Sends a CONNECT from one of this machine's loopback addresses; resolves when it has been refused. */
function refusedFrom(localAddress: string, port: number, packet: mqttPacket.IConnectPacket): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port, localAddress });
    socket.once('error', reject);
    socket.once('data', (answer) => (answer[3] === 5 ? resolve() : reject(new Error(`CONNACK ${answer[3]}`))));
    socket.write(mqttPacket.generate(packet));
    socket.once('data', () => socket.destroy());
  });
}

test(`a day of ${deviceCount} devices (seed ${seed})`, async () => {
  const threads = ['--threads', process.env.MOORING_DAY_THREADS ?? '1'];
  const args = [
    ...threads,
    '--monitoring-window-seconds',
    '1',
    '--refusal-delay-seconds',
    '0',
    '--detect-flapping',
    '0',
  ];
  const day = new Day(await startHub({ args }));
  try {
    await day.create();
    for (const device of day.fleet) await day.connect(device);
    await day.checkPresence();
    for (let round = 0; round < 3; round++) {
      for (const device of day.some(0.3)) {
        await day.leave(device);
        if (day.chance(0.8)) await day.connect(device);
      }
      for (const device of day.some(0.1)) if (device.client !== undefined) await day.connect(device);
      await day.checkPresence();
    }
    const disabled = day.some(0.15);
    for (const device of disabled) await day.setStatus(device, 'disabled');
    await Promise.all(attackers.map((address) => day.attack(address)));
    for (const device of disabled) await day.setStatus(device, 'enabled');
    await day.checkPresence();
    const attempts = attackers.length * ATTEMPTS_PER_ATTACKER;
    {
      // The sums of the attack are told at the end of their window; then the crash may come.
      await using early = await MonitoringReader.open(day.hub);
      await early.until((all) => failuresOf(all).reduce((sum, [, count]) => sum + count, 0) === attempts);
    }
    await day.crash();
    await day.checkPresence();
    for (const device of day.some(0.7)) await day.connect(device);
    await day.checkPresence();

    await using reader = await MonitoringReader.open(day.hub);
    const expected = day.fleet.reduce((sum, { record }) => sum + record.length, 0);
    const all = await reader.until((told) => told.filter(isOfFleet).length >= expected);
    const told = Map.groupBy(all.filter(isOfFleet), ({ deviceId }) => String(deviceId));
    for (const { id, record } of day.fleet) {
      const own = told.get(id) ?? [];
      assert.deepEqual(own.map(lineOf), record, id);
      for (const [at, event] of own.entries()) assert.ok(at === 0 || event.sequenceNumber > own[at - 1].sequenceNumber);
    }
    assert.deepEqual(failuresOf(all).sort(), [...day.attempts].sort());
    const ofHub = all.filter(({ type }) => type.startsWith('hub')).map(({ type }) => type);
    assert.deepEqual(ofHub, ['hubStarted', 'hubStarted', 'hubRecovered']);
  } finally {
    day.api.close();
    for (const { client } of day.fleet) client?.destroy();
    await day.hub[Symbol.asyncDispose]();
  }
});

/** Of those that each device's own record has; refusals are counted, detections are opinions. */
function isOfFleet({ type }: Told): boolean {
  return type === 'connected' || type === 'disconnected' || type.startsWith('identity');
}

const lineOf = ({ type, reason }: Told): string => (reason === undefined ? type : `${type} ${reason}`);

function failuresOf(all: readonly Told[]): [address: string, count: number][] {
  const failures = all.filter(({ type }) => type === 'authenticationFailed');
  return [...Map.groupBy(failures, ({ peer }) => String(peer))].map(([address, events]) => [
    address,
    events.reduce((sum, { count }) => sum + Number(count), 0),
  ]);
}

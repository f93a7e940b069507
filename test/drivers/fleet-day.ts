/**
 * A day of a fleet as a script that keeps a record of its own: devices connect in every way, flap, are taken over, disabled
 * (and try in vain to come back) and enabled, strangers try wrong keys from several addresses over TLS and plain MQTT, the
 * hub is killed and started again. `checkTold` compares what a reader of the monitoring stream has seen with the record,
 * event for event.
 */
import assert from 'node:assert/strict';
import { sendByHttp } from './fleet.ts';
import { startAttack } from './fleet-attack.ts';
import { dayArgs, PlayedFleet, windowMs } from './fleet-played.ts';
import { checkExact, checkSummed, ofDevices, refusalsOf } from './fleet-record.ts';
import type { TestHub } from './hub.ts';
import { MonitoringReader, type Told } from './monitoring.ts';

export { dayArgs };

export interface DayWish {
  readonly devices: number;
  readonly seed: number;
  /** How long strangers attack over TLS, and how long by plain MQTT. */
  readonly attackSeconds: number;
  note(text: string): void;
}

/** The size by variables: `MOORING_DAY_DEVICES`, `MOORING_DAY_ATTACK_SECONDS`, `MOORING_DAY_SEED`. */
export function dayByVariables(): Omit<DayWish, 'note'> {
  const { MOORING_DAY_DEVICES = 48, MOORING_DAY_ATTACK_SECONDS = 2, MOORING_DAY_SEED } = process.env;
  return {
    devices: Number(MOORING_DAY_DEVICES),
    attackSeconds: Number(MOORING_DAY_ATTACK_SECONDS),
    seed: Number(MOORING_DAY_SEED ?? Math.floor(Math.random() * 2 ** 31)),
  };
}

export class Day implements AsyncDisposable {
  readonly fleet: PlayedFleet;
  readonly #wish: DayWish;

  /** @param hub started with `dayArgs`; disposed of with the day */
  constructor(hub: TestHub, wish: DayWish) {
    this.#wish = wish;
    this.fleet = new PlayedFleet(hub, wish.seed);
  }

  get hub(): TestHub {
    return this.fleet.hub;
  }

  /** Plays the whole day. */
  async play(): Promise<void> {
    const { fleet } = this;
    await this.#timed('created', () => fleet.create(this.#wish.devices));
    await this.#timed('connected', async () => {
      for (const device of fleet.connectable) await fleet.connect(device);
    });
    await fleet.checkPresence();
    await this.#timed('flapped', async () => {
      for (let round = 0; round < 3; round++) await this.#flap();
    });
    await this.#timed('disabled, refused, enabled', () => this.#disable());
    for (const kind of ['tls', 'plain'] as const) await this.#timed(`attacked (${kind})`, () => this.#attack(kind));
    await this.#timed('killed and restarted', () => this.#crash());
    for (const device of fleet.some(fleet.connectable, 0.7)) await fleet.connect(device);
    await fleet.checkPresence();
  }

  /** Whether `told` has as many events of devices, and as many refusals, as the script knows of. */
  isComplete(told: readonly Told[]): boolean {
    const wanted = this.fleet.devices.reduce((sum, { record }) => sum + record.length, 0);
    return ofDevices(told).length >= wanted && refusalsOf(told).total >= this.fleet.refusals.total;
  }

  /** The stream, read from its start, is what the script has done. */
  async checkTold(all: readonly Told[]): Promise<void> {
    checkSummed(all, windowMs);
    checkExact(all, this.fleet.devices, this.fleet.refusals);
    const ofHub = all.filter(({ type }) => type.startsWith('hub'));
    assert.deepEqual(
      ofHub.map(({ type }) => type),
      ['hubStarted', 'hubStarted', 'hubRecovered'],
    );
    const crashed = ofDevices(all).filter(({ reason }) => reason === 'hub-crashed');
    assert.equal(ofHub[2].connectionsLost, crashed.length);
    assert.ok(!all.some(({ type }) => type === 'eventsMissed'));
    await this.fleet.checkTimes(all);
    const refused = all.filter(({ type }) => type === 'authenticationFailed');
    this.#wish.note(
      `${ofDevices(all).length} events of devices; ${refusalsOf(all).total} refusals told in ${refused.length} events`,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.fleet[Symbol.asyncDispose]();
  }

  async #timed(what: string, run: () => Promise<unknown>): Promise<void> {
    const started = performance.now();
    const said = await run();
    const more = typeof said === 'string' ? `: ${said}` : '';
    this.#wish.note(`${what} in ${((performance.now() - started) / 1000).toFixed(1)} s${more}`);
  }

  async #flap(): Promise<void> {
    const { fleet } = this;
    for (const device of fleet.some(fleet.connectable, 0.3)) {
      await fleet.leave(device);
      if (fleet.chance(0.8)) await fleet.connect(device);
    }
    for (const device of fleet.some(fleet.connectable, 0.1))
      if (device.client !== undefined) await fleet.connect(device);
    for (const sender of fleet.senders) await sendByHttp(fleet.hub, sender);
    await fleet.checkPresence();
  }

  async #disable(): Promise<void> {
    const { fleet } = this;
    const disabled = fleet.some(fleet.devices, 0.15);
    for (const device of disabled) await fleet.setStatus(device, 'disabled');
    await fleet.checkPresence();
    for (const device of disabled) await fleet.beRefused(device, 'disabled-identity');
    for (const device of disabled) await fleet.setStatus(device, 'enabled');
    await fleet.checkPresence();
  }

  /** Strangers attack from another process, while the fleet flaps on. */
  async #attack(kind: 'tls' | 'plain'): Promise<string> {
    const { fleet } = this;
    // A key that is tried on a device with a certificate is refused for another reason.
    const names = fleet.devices.filter(({ shown }) => shown === undefined).map(({ id }) => id);
    const attack = await startAttack(fleet.hub, kind, names, this.#wish.attackSeconds);
    try {
      let isOver = false;
      const ended = attack.connects.ended.finally(() => {
        isOver = true;
      });
      ended.catch(() => {});
      let flaps = 0;
      for (; !isOver; flaps++) {
        const device = fleet.connectable[(flaps * 7) % fleet.connectable.length];
        await fleet.leave(device);
        await fleet.connect(device);
      }
      const result = await ended;
      assert.deepEqual([result.refused, result.codes], [result.begun, { 5: result.begun }]);
      for (const [address, count] of Object.entries(result.refusedFrom))
        fleet.refusals.add('wrong-key', address, count);
      await fleet.checkPresence();
      await this.#untilRefusalsAreTold();
      return `${attack.describe(result)}, ${flaps} reconnections meanwhile`;
    } finally {
      attack.connects.close();
    }
  }

  /** The sums of an attack are told at the end of their window; then a crash may come. */
  async #untilRefusalsAreTold(): Promise<void> {
    await using early = await MonitoringReader.open(this.fleet.hub);
    await early.until((all) => refusalsOf(all).total >= this.fleet.refusals.total);
  }

  /** Kills the hub when the registry has written what presence knows, and starts it again. */
  async #crash(): Promise<void> {
    const { fleet } = this;
    await fleet.quiesce();
    const connected = fleet.devices.filter(({ client }) => client !== undefined);
    await fleet.kill();
    await fleet.restart();
    await fleet.crashed(connected);
    await fleet.checkPresence();
  }
}

/**
 * A fleet whose hub is killed in the middle: devices come and go side by side, strangers attack, and nobody waits for
 * anything to be written. What was there at the last checkpoint, and what a reader has been given, must be there after
 * the crash; of the rest a beginning (`checkBeginning`), and the registry says that nobody is connected.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAttack } from './fleet-attack.ts';
import { type Played, PlayedFleet } from './fleet-played.ts';
import { checkBeginning, checkExact, ofDevices, Refusals, refusalsOf } from './fleet-record.ts';
import type { TestHub } from './hub.ts';
import { MonitoringReader, type Told } from './monitoring.ts';

/** Players who each have devices of their own, one of them after the other. */
const PLAYERS = 6;
/** The kill comes within this time, by chance. */
const KILL_MS_MAX = 1500;
const ATTACK_SECONDS_MAX = 60;

export interface KillWish {
  readonly devices: number;
  readonly seed: number;
  note(text: string): void;
}

export class KilledDay implements AsyncDisposable {
  readonly fleet: PlayedFleet;
  readonly #wish: KillWish;
  /** What each device's record had at the checkpoint, or a reader has been given since. */
  readonly #kept = new Map<string, number>();
  #lengths = new Map<string, number>();
  /** As of the checkpoint. */
  readonly #connected = new Map<string, boolean>();
  readonly #touched = new Set<string>();
  #killedTime = 0;
  /** Refusals that a reader has been given before the crash, and attempts that were begun. */
  #refusalsSeen = 0;
  #attempts = 0;

  /** @param hub started with `dayArgs`; disposed of with the day */
  constructor(hub: TestHub, wish: KillWish) {
    this.#wish = wish;
    this.fleet = new PlayedFleet(hub, wish.seed);
  }

  async play(): Promise<void> {
    const { fleet } = this;
    await fleet.create(this.#wish.devices);
    for (const device of fleet.some(fleet.connectable, 0.7)) await fleet.connect(device);
    await this.#checkpoint();
    await this.#killInTheMiddle();
    await fleet.restart();
    await fleet.checkPresence();
    this.#lengths = lengthsOf(fleet);
    for (const device of fleet.some(fleet.connectable, 0.5)) await fleet.connect(device);
    await fleet.checkPresence();
  }

  /** Whether `told` has everything that came after the crash. */
  isComplete(told: readonly Told[]): boolean {
    return (
      ofDevices(behindCrash(told)).length >= this.#afterwards().reduce((sum, { record }) => sum + record.length, 0)
    );
  }

  /** The stream, read from its start, is what may be left of what the script has done, and all of what came afterwards. */
  checkTold(all: readonly Told[]): void {
    const recovered = all.findIndex(({ type }) => type === 'hubRecovered');
    const before = all.slice(0, recovered);
    const crashed = before.filter(({ reason }) => reason === 'hub-crashed');
    assert.equal(all[recovered].connectionsLost, crashed.length);
    const fleet = this.fleet.devices.map(({ id, record }) => ({
      id,
      record: record.slice(0, this.#lengths.get(id)),
      kept: this.#kept.get(id) ?? 0,
      leftConnected: this.#touched.has(id) ? undefined : this.#connected.get(id),
    }));
    const lost = checkBeginning(before, fleet, this.#killedTime);
    const refusals = refusalsOf(before).total;
    assert.ok(
      refusals >= this.#refusalsSeen && refusals <= this.#attempts,
      `${refusals} of ${this.#attempts} refusals`,
    );
    checkExact(behindCrash(all), this.#afterwards(), new Refusals());
    const events = fleet.reduce((sum, { record }) => sum + record.length, 0);
    const oldest = lost.events === 0 ? '' : `, the oldest ${lost.oldestMs} ms before the kill`;
    this.#wish.note(
      `${events} events of devices, ${lost.events} of them lost${oldest}; ${crashed.length} told as ended by the crash; ` +
        `${refusals} of ${this.#attempts} refusals told, ${this.#refusalsSeen} read before`,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.fleet[Symbol.asyncDispose]();
  }

  /** All that has happened is written, in the stream and in the registry. */
  async #checkpoint(): Promise<void> {
    const { fleet } = this;
    await fleet.quiesce();
    await fleet.checkPresence();
    this.#noteKept(fleet.devices.map(({ id, record }) => [id, record.length]));
    for (const { id, client } of fleet.devices) this.#connected.set(id, client !== undefined);
    await using reader = await MonitoringReader.open(fleet.hub);
    const wanted = fleet.devices.reduce((sum, { record }) => sum + record.length, 0);
    await reader.until((all) => ofDevices(all).length >= wanted);
  }

  async #killInTheMiddle(): Promise<void> {
    const { fleet } = this;
    const reader = await MonitoringReader.open(fleet.hub);
    const names = fleet.devices.filter(({ shown }) => shown === undefined).map(({ id }) => id);
    const attack = await startAttack(fleet.hub, 'plain', names, ATTACK_SECONDS_MAX);
    let kill: () => void = () => {};
    const killed = new Promise<void>((resolve) => {
      kill = resolve;
    });
    let isKilled = false;
    const players = Array.from({ length: PLAYERS }, async (_, player) => {
      const own = fleet.connectable.filter((_, at) => at % PLAYERS === player);
      // Half of them are left alone, and must be as they were.
      for (let turn = 0; !isKilled; turn++) {
        const played = this.#comeOrGo(own[turn % Math.ceil(own.length / 2)]).catch((error) => {
          if (!isKilled) throw error;
        });
        await Promise.race([played, killed]);
      }
    });
    const playing = Promise.all(players);
    await Promise.race([playing, reader.until((all) => refusalsOf(all).total > 0)]);
    await Promise.race([playing, sleep(200 + fleet.random() * KILL_MS_MAX)]);
    isKilled = true;
    this.#killedTime = Date.now();
    await fleet.kill();
    kill();
    await playing;
    this.#attempts = (await attack.connects.stop()).begun;
    attack.connects.close();
    await reader.close().catch(() => {});
    this.#noteKept(
      [...Map.groupBy(ofDevices(reader.all()), ({ deviceId }) => deviceId)].map(([id, own]) => [
        String(id),
        own.length,
      ]),
    );
    this.#refusalsSeen = refusalsOf(reader.all()).total;
  }

  async #comeOrGo(device: Played): Promise<void> {
    this.#touched.add(device.id);
    if (device.client !== undefined && this.fleet.chance(0.7)) await this.fleet.leave(device);
    else await this.fleet.connect(device);
  }

  #noteKept(lengths: readonly (readonly [id: string, length: number])[]): void {
    for (const [id, length] of lengths) this.#kept.set(id, Math.max(length, this.#kept.get(id) ?? 0));
  }

  /** What was done since the restart. */
  #afterwards() {
    return this.fleet.devices.map(({ id, record }) => ({ id, record: record.slice(this.#lengths.get(id)) }));
  }
}

function lengthsOf(fleet: PlayedFleet): Map<string, number> {
  return new Map(fleet.devices.map(({ id, record }) => [id, record.length]));
}

const behindCrash = (all: readonly Told[]): readonly Told[] => {
  const recovered = all.findIndex(({ type }) => type === 'hubRecovered');
  return recovered < 0 ? [] : all.slice(recovered + 1);
};

/**
 * Twins as devices and back ends see them: a device that listens is told of each change behind its subscription once and in order, and
 * of none that was before; what was answered is in the twin's history, which its events tell (`twin-history.ts`), and at that version;
 * what was refused is not.
 */
import type { TwinView } from '../../src/core/twins/room.ts';
import type { JsonObject, TwinChange } from '../../src/core/twins/types.ts';
import type { Directory } from './directory.ts';
import { type Epoch, historyOf, type SeenTwinEvent, sameJson } from './twin-history.ts';
import type { World } from './world.ts';

/** What a connection hears of desired properties, from its subscription on. */
export interface Listening {
  readonly deviceId: string;
  readonly generationId: string;
  /** A back end knew of this version before the device asked to be told. */
  readonly floor: number;
  /** Milliseconds of the simulation at which the hub had surely begun to tell; undefined = it has not said so. */
  since: number | undefined;
  /** The device has asked for it to end, or the connection has. */
  isOver: boolean;
  /** The oldest version of a change that was surely begun behind `since`. */
  due: number | undefined;
  first: number | undefined;
  last: number | undefined;
}

/** A change of a twin under way, named by what it writes. */
export interface Changing {
  readonly name: string;
  readonly deviceId: string;
  readonly begunAt: number;
  readonly ifMatch: string;
  outcome:
    | 'unknown'
    | 'refused'
    | { readonly generationId: string; readonly version: number; readonly section: number };
}

/** What a device was answered, or told. */
interface Observed {
  readonly deviceId: string;
  readonly generationId: string;
  readonly section: 'desired' | 'reported' | 'push';
  readonly version: number;
  readonly values: JsonObject;
}

export class TwinsChecker {
  readonly #world: World;
  readonly #directory: Directory;
  readonly #listening = new Map<string, Listening[]>();
  readonly #changes = new Map<string, Changing>();
  readonly #observed: Observed[] = [];
  /** Versions that a client was told of: of desired and of reported properties, by device and generation. */
  readonly #known = new Map<string, { desired: number; reported: number }>();

  constructor(world: World, directory: Directory) {
    this.#world = world;
    this.#directory = directory;
  }

  /** A device asks to be told of its desired properties, or comes back to a session that has asked. */
  listens(deviceId: string, generationId: string): Listening {
    const floor = this.#knownOf(deviceId, generationId).desired;
    const more = { since: undefined, isOver: false, due: undefined, first: undefined, last: undefined };
    const listening: Listening = { deviceId, generationId, floor, ...more };
    const all = (this.#listening.get(deviceId) ?? []).filter(({ isOver }) => !isOver);
    this.#listening.set(deviceId, [...all, listening]);
    return listening;
  }

  pushed(listening: Listening | undefined, deviceId: string, topicVersion: number, body: JsonObject): void {
    const world = this.#world;
    if (listening === undefined) {
      world.find(`${deviceId} was told of version ${topicVersion}, and has not asked`);
      return;
    }
    const { $version: version, ...values } = body;
    world.check(version === topicVersion, () => `${deviceId}: topic says ${topicVersion}, the body ${version}`);
    const { last, floor, due, generationId } = listening;
    world.counters.pushes++;
    world.check(topicVersion > floor, () => {
      return `${deviceId} was told of version ${topicVersion}, and ${floor} was known before it asked`;
    });
    world.check(last === undefined || topicVersion > last, () => {
      return `${deviceId} was told of version ${topicVersion} behind ${last}: twice or out of order`;
    });
    world.check(last === undefined || topicVersion <= last + 1, () => {
      return `${deviceId} was told of version ${topicVersion} behind ${last}: something was lost`;
    });
    world.check(last !== undefined || due === undefined || topicVersion <= due, () => {
      return `${deviceId} was told of version ${topicVersion} first, and ${due} came behind its subscription`;
    });
    listening.first ??= topicVersion;
    listening.last = topicVersion;
    this.#observed.push({ deviceId, generationId, section: 'push', version: topicVersion, values });
  }

  begins(name: string, deviceId: string, ifMatch: string): Changing {
    const begunAt = this.#world.scheduler.monotonic();
    const changing: Changing = { name, deviceId, begunAt, ifMatch, outcome: 'unknown' };
    this.#changes.set(name, changing);
    return changing;
  }

  refused(changing: Changing): void {
    changing.outcome = 'refused';
  }

  /** A device's report was answered with the version of its reported properties. */
  reported(changing: Changing, generationId: string, version: number): void {
    const { deviceId } = changing;
    changing.outcome = { generationId, version: 0, section: version };
    this.#world.counters.twinChanges++;
    const known = this.#knownOf(deviceId, generationId);
    known.reported = Math.max(known.reported, version);
  }

  /** A back end's change was answered with the twin. */
  changed(changing: Changing, change: TwinChange, { identity, twin }: TwinView): void {
    const { deviceId, ifMatch, begunAt } = changing;
    const { generationId } = identity;
    this.#world.counters.twinChanges++;
    const version = twin.changes + twin.reported.version;
    changing.outcome = { generationId, version, section: change.desired === undefined ? 0 : twin.desired.version };
    this.#world.check(ifMatch === '*' || Number(ifMatch) === twin.changes - 1, () => {
      return `${changing.name} asked for change ${ifMatch} of ${deviceId}, and became ${twin.changes}`;
    });
    if (change.desired === undefined) return;
    const known = this.#knownOf(deviceId, generationId);
    known.desired = Math.max(known.desired, twin.desired.version);
    for (const listening of this.#listening.get(deviceId) ?? []) {
      const { since, first, isOver } = listening;
      if (isOver || since === undefined || begunAt < since || listening.generationId !== generationId) continue;
      listening.due = Math.min(listening.due ?? twin.desired.version, twin.desired.version);
      this.#world.check(first === undefined || first <= twin.desired.version, () => {
        return `${deviceId} was told of version ${first} first, and ${twin.desired.version} came behind its subscription`;
      });
    }
  }

  /** What may not be older in the answer to a question that begins now. */
  knownTo(deviceId: string, generationId: string): { readonly desired: number; readonly reported: number } {
    return { ...this.#knownOf(deviceId, generationId) };
  }

  /** A device has read its twin. @param least as `knownTo` said when it asked */
  read(deviceId: string, generationId: string, least: { desired: number; reported: number }, text: string): void {
    const answer = JSON.parse(text) as Record<'desired' | 'reported', JsonObject>;
    for (const section of ['desired', 'reported'] as const) {
      const { $version, ...values } = answer[section];
      const version = Number($version);
      this.#world.check(version >= least[section], () => {
        return `${deviceId} read version ${version} of its ${section}, and ${least[section]} was known before`;
      });
      this.#observed.push({ deviceId, generationId, section, version, values });
    }
  }

  /** All is at rest. @param events of twins and identities as the event log has them, in its order */
  verify(events: readonly SeenTwinEvent[], twins: ReadonlyMap<string, TwinView>): void {
    const generations = new Map<string, Epoch>();
    for (const deviceId of this.#directory.ids) {
      const own = events.filter((event) => event.deviceId === deviceId);
      const epochs = historyOf(own, (what) => this.#world.find(`${deviceId}: ${what}`));
      this.#verifyChanges(deviceId, epochs, generations);
      this.#verifyLast(deviceId, epochs, twins.get(deviceId));
    }
    this.#verifyObserved(generations);
    for (const all of this.#listening.values()) for (const listening of all) this.#verifyListening(listening);
  }

  #verifyChanges(deviceId: string, epochs: readonly Epoch[], generations: Map<string, Epoch>): void {
    const world = this.#world;
    const places = new Map<string, { readonly epoch: Epoch; readonly at: number }>();
    for (const epoch of epochs) {
      for (const [at, { name }] of epoch.steps.entries()) {
        if (name === undefined) continue;
        world.check(!places.has(name), () => `${deviceId}: there are two events of ${name}`);
        places.set(name, { epoch, at });
        const change = this.#changes.get(name);
        world.check(
          change?.deviceId === deviceId,
          () => `${deviceId}: ${name} is an event, and nobody has asked for it`,
        );
        world.check(change?.outcome !== 'refused', () => `${deviceId}: ${name} is an event, and was refused`);
      }
    }
    for (const { name, outcome, ...change } of this.#changes.values()) {
      if (change.deviceId !== deviceId || typeof outcome === 'string') continue;
      const place = places.get(name);
      if (place === undefined) {
        world.find(
          `${deviceId}: ${name} was answered with version ${outcome.version || outcome.section}, and has no event`,
        );
        continue;
      }
      const step = place.epoch.steps[place.at];
      world.check(outcome.version === 0 || outcome.version === step.version, () => {
        return `${deviceId}: ${name} was answered with version ${outcome.version}, and its event says ${step.version}`;
      });
      world.check(outcome.section === 0 || outcome.section === step.section, () => {
        return `${deviceId}: ${name} was answered with version ${outcome.section}, and its event says ${step.section}`;
      });
      const known = generations.get(outcome.generationId);
      world.check(known === undefined || known === place.epoch, () => {
        return `${deviceId}: ${name} is an event of another generation than it was answered by`;
      });
      generations.set(outcome.generationId, place.epoch);
    }
  }

  /** The history ends in what is there. */
  #verifyLast(deviceId: string, epochs: readonly Epoch[], view: TwinView | undefined): void {
    const world = this.#world;
    const last = epochs.at(-1);
    const epoch = last?.isOver === false ? last : undefined;
    world.check((epoch === undefined) === (view === undefined), () => {
      return `${deviceId}: its events say that it is ${epoch === undefined ? 'gone' : 'there'}, and it is not so`;
    });
    if (epoch === undefined || view === undefined) return;
    const { twin } = view;
    const version = twin.changes + twin.reported.version;
    world.check(
      version === epoch.version,
      () => `${deviceId}: its events end at ${epoch.version}, its twin at ${version}`,
    );
    for (const [name, told, is] of [
      ['tags', epoch.tags, twin.tags],
      ['desired', epoch.desired.values, twin.desired.values],
      ['reported', epoch.reported.values, twin.reported.values],
    ] as const) {
      world.check(sameJson(told, is), () => {
        return `${deviceId}: ${name} are ${JSON.stringify(is)}, and by its events ${JSON.stringify(told)}`;
      });
    }
  }

  /** What devices saw was so. */
  #verifyObserved(generations: ReadonlyMap<string, Epoch>): void {
    for (const { deviceId, generationId, section, version, values } of this.#observed) {
      const epoch = generations.get(generationId);
      if (epoch === undefined) continue;
      const due = section === 'push' ? epoch.desired.patches.get(version) : epoch[section].states.get(version);
      this.#world.check(due !== undefined && sameJson(due, values), () => {
        return `${deviceId} saw ${section} ${version} as ${JSON.stringify(values)}, and it was ${JSON.stringify(due)}`;
      });
    }
  }

  /** Nothing is under way: what a device was to be told of it has been told of. */
  #verifyListening({ deviceId, generationId, isOver, due, last }: Listening): void {
    if (isOver) return;
    const { desired } = this.#knownOf(deviceId, generationId);
    this.#world.check(due === undefined || (last ?? 0) >= desired, () => {
      return `${deviceId} listens, was told of version ${last}, and the newest is ${desired}: something was lost`;
    });
  }

  #knownOf(deviceId: string, generationId: string) {
    const name = `${deviceId} ${generationId}`;
    const known = this.#known.get(name) ?? { desired: 1, reported: 1 };
    this.#known.set(name, known);
    return known;
  }
}

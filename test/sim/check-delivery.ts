/**
 * Holds what endpoints have taken, and what readers were given, against the log: each event that routes lead to an endpoint is there, first
 * appearances in order, as it is stored; no other event is; and readers are not given what is routed only elsewhere, and everything else.
 * An event is routed by routes that were in force when the hub took it.
 */
import { HIDDEN_MARK } from '../../src/core/events/ports.ts';
import { routingMark } from '../../src/records/record-codec.ts';
import { type EventsChecker, routedBy } from './check-events.ts';
import type { SentEvent } from './endpoint.ts';
import { RoutesInForceThen, type Wish, wishOf } from './routes-in-force.ts';
import type { World } from './world.ts';

/** A reader began with `sequence`, because it is the first one from that time on. */
interface BegunByTime {
  readonly partition: number;
  readonly sequence: number;
  readonly time: number;
}

export class DeliveryChecker {
  readonly #world: World;
  readonly endpoints: readonly string[];
  readonly inForce = new RoutesInForceThen();
  /** By endpoint and partition: the records that were taken, in order of first appearance. */
  readonly #taken = new Map<string, Map<number, Buffer>[]>();
  /** By partition: what readers were given, and what they were not given although they asked for it. */
  readonly #given: Set<number>[];
  readonly #passedOver: Set<number>[];
  readonly #begunByTime: BegunByTime[] = [];

  constructor(world: World) {
    this.#world = world;
    const { endpoints, partitions } = world.plan;
    this.endpoints = Array.from({ length: endpoints }, (_, nth) => `elsewhere${nth}`);
    const ofEach = <Value>(make: () => Value): Value[] => Array.from({ length: partitions }, make);
    for (const name of this.endpoints)
      this.#taken.set(
        name,
        ofEach(() => new Map()),
      );
    this.#given = ofEach(() => new Set());
    this.#passedOver = ofEach(() => new Set());
  }

  /** Whether there may be events that readers do not see. */
  get mayHide(): boolean {
    return this.endpoints.length > 0;
  }

  /** An endpoint has taken these, whether or not the hub hears of it. */
  taken(endpoint: string, partition: number, events: readonly SentEvent[]): void {
    const { counters } = this.#world;
    const known = this.#taken.get(endpoint)?.[partition] ?? new Map();
    let last = [...known.keys()].at(-1) ?? -1;
    for (const { sequence, record, enrichments } of events) {
      const text = JSON.stringify(enrichments);
      this.#world.check(text === '[["hub","mooring"]]', () => `${endpoint} was given ${sequence} with ${text}`);
      const before = known.get(sequence);
      if (before !== undefined) {
        counters.deliveredAgain++;
        this.#world.check(before.equals(record), () => `${endpoint} was given ${partition}-${sequence} in two forms`);
        continue;
      }
      counters.delivered++;
      this.#world.check(sequence > last, () => `${endpoint} was given ${partition}-${sequence} behind ${last}`);
      known.set(sequence, record);
      last = sequence;
    }
  }

  /** A reader was given this event. */
  given(partition: number, sequence: number): void {
    if (this.mayHide) this.#given[partition].add(sequence);
  }

  /** A reader that asked for the events from `from` on was given `to` first. */
  passedOver(partition: number, from: number, to: number): void {
    for (let sequence = from; sequence < to; sequence++) this.#passedOver[partition].add(sequence);
  }

  /** A reader that asked for the events from `time` on was given `sequence` first. */
  begunByTime(partition: number, sequence: number, time: number): void {
    this.#begunByTime.push({ partition, sequence, time });
  }

  /** All is calm, and the log was read to its end. */
  verify(events: EventsChecker): void {
    if (!this.mayHide) return;
    for (let partition = 0; partition < this.#given.length; partition++) this.#verify(partition, events);
  }

  /** What routes in force have said of it, and its record says. */
  #wishOf(record: Buffer, place: string): Wish {
    const { source, kind, time } = routedBy(record);
    // Where the wall clock jumps, a time says nothing; routes do not change there.
    const variants = this.#world.plan.clockJumpEveryMs > 0 ? this.inForce.ever : this.inForce.at(time);
    const wishes = [...variants].map((variant) => wishOf(variant, source, kind, this.endpoints));
    const mark = routingMark(record, 0);
    const isMarked = ({ endpoints, isShown }: Wish): boolean =>
      isShown === ((mark & HIDDEN_MARK) === 0) &&
      this.endpoints.every((name, slot) => endpoints.includes(name) === ((mark & (1 << slot)) !== 0));
    const found = wishes.find(isMarked);
    this.#world.check(found !== undefined, () => `${place} is routed by routes that were not in force`);
    return found ?? { endpoints: [], isShown: true };
  }

  #verify(partition: number, events: EventsChecker): void {
    const world = this.#world;
    const stored = events.stored(partition);
    const wishes = stored.map(({ bytes }, sequence) => this.#wishOf(bytes, `${partition}-${sequence}`));
    for (const name of this.endpoints) {
      const taken = this.#taken.get(name)?.[partition] ?? new Map<number, Buffer>();
      for (const [sequence, { endpoints }] of wishes.entries()) {
        const [isWanted, record] = [endpoints.includes(name), taken.get(sequence)];
        world.check(!isWanted || record !== undefined, () => `${partition}-${sequence} has never come to ${name}`);
        world.check(
          isWanted || record === undefined,
          () => `${partition}-${sequence} is not for ${name}, and is there`,
        );
        const isSame = record === undefined || record.equals(stored[sequence].bytes);
        world.check(isSame, () => `${partition}-${sequence} is at ${name} otherwise than it is stored`);
      }
      const invented = [...taken.keys()].find((sequence) => sequence >= stored.length);
      world.check(invented === undefined, () => `${name} has ${partition}-${invented}, which is not in the log`);
    }
    for (const [sequence, { isShown }] of wishes.entries()) {
      const place = `${partition}-${sequence}`;
      world.check(
        isShown || !this.#given[partition].has(sequence),
        () => `readers were given ${place}, for others only`,
      );
      world.check(!isShown || !this.#passedOver[partition].has(sequence), () => `a reader was not given ${place}`);
    }
    for (const { sequence, time } of this.#begunByTime.filter((each) => each.partition === partition)) {
      const before = wishes.findLastIndex(({ isShown }, at) => isShown && at < sequence);
      world.check(before < 0 || stored[before].time < time, () => {
        return `partition ${partition}: reading from time ${time} on began with ${sequence}, behind ${before}`;
      });
    }
  }
}

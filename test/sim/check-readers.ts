/**
 * Readers of events by AMQP: each gets what it asked for from there on, without a gap and nothing twice, as it is stored;
 * and the owner of a partition is alone on it.
 */
import { type BareMessage, readBareMessage } from '../../src/wire/amqp/bare-message.ts';
import type { DeliveryChecker } from './check-delivery.ts';
import type { EventsChecker } from './check-events.ts';
import type { World } from './world.ts';

/** Where a reader begins. */
export type Start =
  | { readonly kind: 'start' }
  /** Behind what was there: so many events had been seen when it asked. */
  | { readonly kind: 'end'; readonly seen: number }
  | { readonly kind: 'sequence'; readonly sequence: number; readonly inclusive: boolean }
  | { readonly kind: 'time'; readonly time: number };

/** One link of a reader. */
export interface Reading {
  readonly partition: number;
  readonly start: Start;
  readonly epoch: number | undefined;
  /** The truth of the hub's side. */
  readonly link: { readonly isHeld: boolean };
  next: number | undefined;
}

const OFFSET_BASE = 1e15;

export class ReadersChecker {
  readonly #world: World;
  readonly #events: EventsChecker;
  /** Which events readers do not see is told at the end. */
  readonly #hidden: DeliveryChecker;
  #readings: Reading[] = [];

  constructor(world: World, events: EventsChecker, hidden: DeliveryChecker) {
    this.#world = world;
    this.#events = events;
    this.#hidden = hidden;
  }

  /** The hub has opened the link. */
  opened(reading: Reading): void {
    this.#readings = this.#readings.filter(({ link }) => link.isHeld);
    const others = this.#readings.filter(({ partition }) => partition === reading.partition);
    this.#readings.push(reading);
    const { epoch, partition } = reading;
    for (const other of others) {
      this.#world.check(epoch === undefined && other.epoch === undefined, () => {
        return `partition ${partition} is read with epoch ${epoch} and epoch ${other.epoch}`;
      });
    }
  }

  received(reading: Reading, payload: Buffer): void {
    const { partition } = reading;
    const message = readBareMessage(payload);
    const [sequence, time] = [annotation(message, 'x-opt-sequence-number'), timeOf(message)];
    this.#world.check(annotation(message, 'x-opt-offset') === OFFSET_BASE + sequence, () => {
      return `partition ${partition}: number ${sequence} has offset ${annotation(message, 'x-opt-offset')}`;
    });
    if (reading.next === undefined) this.#first(reading, sequence, time);
    else {
      const { next } = reading;
      const holds = this.#hidden.mayHide ? sequence >= next : sequence === next;
      this.#world.check(holds, () => `partition ${partition}: a reader was given ${sequence} where ${next} was due`);
      this.#hidden.passedOver(partition, next, sequence);
    }
    this.#hidden.given(partition, sequence);
    reading.next = sequence + 1;
    this.#events.delivered(partition, sequence, time, payload);
    this.#world.counters.eventsRead++;
  }

  #first({ partition, start }: Reading, sequence: number, time: number): void {
    if (this.#hidden.mayHide) this.#firstShown(partition, start, sequence);
    const mayBegin = (due: number): boolean => (this.#hidden.mayHide ? sequence >= due : sequence === due);
    const before = sequence === 0 || this.#hidden.mayHide ? undefined : this.#events.timeOf(partition, sequence - 1);
    const holds = {
      start: () => mayBegin(0),
      end: () => start.kind === 'end' && sequence >= start.seen,
      sequence: () => start.kind === 'sequence' && mayBegin(start.sequence + (start.inclusive ? 0 : 1)),
      time: () => start.kind === 'time' && time >= start.time && (before === undefined || before < start.time),
    }[start.kind]();
    this.#world.check(holds, () => {
      return `partition ${partition}: reading from ${JSON.stringify(start)} began with ${sequence} of time ${time}, behind ${before}`;
    });
  }

  /** What lies between the place that was asked for and the first event is what readers do not see. */
  #firstShown(partition: number, start: Start, sequence: number): void {
    if (start.kind === 'start') this.#hidden.passedOver(partition, 0, sequence);
    else if (start.kind === 'time') this.#hidden.begunByTime(partition, sequence, start.time);
    else if (start.kind === 'sequence')
      this.#hidden.passedOver(partition, start.sequence + (start.inclusive ? 0 : 1), sequence);
  }
}

function annotation({ annotations }: BareMessage, name: string): number {
  return Number(annotations.get(name));
}

function timeOf({ annotations }: BareMessage): number {
  return Date.parse(annotations.get('x-opt-enqueued-time') ?? '');
}

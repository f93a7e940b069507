/**
 * Holds what readers see against what devices sent and were told: each acknowledged message is there, in order of first
 * appearance per device and in one partition; nothing was invented or changed; sequence numbers are contiguous and stand
 * for one event for ever; enqueued times never go back.
 */
import rhea from 'rhea';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { EventRun } from '../../src/core/events/types.ts';
import { patchEventAnnotations, RECORD_HEADER_BYTES } from '../../src/wire/amqp/record.ts';
import type { SeenTwinEvent } from './twin-history.ts';
import type { World } from './world.ts';

const READ_BYTES = 64 * 1024;

/** Of what was sent under a policy's token: the generation that there was. */
export const ANY_GENERATION = '*';

/** A message as a device wrote it. */
interface Sent {
  readonly body: string;
  readonly property: string | undefined;
  /** Of the connections that it went over. */
  readonly generations: Set<string>;
  /** How often it was written to a connection. */
  times: number;
  /** So many kills of the hub were before it was written last. */
  lastLife: number;
  acknowledged: boolean;
}

export interface Stored {
  readonly bytes: Buffer;
  readonly time: number;
}

export class EventsChecker {
  readonly #world: World;
  /** By `{device}:{number}`; what a device sends another way at the same time has numbers of its own: `{device}.http:{number}`. */
  readonly #sent = new Map<string, Sent>();
  readonly #stored: (Stored | undefined)[][];
  /** Messages that readers were given before anybody has seen the record. */
  readonly #delivered: Map<number, Stored>[];
  /** Those of twins and identities, as the last `verify` found them; of each device in order. */
  twinEvents: readonly SeenTwinEvent[] = [];

  constructor(world: World) {
    this.#world = world;
    this.#stored = Array.from({ length: world.plan.partitions }, () => []);
    this.#delivered = this.#stored.map(() => new Map());
  }

  sent(name: string, body: string, property: string | undefined, generationId: string): void {
    const { crashes } = this.#world.counters;
    const sent = this.#sent.get(name) ?? {
      ...{ body, property, times: 0, lastLife: crashes, acknowledged: false },
      generations: new Set<string>(),
    };
    sent.times++;
    sent.lastLife = crashes;
    sent.generations.add(generationId);
    this.#sent.set(name, sent);
    this.#world.counters.events++;
  }

  acknowledged(name: string): void {
    const sent = this.#sent.get(name);
    this.#world.check(sent !== undefined, () => `${name} was acknowledged and never sent`);
    if (sent !== undefined) sent.acknowledged = true;
    this.#world.counters.acknowledgements++;
  }

  /** A reader was given these. */
  seen(partition: number, runs: readonly EventRun[]): void {
    for (const run of runs) {
      let at = run.start;
      for (let nth = 0; nth < run.count; nth++) {
        const length = run.bytes.readUInt32LE(at);
        this.#see(partition, run.firstSequence + nth, run.bytes.subarray(at + 4, at + 4 + length), run.time);
        at += 4 + length;
      }
      this.#world.check(at === run.end, () => `partition ${partition}: a run's bytes end at ${at}, not at ${run.end}`);
    }
  }

  /** A reader was given this message under this number. */
  delivered(partition: number, sequence: number, time: number, payload: Buffer): void {
    const known = this.#stored[partition][sequence];
    if (known !== undefined) this.#compareDelivered(partition, sequence, known, { time, bytes: payload });
    else this.#delivered[partition].set(sequence, { time, bytes: payload });
  }

  /** How many events of the partition have surely been there. */
  seenCount(partition: number): number {
    return Math.max(this.#stored[partition].length, ...[...this.#delivered[partition].keys()].map((last) => last + 1));
  }

  /** Of an event that was seen. */
  timeOf(partition: number, sequence: number): number | undefined {
    return (this.#stored[partition][sequence] ?? this.#delivered[partition].get(sequence))?.time;
  }

  /** The records of a partition, by their numbers, as far as they were read. */
  stored(partition: number): readonly Stored[] {
    return this.#stored[partition].filter((event) => event !== undefined);
  }

  /** Reads everything, and compares it with everything that was sent. */
  async verify(log: EventLog): Promise<void> {
    // Others are acknowledged while this reads.
    const due = [...this.#sent].filter(([, { acknowledged }]) => acknowledged).map(([name]) => name);
    /** How far each partition was read. More comes while this reads, and readers see it: it is held against what there was before. */
    const ends: number[] = [];
    for (let partition = 0; partition < log.partitionCount; partition++) {
      const delivered = [...this.#delivered[partition].keys()];
      const stored = this.#stored[partition].length;
      const { lastSequence } = log.lastKnown(partition);
      let from = await log.seek(partition, { kind: 'start' });
      for (;;) {
        const runs = await log.read(partition, from, READ_BYTES);
        if (runs.length === 0) break;
        this.seen(partition, runs);
        const last = runs[runs.length - 1];
        const next = last.firstSequence + last.count;
        if (next <= from) {
          this.#world.find(`partition ${partition}: reading from ${from} leads to ${next}`);
          return;
        }
        from = next;
      }
      this.#world.check(from >= stored, () => {
        return `partition ${partition}: ${stored} events were read once, now there are ${from}`;
      });
      this.#world.check(from >= lastSequence + 1, () => `partition ${partition}: the last event cannot be read`);
      const missing = delivered.filter((sequence) => this.#delivered[partition].has(sequence));
      this.#world.check(missing.length === 0, () => {
        return `partition ${partition}: ${missing.length} events were delivered and are not there`;
      });
      ends.push(from);
    }
    if (this.#world.finding === undefined) this.#compare(due, ends);
  }

  /** Delivered is what was stored, with what only the log knows written into it. */
  #compareDelivered(partition: number, sequence: number, stored: Stored, delivered: Stored): void {
    const due = Buffer.from(stored.bytes.subarray(RECORD_HEADER_BYTES));
    patchEventAnnotations(due, 0, sequence, stored.time);
    this.#world.check(due.equals(delivered.bytes), () => {
      return `partition ${partition}: number ${sequence} (${textOf(stored.bytes)}) was delivered otherwise than it is stored`;
    });
  }

  #see(partition: number, sequence: number, bytes: Buffer, time: number): void {
    const stored = this.#stored[partition];
    const known = stored[sequence];
    if (known === undefined) {
      const seen = { bytes: Buffer.from(bytes), time };
      stored[sequence] = seen;
      const delivered = this.#delivered[partition].get(sequence);
      this.#delivered[partition].delete(sequence);
      if (delivered !== undefined) this.#compareDelivered(partition, sequence, seen, delivered);
      return;
    }
    this.#world.check(known.time === time && known.bytes.equals(bytes), () => {
      return `partition ${partition}: number ${sequence} was ${textOf(known.bytes)}, and is ${textOf(bytes)}`;
    });
  }

  #compare(due: readonly string[], ends: readonly number[]): void {
    const world = this.#world;
    const appearances = new Map<string, number>();
    const orders = new Map<string, FirstAppearances>();
    const places = new Map<string, number>();
    const twinEvents: SeenTwinEvent[] = [];
    const told = new Set<string>();
    for (const [partition, stored] of this.#stored.entries()) {
      let time = 0;
      for (let sequence = 0; sequence < ends[partition]; sequence++) {
        const event = stored[sequence];
        if (event === undefined) {
          world.find(`partition ${partition}: number ${sequence} is missing`);
          continue;
        }
        world.check(event.time >= time, () => `partition ${partition}: time goes back at ${sequence}`);
        time = event.time;
        const { deviceId, generationId, name, body, property, opType, correlationId } = decoded(event.bytes);
        if (opType !== undefined) {
          this.#checkPlace(places, deviceId, partition);
          // On Kafka and PostgreSQL they are written again where the answer was lost that they had been.
          if (!(world.plan.cluster && told.has(correlationId)))
            twinEvents.push({ deviceId, opType, body: JSON.parse(body) });
          told.add(correlationId);
          continue;
        }
        const sent = this.#sent.get(name);
        if (
          sent === undefined ||
          sent.body !== body ||
          sent.property !== property ||
          !(sent.generations.has(generationId) || sent.generations.has(ANY_GENERATION))
        ) {
          world.find(
            `partition ${partition}: number ${sequence} (${deviceId} ${generationId} ${name}) was never sent so`,
          );
          continue;
        }
        const stream = name.split(':')[0];
        world.check(stream.split('.')[0] === deviceId, () => `${name} is said to be of ${deviceId}`);
        this.#checkPlace(places, deviceId, partition);
        const count = (appearances.get(name) ?? 0) + 1;
        appearances.set(name, count);
        world.check(count <= sent.times, () => `${name} was sent ${sent.times} times and is there more often`);
        const number = Number(name.split(':')[1]);
        if (count > 1 || Number.isNaN(number)) continue;
        const order = orders.get(stream) ?? new FirstAppearances();
        orders.set(stream, order);
        const mayBeLate = world.plan.cluster && !sent.acknowledged;
        const before = order.lastBefore(mayBeLate ? sent.lastLife : Number.POSITIVE_INFINITY);
        world.check(number > before, () => `${name} appears first behind ${stream}:${before}`);
        order.add(number, sent.lastLife);
      }
    }
    for (const name of due) {
      world.check(appearances.has(name), () => `${name} was acknowledged and is not there`);
    }
    this.twinEvents = twinEvents;
  }

  #checkPlace(places: Map<string, number>, deviceId: string, partition: number): void {
    const place = places.get(deviceId) ?? partition;
    places.set(deviceId, place);
    this.#world.check(place === partition, () => `${deviceId} has events in partitions ${place} and ${partition}`);
  }
}

/**
 * How far a device's messages have come, by the life of the hub in which each was sent last. A batch that a killed hub had sent to Kafka may
 * be held up by the network, and arrive behind what later lives have stored: what was not acknowledged and not sent to those again.
 */
class FirstAppearances {
  /** By lives of the hub: the highest number. */
  readonly #last: number[] = [];

  add(number: number, life: number): void {
    this.#last[life] = Math.max(number, this.#last[life] ?? -1);
  }

  /** Of what was not sent in any life of the hub behind this one. */
  lastBefore(life: number): number {
    return this.#last.reduce((most, number, of) => (of <= life ? Math.max(most, number) : most), -1);
  }
}

function decoded(record: Buffer) {
  const message = rhea.message.decode(record.subarray(RECORD_HEADER_BYTES)) as unknown as {
    readonly correlation_id?: string;
    readonly message_annotations: Readonly<Record<string, string>>;
    readonly application_properties?: Readonly<Record<string, string>>;
    readonly body: { readonly content: Buffer };
  };
  const body = message.body.content.toString('latin1');
  return {
    deviceId: message.message_annotations['iothub-connection-device-id'],
    generationId: message.message_annotations['iothub-connection-auth-generation-id'],
    source: message.message_annotations['iothub-message-source'],
    property: message.application_properties?.kind,
    hubTime: Number(message.message_annotations['iothub-enqueuedtime']),
    /** Of an event of a twin or an identity. */
    opType: message.application_properties?.opType,
    /** Of such an event: names it. */
    correlationId: String(message.correlation_id),
    body,
    name: body.split('|')[0],
  };
}

/** What routes ask of an event: its source, as the record has it, and the property `kind`; and when the hub took it. */
export function routedBy(record: Buffer): {
  readonly source: string;
  readonly kind: string | undefined;
  readonly time: number;
} {
  const { source, property, hubTime } = decoded(record);
  return { source, kind: property, time: hubTime };
}

function textOf(record: Buffer): string {
  return decoded(record).name;
}

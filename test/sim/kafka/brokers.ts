/**
 * Three brokers of the simulation, which outlive the hub's process. Each dies, or hangs, now and then: acknowledgements of all partitions wait
 * then until the others go on without it, and what its followers did not have of its partitions is gone. A broker that hangs is not told that
 * others lead by now, and answers what it was asked when it goes on. Answers get lost, with their connection; what was on its way to a
 * broker over a connection that has ended arrives all the same, later than what came behind it over another one.
 */
import { type Api, apis } from '../../../src/wire/kafka/apis.ts';
import type { FieldReader } from '../../../src/wire/kafka/fields.ts';
import { offsetOf } from '../../../src/wire/kafka/records-requests.ts';
import type { Dice, World } from '../world.ts';
import {
  type AskedBatch,
  type AskedPlace,
  fetchAnswer,
  type Leader,
  listOffsetsAnswer,
  metadataAnswer,
  type ProducedAnswer,
  produceAnswer,
  producerIdAnswer,
  readFetch,
  readListOffsets,
  readProduce,
} from './answers.ts';
import { SimulatedPartition } from './partition.ts';

export const BROKERS = 3;
export const TOPIC = 'mooring';

const OUT_OF_RANGE = 1;
const NOT_LEADER = 6;
const TIMED_OUT = 7;
const LOADING = 14;
const TOO_FEW_REPLICAS = 19;
const TOO_FEW_REPLICAS_AFTER_APPEND = 20;

/** Until followers hold a batch, until all brokers know of a new leader (means), and until a broker that is silent is left out. */
const REPLICATION_MS = 2;
const NEWS_MS = 200;
const SESSION_MS = 3000;
const DOWN_MS = 8000;

export interface SimulatedBroker {
  readonly id: number;
  isDown: boolean;
  /** It answers nothing until then, in the simulation's time. */
  heldUntil: number;
  /** As it knows them; others may lead by now. */
  leaders: readonly Leader[];
  /** Ends the connections to it. */
  readonly connections: Set<() => void>;
}

export class SimulatedBrokers {
  readonly brokers: readonly SimulatedBroker[];
  readonly #world: World;
  readonly #dice: Dice;
  readonly #partitions: readonly SimulatedPartition[];
  /** Monotonic; followers that are silent keep everything from being held by all until then. */
  #slowUntil = 0;
  #producers = 0n;

  constructor(world: World) {
    this.#world = world;
    this.#dice = world.dice('brokers');
    const { partitions } = world.plan;
    this.#partitions = Array.from({ length: partitions }, (_, nth) => new SimulatedPartition(nth % BROKERS));
    const leaders = this.#leaders();
    this.brokers = Array.from({ length: BROKERS }, (_, id) => ({
      ...{ id, isDown: false, heldUntil: 0, leaders, connections: new Set<() => void>() },
    }));
    if (world.plan.brokerFaultEveryMs > 0) this.#planFault();
  }

  async answer(broker: SimulatedBroker, api: Api, body: Buffer): Promise<FieldReader> {
    const { scheduler } = this.#world;
    const heldMs = broker.heldUntil - scheduler.monotonic();
    if (heldMs > 0) await scheduler.sleep(heldMs);
    switch (api.key) {
      case apis.metadata.key:
        return metadataAnswer(
          TOPIC,
          this.brokers.filter(({ isDown }) => !isDown).map(({ id }) => id),
          broker.leaders,
        );
      case apis.initProducerId.key:
        return this.#isFaulty() ? producerIdAnswer(LOADING, -1n) : producerIdAnswer(0, ++this.#producers);
      case apis.produce.key: {
        const { waitMs, batches } = readProduce(body);
        const appended = batches.map((batch) => this.#append(broker, batch, waitMs));
        return produceAnswer(TOPIC, await Promise.all(appended));
      }
      case apis.fetch.key: {
        const { waitMs, places } = readFetch(body);
        if (waitMs > 0 && !places.some((place) => this.#hasNews(broker, place))) await this.#news(places, waitMs);
        const fetched = places.map((place) => this.#read(broker, place));
        return fetchAnswer(TOPIC, fetched);
      }
      case apis.listOffsets.key:
        return listOffsetsAnswer(
          TOPIC,
          readListOffsets(body).map(({ partition, time }) => this.#list(broker, partition, time)),
        );
    }
    throw new Error(`the simulation's brokers do not know ${api.name}`);
  }

  async #append(broker: SimulatedBroker, { partition, bytes }: AskedBatch, waitMs: number): Promise<ProducedAnswer> {
    const { scheduler } = this.#world;
    const kept = this.#partitions[partition];
    const said = (error: number): ProducedAnswer => ({ partition, error, first: -1, time: -1 });
    if (kept.leader !== broker.id) return said(NOT_LEADER);
    if (this.#isFaulty()) return said(TOO_FEW_REPLICAS);
    const appended = kept.append(bytes, this.#world.logNow);
    if (appended.error !== 0) return said(appended.error);
    const { leaderEpoch } = kept;
    const until = scheduler.monotonic() + waitMs;
    await scheduler.sleep(this.#dice.wait(REPLICATION_MS));
    while (kept.committed < appended.next) {
      if (kept.leaderEpoch !== leaderEpoch) return said(NOT_LEADER);
      if (scheduler.monotonic() > until) return said(TIMED_OUT);
      const slowMs = this.#slowUntil - scheduler.monotonic();
      if (slowMs > 0) await scheduler.sleep(Math.min(slowMs, 100));
      else kept.commit(appended.next);
    }
    if (kept.leaderEpoch !== leaderEpoch) return said(NOT_LEADER);
    if (this.#isFaulty()) return said(this.#dice.pick([TIMED_OUT, TOO_FEW_REPLICAS_AFTER_APPEND]));
    return { partition, error: 0, first: appended.first, time: appended.time };
  }

  #hasNews(broker: SimulatedBroker, { partition, offset }: AskedPlace): boolean {
    const { leader, committed } = this.#partitions[partition];
    return leader !== broker.id || committed !== offset;
  }

  #news(places: readonly AskedPlace[], waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const ends: (() => void)[] = [];
      const wake = (): void => {
        for (const end of ends) end();
        resolve();
      };
      ends.push(this.#world.scheduler.after(waitMs, wake));
      for (const { partition } of places) ends.push(this.#partitions[partition].whenCommitted(wake));
    });
  }

  #read(broker: SimulatedBroker, { partition, offset, bytesMax }: AskedPlace) {
    const { leader, committed } = this.#partitions[partition];
    const said = (error: number) => ({ partition, error, end: committed, records: Buffer.alloc(0) });
    if (leader !== broker.id) return said(NOT_LEADER);
    if (offset > committed) return said(OUT_OF_RANGE);
    return { ...said(0), records: this.#partitions[partition].read(offset, bytesMax) };
  }

  #list(broker: SimulatedBroker, partition: number, time: number) {
    const kept = this.#partitions[partition];
    const said = (offset: number, at = -1, error = 0) => ({ partition, error, time: at, offset });
    if (kept.leader !== broker.id) return said(-1, -1, NOT_LEADER);
    if (time === offsetOf.end) return said(kept.committed);
    if (time === offsetOf.start) return said(0);
    if (time === offsetOf.largestTime) return said(kept.committed - 1, kept.lastTime);
    const found = kept.since(time);
    return found === undefined ? said(-1) : said(found.offset, found.time);
  }

  #isFaulty(): boolean {
    return !this.#world.calm && this.#dice.chance(this.#world.plan.brokerFaultRate);
  }

  #leaders(): readonly Leader[] {
    return this.#partitions.map(({ leader, leaderEpoch }) => ({ leader, leaderEpoch }));
  }

  #planFault(): void {
    const { scheduler, plan } = this.#world;
    scheduler.after(this.#dice.wait(plan.brokerFaultEveryMs), () => {
      if (this.#world.calm) return;
      // Two that are away are no cluster any more: nothing is elected, and all waits.
      const now = scheduler.monotonic();
      if (this.brokers.every(({ isDown, heldUntil }) => !isDown && heldUntil <= now)) this.#fail();
      this.#planFault();
    });
  }

  #fail(): void {
    const { scheduler, counters } = this.#world;
    const broker = this.#dice.pick(this.brokers);
    const hangs = this.#dice.chance(0.4);
    const awayMs = this.#dice.wait(DOWN_MS);
    counters.brokerFaults++;
    this.#world.trace('brokers', `broker ${broker.id} ${hangs ? 'hangs' : 'dies'} for ${awayMs.toFixed(0)} ms`);
    const now = scheduler.monotonic();
    if (hangs) broker.heldUntil = now + awayMs;
    else {
      broker.isDown = true;
      for (const end of [...broker.connections]) end();
      scheduler.after(awayMs, () => {
        broker.isDown = false;
        broker.leaders = this.#leaders();
      });
    }
    const leftOutMs = Math.min(awayMs, SESSION_MS);
    this.#slowUntil = now + leftOutMs;
    if (awayMs > SESSION_MS) scheduler.after(SESSION_MS, () => this.#elect(broker));
  }

  /** The others lead what the broker has led. Each has of it what is committed, and perhaps more. */
  #elect(gone: SimulatedBroker): void {
    for (const partition of this.#partitions) {
      if (partition.leader !== gone.id) continue;
      const others = this.brokers.filter(({ id }) => id !== gone.id);
      partition.lead(this.#dice.pick(others).id, this.#dice.between(0, partition.uncommitted()));
    }
    const { scheduler } = this.#world;
    const now = scheduler.monotonic();
    for (const broker of this.brokers) {
      const heldMs = Math.max(0, broker.heldUntil - now);
      scheduler.after(heldMs + this.#dice.wait(NEWS_MS), () => {
        broker.leaders = this.#leaders();
      });
    }
  }
}

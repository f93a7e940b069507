/**
 * Waits for news of the partitions that are watched: one fetch at each broker, at the ends of those that it leads, which the broker
 * answers when there is something. What it brings is kept for the readers that are woken then.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { apis } from '../../wire/kafka/apis.ts';
import {
  type FetchedPartition,
  type FetchPlace,
  fetchRequest,
  readFetched,
} from '../../wire/kafka/records-requests.ts';
import type { KafkaCluster } from './cluster.ts';
import type { Facts } from './facts.ts';

export interface FollowerParts {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly facts: Facts;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes what a fetch has brought of a partition, from `offset` on; throws where it cannot be read. */
  take(fetched: FetchedPartition, offset: number): void;
  /** Wakes those who watch the partition. */
  tell(partition: number): void;
}

const OFFSET_OUT_OF_RANGE = 1;

interface Watched {
  count: number;
  /** From where on there is news: the end, when the first of them began to watch. */
  next: number;
}

export class Follower {
  readonly #parts: FollowerParts;
  readonly #watched = new Map<number, Watched>();
  /** Partitions of which a fetch waits at the moment, and from where on. */
  readonly #asked = new Map<number, number>();
  /** Brokers at which a fetch waits. */
  readonly #waiting = new Set<number>();
  #closed = false;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    parts.cluster.whenLeadersChange(() => this.#start());
  }

  watch(partition: number): () => void {
    const watched = this.#watched.get(partition) ?? { count: 0, next: this.#parts.facts.next(partition) };
    watched.count++;
    this.#watched.set(partition, watched);
    this.#start();
    let isOn = true;
    return () => {
      if (!isOn) return;
      isOn = false;
      if (--watched.count === 0) this.#watched.delete(partition);
    };
  }

  /**
   * What was written here is durable up to `next`. True = those who watch are to be told of it now: no fetch has brought it, and none waits
   * that will.
   */
  isNews(partition: number, next: number): boolean {
    const watched = this.#watched.get(partition);
    const isComing = (this.#asked.get(partition) ?? Number.POSITIVE_INFINITY) < next;
    if (watched === undefined || watched.next >= next || isComing) return false;
    watched.next = next;
    return true;
  }

  close(): void {
    this.#closed = true;
  }

  #start(): void {
    const { cluster, topic } = this.#parts;
    for (const partition of this.#watched.keys()) {
      const broker = cluster.leaderOf(topic, partition);
      if (broker >= 0 && !this.#waiting.has(broker)) void this.#follow(broker);
    }
  }

  async #follow(broker: number): Promise<void> {
    this.#waiting.add(broker);
    const { cluster, topic, clock, log } = this.#parts;
    try {
      for (;;) {
        const places = [...this.#watched.keys()]
          .filter((partition) => cluster.leaderOf(topic, partition) === broker)
          .map((partition) => this.#placeOf(partition));
        if (places.length === 0 || this.#closed) return;
        try {
          await this.#fetch(broker, places);
        } catch (error) {
          if (this.#closed) return;
          log.debug({ broker, error: (error as Error).message }, 'news of Kafka cannot be waited for');
          await new Promise<void>((resolve) => void clock.after(limits.kafkaSlowMs, resolve));
          await cluster.refresh().catch(() => {});
        }
      }
    } finally {
      this.#waiting.delete(broker);
      if (!this.#closed) queueMicrotask(() => this.#start());
    }
  }

  /** What was asked for is gone: retention was faster, or the topic was made anew. */
  #begin(partition: number): void {
    const watched = this.#watched.get(partition);
    if (watched !== undefined) watched.next = this.#parts.facts.next(partition);
  }

  #placeOf(partition: number): FetchPlace {
    return { partition, offset: this.#watched.get(partition)?.next ?? 0, bytesMax: limits.kafkaFetchBytesMin };
  }

  /** Who reads a partition is told why it cannot be read; the others of the answer go on. */
  #take(fetched: FetchedPartition, offset: number): void {
    try {
      this.#parts.take(fetched, offset);
    } catch (error) {
      const { partition } = fetched;
      this.#parts.log.error({ partition, offset, error: (error as Error).message }, 'news of Kafka cannot be read');
    }
  }

  async #fetch(broker: number, places: readonly FetchPlace[]): Promise<void> {
    const { cluster, topic, facts } = this.#parts;
    const connection = await cluster.connection(broker, 'follow');
    const bounds = { waitMs: limits.kafkaFollowMs, bytesMin: 1, bytesMax: limits.kafkaFollowBytesMax };
    const request = fetchRequest(topic, places, bounds);
    for (const { partition, offset } of places) this.#asked.set(partition, offset);
    const answer = connection.request(apis.fetch, [request], bounds.waitMs).finally(() => {
      for (const { partition } of places) this.#asked.delete(partition);
    });
    const bytes = await answer;
    const { error, partitions } = readFetched(bytes);
    if (error !== 0) throw new Error(`fetch: error ${error}`);
    let failed = 0;
    for (const fetched of partitions) {
      if (fetched.error === OFFSET_OUT_OF_RANGE) this.#begin(fetched.partition);
      if (fetched.error !== 0) failed = fetched.error;
      else {
        const offset = places.find(({ partition }) => partition === fetched.partition)?.offset ?? 0;
        this.#take(fetched, offset);
        facts.hear(fetched.partition, { first: fetched.logStart, next: fetched.highWatermark });
        const watched = this.#watched.get(fetched.partition);
        // What was written here may have been told meanwhile.
        if (watched === undefined || fetched.highWatermark <= watched.next) continue;
        watched.next = fetched.highWatermark;
        this.#parts.tell(fetched.partition);
      }
    }
    connection.giveBack(bytes);
    if (failed !== 0) throw new Error(`fetch: error ${failed}`);
  }
}

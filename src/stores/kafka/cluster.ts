/**
 * The brokers of a Kafka cluster: who leads which partition of the topics that are asked for, and connections to them, one for each
 * purpose, opened when they are needed.
 */
import type { Cancel } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { apis } from '../../wire/kafka/apis.ts';
import {
  type BrokerAddress,
  metadataRequest,
  type PartitionPlace,
  readMetadata,
} from '../../wire/kafka/cluster-requests.ts';
import { kafkaErrorName } from '../../wire/kafka/errors.ts';
import { type Broker, type BrokerAccess, BrokerConnection } from './broker-connection.ts';

export interface KafkaClusterParts {
  /** `host:port` of some brokers; the others are found by them. */
  readonly brokers: readonly string[];
  readonly access: BrokerAccess;
  /** How a broker is connected to; absent = by TCP. */
  readonly open?: (host: string, port: number, access: BrokerAccess) => Promise<Broker>;
  readonly log: Log;
}

/** What a connection is for: a fetch that waits for news must not hold up what is written. */
export type Purpose = 'write' | 'read' | 'follow' | 'ask';

/** No broker leads the partition at the moment, or the cluster cannot be reached. */
export class NoLeader extends Error {
  override readonly name = 'NoLeader';
}

interface Leader {
  broker: number;
  /** What says less is out of date: a broker that was cut off goes on answering with what it knew. */
  epoch: number;
}

export class KafkaCluster {
  readonly #parts: KafkaClusterParts;
  readonly #leaders = new Map<string, Leader[]>();
  readonly #places = new Map<string, readonly PartitionPlace[]>();
  #brokers = new Map<number, BrokerAddress>();
  readonly #connections = new Map<string, Promise<Broker>>();
  #refreshing: Promise<void> | undefined;
  #changed: (() => void)[] = [];
  #closed = false;

  private constructor(parts: KafkaClusterParts) {
    this.#parts = parts;
  }

  /** @throws Error that says of each broker why it cannot be used */
  static async open(parts: KafkaClusterParts): Promise<KafkaCluster> {
    const cluster = new KafkaCluster(parts);
    try {
      await cluster.refresh();
    } catch (error) {
      cluster.close();
      throw error;
    }
    return cluster;
  }

  /** Learns about a topic from now on. @throws NoLeader there is no such topic, or the cluster cannot be reached */
  async follow(topic: string): Promise<number> {
    if (!this.#leaders.has(topic)) this.#leaders.set(topic, []);
    await this.refresh();
    const count = this.#leaders.get(topic)?.length ?? 0;
    if (count === 0) throw new NoLeader(`Kafka has no topic ${topic}`);
    return count;
  }

  /** The broker that leads the partition as far as is known; -1 = none. */
  leaderOf(topic: string, partition: number): number {
    return this.#leaders.get(topic)?.[partition]?.broker ?? -1;
  }

  /** Of each partition of the topic, as the last answer has it: whether it has a leader, and how many of its replicas are in sync. */
  replicasOf(topic: string): readonly PartitionPlace[] {
    return this.#places.get(topic) ?? [];
  }

  /** All brokers of the cluster, as the last answer has them. */
  brokerIds(): readonly number[] {
    return [...this.#brokers.keys()];
  }

  /** Calls `listener` after another broker leads a partition. */
  whenLeadersChange(listener: () => void): void {
    this.#changed.push(listener);
  }

  /** @throws Error it cannot be reached */
  connection(broker: number, purpose: Purpose): Promise<Broker> {
    const address = this.#brokers.get(broker);
    if (address === undefined) return Promise.reject(new NoLeader(`Kafka's broker ${broker} is not known`));
    return this.#connectionTo(address.host, address.port, purpose);
  }

  /** A connection to the broker that leads the partition. @throws NoLeader, Error */
  leaderConnection(topic: string, partition: number, purpose: Purpose): Promise<Broker> {
    const broker = this.leaderOf(topic, partition);
    if (broker < 0) return Promise.reject(new NoLeader(`no broker leads partition ${partition} of ${topic}`));
    return this.connection(broker, purpose);
  }

  /**
   * Asks who leads what. Calls while one is under way share its answer.
   * @throws Error no broker answers
   */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#ask().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Any broker that can be connected to. @throws Error that says of each why it cannot */
  anyConnection(): Promise<Broker> {
    return this.#first(async (connection) => connection);
  }

  close(): void {
    this.#closed = true;
    for (const opening of this.#connections.values())
      void opening.then((connection) => connection.close()).catch(() => {});
    this.#connections.clear();
  }

  #connectionTo(host: string, port: number, purpose: Purpose): Promise<Broker> {
    if (this.#closed) return Promise.reject(new NoLeader('the connections to Kafka are closed'));
    const name = `${purpose} ${host}:${port}`;
    const known = this.#connections.get(name);
    if (known !== undefined) return known;
    const { access, open = BrokerConnection.open } = this.#parts;
    const opening = open(host, port, access);
    this.#connections.set(name, opening);
    const forget = (): void => {
      if (this.#connections.get(name) === opening) this.#connections.delete(name);
    };
    opening.then((connection) => {
      if (this.#closed) connection.close();
      connection.whenGone(forget);
    }, forget);
    return opening;
  }

  /**
   * The first answer of any broker. One that is silent, as a broker that hangs, does not keep the next from being asked: they are asked
   * beside each other then. @throws NoLeader that says of each broker why it does not answer
   */
  #first<Answer>(ask: (connection: Broker) => Promise<Answer>): Promise<Answer> {
    const { clock } = this.#parts.access;
    return new Promise((resolve, reject) => {
      const left = this.#addresses();
      const reasons: string[] = [];
      let underWay = 0;
      let cancel: Cancel = () => {};
      const next = (): void => {
        cancel();
        const address = left.shift();
        if (address === undefined) {
          if (underWay === 0) reject(new NoLeader(`no broker of Kafka can be reached: ${reasons.join('; ')}`));
          return;
        }
        underWay++;
        cancel = clock.after(limits.kafkaSlowMs, next);
        this.#askable(address)
          .then(ask)
          .then(
            (answer) => {
              left.length = 0;
              cancel();
              resolve(answer);
            },
            (error: Error) => {
              underWay--;
              reasons.push(error.message);
              next();
            },
          );
      };
      next();
    });
  }

  #addresses(): string[] {
    const known = [...this.#brokers.values()].map(({ host, port }) => `${host}:${port}`);
    return [...new Set([...known, ...this.#parts.brokers])];
  }

  #askable(address: string): Promise<Broker> {
    const colon = address.lastIndexOf(':');
    return this.#connectionTo(address.slice(0, colon), Number(address.slice(colon + 1)), 'ask');
  }

  async #ask(): Promise<void> {
    const topics = [...this.#leaders.keys()];
    // The first who answers may be one that was cut off from the others: leaders are compared by their epochs.
    const facts = await this.#first(async (connection) =>
      readMetadata(await connection.request(apis.metadata, [metadataRequest(topics)])),
    );
    if (facts.brokers.length > 0) this.#brokers = new Map(facts.brokers.map((broker) => [broker.id, broker]));
    let hasChanged = false;
    for (const { name, error, partitions } of facts.topics) {
      const leaders = this.#leaders.get(name);
      if (leaders === undefined) continue;
      this.#places.set(name, partitions);
      if (error !== 0)
        this.#parts.log.warn({ topic: name, error: kafkaErrorName(error) }, 'Kafka does not tell who leads a topic');
      for (const { partition, leader, leaderEpoch } of partitions) {
        leaders[partition] ??= { broker: -1, epoch: -1 };
        const known = leaders[partition];
        if (leaderEpoch < known.epoch || (leaderEpoch === known.epoch && leader < 0)) continue;
        if (known.broker !== leader) hasChanged = true;
        known.broker = leader;
        known.epoch = leaderEpoch;
      }
    }
    if (hasChanged) for (const listener of this.#changed) listener();
  }
}

/** What topics take on the brokers' disks, as each broker has said it last. */
import { apis } from '../../wire/kafka/apis.ts';
import { describeLogDirsRequest, readLogDirs, type TopicBytes } from '../../wire/kafka/log-dirs-requests.ts';
import type { KafkaCluster } from './cluster.ts';

export class TopicDisks {
  readonly #cluster: KafkaCluster;
  readonly #topics: readonly string[];
  /** By broker, then by topic. A broker that does not answer, or does not tell, is not among them. */
  readonly #bytes = new Map<number, ReadonlyMap<string, number>>();
  /** A broker that hangs is not asked again meanwhile. */
  readonly #asking = new Set<number>();

  constructor(cluster: KafkaCluster, topics: readonly string[]) {
    this.#cluster = cluster;
    this.#topics = topics;
  }

  /** Bytes of the topic's replicas at each broker that holds any. */
  bytesOf(topic: string): readonly { readonly broker: number; readonly bytes: number }[] {
    return [...this.#bytes].flatMap(([broker, byTopic]) => {
      const bytes = byTopic.get(topic);
      return bytes === undefined ? [] : [{ broker, bytes }];
    });
  }

  /** Asks each broker; what it says is there once it has answered. */
  async refresh(): Promise<void> {
    const brokers = this.#cluster.brokerIds();
    for (const broker of this.#bytes.keys()) if (!brokers.includes(broker)) this.#bytes.delete(broker);
    await Promise.all(brokers.map((broker) => this.#ask(broker)));
  }

  async #ask(broker: number): Promise<void> {
    if (this.#asking.has(broker)) return;
    this.#asking.add(broker);
    try {
      const connection = await this.#cluster.connection(broker, 'ask');
      const topics = this.#topics.map((name) => ({
        name,
        partitions: this.#cluster.replicasOf(name).map(({ partition }) => partition),
      }));
      const folders = readLogDirs(await connection.request(apis.describeLogDirs, [describeLogDirsRequest(topics)]));
      this.#bytes.set(broker, sumOf(folders));
    } catch {
      // That it is away, and why, is said by the health check of the event log.
      this.#bytes.delete(broker);
    } finally {
      this.#asking.delete(broker);
    }
  }
}

function sumOf(folders: readonly (readonly TopicBytes[])[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { name, bytes } of folders.flat()) sums.set(name, (sums.get(name) ?? 0) + bytes);
  return sums;
}

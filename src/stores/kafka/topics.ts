/** The topics that the hub writes: made if they are not there, and refused where their settings would break a promise. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { apis } from '../../wire/kafka/apis.ts';
import {
  alterTopicRequest,
  createTopicsRequest,
  describeTopicsRequest,
  metadataRequest,
  readAlteredTopics,
  readCreatedTopics,
  readMetadata,
  readTopicSettings,
  type TopicSettings,
} from '../../wire/kafka/cluster-requests.ts';
import { kafkaErrorName } from '../../wire/kafka/errors.ts';
import type { KafkaCluster } from './cluster.ts';

export interface TopicWish {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  /** Copies of each record, and how many must be in memory before it is acknowledged; 1 and 1 on a single broker. */
  readonly replicas: number;
  readonly inSyncMin: number;
}

const TIMES = 'message.timestamp.type';
const UNKNOWN_TOPIC = 3;
const EXISTS = 36;

/**
 * Sees to it that the topic is there and is as the hub needs it.
 * @throws Error that names the topic, each setting that is wrong, what it must be, and how it is changed
 */
export async function ensureTopic(cluster: KafkaCluster, wish: TopicWish, clock: Clock): Promise<void> {
  const { name } = wish;
  const connection = await cluster.anyConnection();
  const facts = readMetadata(await connection.request(apis.metadata, [metadataRequest([name])]));
  if (facts.topics[0]?.error === UNKNOWN_TOPIC) await create(cluster, wish, facts.controller);
  const described = await describe(cluster, wish, clock);
  if (described.error !== 0) {
    throw new Error(
      `The settings of Kafka's topic ${name} cannot be read: ${kafkaErrorName(described.error)} ${described.message}`,
    );
  }
  const wrong = wrongSettings(described.settings, wish);
  if (wrong.length > 0) {
    throw new Error(
      `Kafka's topic ${name} would not keep what the hub promises. Set ${wrong.join(', ')} ` +
        `(kafka-configs.sh --alter --entity-type topics --entity-name ${name} --add-config NAME=VALUE).`,
    );
  }
}

/**
 * The topic for events that were enqueued before: made where it is not there, and keeping the times that it is told, until `endLoading`.
 * A hub does not start on it meanwhile.
 * @throws Error that names the topic and what is wrong
 */
export async function beginLoading(cluster: KafkaCluster, wish: TopicWish, clock: Clock): Promise<void> {
  const { name } = wish;
  const connection = await cluster.anyConnection();
  const facts = readMetadata(await connection.request(apis.metadata, [metadataRequest([name])]));
  if (facts.topics[0]?.error === UNKNOWN_TOPIC) await create(cluster, wish, facts.controller);
  await describe(cluster, wish, clock);
  await alter(cluster, name, { [TIMES]: 'CreateTime' });
}

/** From now on the topic takes its brokers' time, as a hub needs it. @throws Error as `ensureTopic` */
export async function endLoading(cluster: KafkaCluster, wish: TopicWish, clock: Clock): Promise<void> {
  await alter(cluster, wish.name, { [TIMES]: 'LogAppendTime' });
  // Brokers hear of it one after the other.
  for (const until = clock.monotonic() + limits.kafkaConnectMs; clock.monotonic() < until; ) {
    const { settings } = await describe(cluster, wish, clock);
    if (settings[TIMES] === 'LogAppendTime') break;
    await new Promise<void>((resolve) => void clock.after(100, resolve));
  }
  await ensureTopic(cluster, wish, clock);
}

async function alter(cluster: KafkaCluster, topic: string, settings: Readonly<Record<string, string>>): Promise<void> {
  const connection = await cluster.anyConnection();
  const [altered] = readAlteredTopics(
    await connection.request(apis.alterConfigs, [alterTopicRequest(topic, settings)], limits.kafkaConnectMs),
  );
  if (altered.error === 0) return;
  throw new Error(
    `The settings of Kafka's topic ${topic} cannot be changed: ${kafkaErrorName(altered.error)} ${altered.message}. ` +
      "Let the export's user alter them.",
  );
}

/** A topic that was just made is not known to every broker at once. */
async function describe(cluster: KafkaCluster, wish: TopicWish, clock: Clock): Promise<TopicSettings> {
  const request = describeTopicsRequest([wish.name], Object.keys(settingsOf(wish)));
  for (const until = clock.monotonic() + limits.kafkaConnectMs; ; ) {
    const connection = await cluster.anyConnection();
    const [described] = readTopicSettings(await connection.request(apis.describeConfigs, [request]));
    if (described.error !== UNKNOWN_TOPIC || clock.monotonic() > until) return described;
    await new Promise<void>((resolve) => void clock.after(100, resolve));
  }
}

function settingsOf({ retentionMs, inSyncMin }: TopicWish): Readonly<Record<string, string>> {
  return {
    'cleanup.policy': 'delete',
    'compression.type': 'producer',
    'max.message.bytes': String(limits.kafkaBatchBytesMax),
    [TIMES]: 'LogAppendTime',
    'min.insync.replicas': String(inSyncMin),
    'retention.ms': String(retentionMs),
    'unclean.leader.election.enable': 'false',
  };
}

/** Settings that break a promise, as `name=value` that would keep it. How long events are kept is the operator's. */
export function wrongSettings(found: Readonly<Record<string, string>>, wish: TopicWish): readonly string[] {
  const wanted = settingsOf(wish);
  return Object.entries(wanted)
    .filter(([name, value]) => {
      if (name === 'retention.ms') return false;
      const isNumber = name === 'max.message.bytes' || name === 'min.insync.replicas';
      return isNumber ? !(Number(found[name]) >= Number(value)) : found[name] !== value;
    })
    .map(([name, value]) => `${name}=${value}`);
}

async function create(cluster: KafkaCluster, wish: TopicWish, controller: number): Promise<void> {
  const { name, partitions, replicas } = wish;
  // Brokers of some versions pass this on, others want it said to the controller.
  const connection = await cluster.connection(controller, 'ask').catch(() => cluster.anyConnection());
  const request = createTopicsRequest(
    [{ name, partitions, replicas, settings: settingsOf(wish) }],
    limits.kafkaConnectMs,
  );
  const [created] = readCreatedTopics(await connection.request(apis.createTopics, [request], limits.kafkaConnectMs));
  // Another node may have made it at the same time.
  if (created.error === 0 || created.error === EXISTS) return;
  throw new Error(
    `Kafka's topic ${name} is not there and cannot be made: ${kafkaErrorName(created.error)} ${created.message}. ` +
      `Make it with ${partitions} partitions and ${replicas} replicas, or let the hub's user create topics.`,
  );
}

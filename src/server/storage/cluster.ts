import { readFileSync } from 'node:fs';
import { termOf } from '../../core/nodes/processes.ts';
import { fieldOf } from '../../core/query/fields.ts';
import { kafkaRecordCodec } from '../../records/kafka/record-codec.ts';
import { kafkaRecordForm } from '../../records/kafka/record-form.ts';
import { openPostgresTables } from '../../stores/cluster/postgres.ts';
import { openKeyCipher } from '../../stores/embedded/tables/key-file.ts';
import type { BrokerAccess } from '../../stores/kafka/broker-connection.ts';
import { KafkaCluster } from '../../stores/kafka/cluster.ts';
import { type KafkaEventLog, type KafkaEventLogOptions, openKafkaEventLog } from '../../stores/kafka/event-log.ts';
import { TopicDisks } from '../../stores/kafka/topic-disks.ts';
import { ensureTopic, type TopicWish } from '../../stores/kafka/topics.ts';
import type { Settings } from '../config/config.ts';
import { monitoringName } from '../endpoints.ts';
import { openWhole, type Shutdown } from '../lifecycle.ts';
import { nodeNameOf } from '../nodes/place.ts';
import { wantsSource } from '../observe/monitoring.ts';
import { brokerMetrics } from './broker-metrics.ts';
import { databaseCheck, kafkaCheck } from './cluster-checks.ts';
import type { EmbeddedParts } from './embedded-parts.ts';
import { createLogMetrics } from './log-metrics.ts';
import type { SharedByNodes, Storage } from './storage.ts';

const DAY_MS = 86_400_000;
/** As presence names itself where no other node shares the places. */
const THE_ONE_NODE = '';

/**
 * Events in Kafka, everything else in PostgreSQL. The data folder holds what is this machine's: certificates, the key that seals keys,
 * files of devices where `filesStore` is `folder`, and the facts of the hub.
 * @throws Error whose message says what to do; nothing is left open then.
 */
export function openCluster(parts: EmbeddedParts): Promise<Storage> {
  return openWhole(parts.log, (steps) => open(parts, steps));
}

type AppendLease = Required<Pick<KafkaEventLogOptions, 'mayAppend' | 'leaseTerm'>>;

async function open(parts: EmbeddedParts, steps: Shutdown): Promise<Storage> {
  const { settings, folder, clock, random, log } = parts;
  const { hubName } = folder.facts;
  const cluster = await KafkaCluster.open({ brokers: settings.kafkaBrokers, access: accessOf(parts), log });
  steps.add('connections to Kafka', async () => cluster.close());
  const metrics = createLogMetrics();
  const fence: SharedByNodes['fence'] = { mayAnswer: () => true, standing: () => undefined };
  const openLog = async (
    name: string,
    partitionCount: number,
    days: number,
    lease?: AppendLease,
  ): Promise<KafkaEventLog> => {
    const eventLog = await openUnkept(name, partitionCount, days, name, lease);
    steps.add(`event log ${name}`, () => eventLog.close());
    return eventLog;
  };
  const openUnkept = async (
    name: string,
    partitionCount: number,
    days: number,
    place = name,
    lease?: AppendLease,
  ): Promise<KafkaEventLog> => {
    const wish = topicWish(settings, { name: place, partitions: partitionCount, days });
    const { name: topic } = wish;
    await ensureTopic(cluster, wish, clock);
    const { createdTime } = folder.facts;
    return openKafkaEventLog({
      ...{ cluster, topic, name, partitionCount, createdTime, clock, log },
      form: kafkaRecordForm(),
      committed: metrics.committedOf(name),
      mayAcknowledge: () => fence.mayAnswer(),
      ...lease,
    });
  };
  // Not of the monitoring stream: how connections have ended without a lease is told there.
  const lease: AppendLease = { mayAppend: () => fence.mayAnswer(), leaseTerm: () => termOf(fence.standing()) };
  const telemetry = await openLog(hubName, folder.facts.partitions, settings.retentionDays, lease);
  const monitoring = await openLog(monitoringName(hubName), 1, settings.monitoringRetentionDays);

  const cipher = openKeyCipher({
    file: folder.file('keys', 'tables.key'),
    given: settings.keyEncryptionKey,
    previous: settings.previousKeyEncryptionKey,
    random,
    log,
  });
  const tables = await openPostgresTables({
    ...{ url: settings.postgresUrl ?? '', schema: settings.postgresSchema, cipher, log, clock },
    node: nodeNameOf(settings),
    mayWrite: () => fence.mayAnswer(),
    standing: () => fence.standing(),
    keepsLifecycle: wantsSource(settings, 'deviceLifecycleEvents'),
    queryIndexes: settings.queryIndexes
      .map((name) => fieldOf(name.split('.'), 'devices'))
      .filter((path) => path !== undefined),
  });
  steps.add('tables', () => tables.close());
  // What a run before this one has left: its connections are gone.
  await tables.places.leave(THE_ONE_NODE);
  if (folder.parts.parts.storage === undefined) await folder.parts.keep({ storage: 'cluster' });
  const { kafkaInSyncMin: inSyncMin } = settings;
  const disks = new TopicDisks(cluster, [telemetry.topic, monitoring.topic]);
  return {
    clock: tables.clock,
    stores: tables,
    logs: { telemetry, monitoring },
    // Brokers bound a topic by age here; by size where their own settings say so.
    async openEventHub({ name, partitions, retentionMs }) {
      // Event hubs are found by their names in any case; topics are not.
      const eventLog = await openUnkept(name, partitions, retentionMs / DAY_MS, name.toLowerCase());
      return { log: eventLog, close: () => eventLog.close() };
    },
    codec: kafkaRecordCodec,
    places: tables.places,
    nodes: { ...tables, fence },
    watchLost: (listener) => tables.watchLost(listener),
    begunTwinEvents: tables.begunTwinEvents,
    onDisk: [],
    checks: [
      databaseCheck(tables),
      kafkaCheck('events', { cluster, log: telemetry, inSyncMin }, 'fail'),
      kafkaCheck('monitoring', { cluster, log: monitoring, inSyncMin }, 'warn'),
    ],
    metrics: [
      ...metrics.ofBrokers([telemetry, monitoring]),
      ...brokerMetrics(
        [telemetry, monitoring].map(({ name, topic }) => ({
          name,
          partitions: () => cluster.replicasOf(topic),
          disks: () => disks.bytesOf(topic),
        })),
        inSyncMin,
        () => {
          void cluster.refresh().catch(() => {});
          void disks.refresh();
        },
      ),
    ],
    close: () => steps.run(),
  };
}

/** The topic of an event hub. */
export function topicWish(
  { kafkaTopicPrefix, kafkaReplicas: replicas, kafkaInSyncMin: inSyncMin }: Settings,
  { name, partitions, days }: { readonly name: string; readonly partitions: number; readonly days: number },
): TopicWish {
  return { name: kafkaTopicPrefix + name, partitions, retentionMs: days * DAY_MS, replicas, inSyncMin };
}

/** How the settings have the brokers spoken to. */
export function accessOf({ settings, clock }: Pick<EmbeddedParts, 'settings' | 'clock'>): BrokerAccess {
  const {
    kafkaTls,
    kafkaCaFile,
    kafkaCertFile,
    kafkaKeyFile,
    kafkaLogin,
    kafkaUser = '',
    kafkaPassword = '',
  } = settings;
  const textOf = (file: string): string => readFileSync(file, 'utf8');
  return {
    clientId: 'mooring',
    clock,
    ...(kafkaTls && {
      tls: {
        ...(kafkaCaFile !== undefined && { ca: textOf(kafkaCaFile) }),
        ...(kafkaCertFile !== undefined && { cert: textOf(kafkaCertFile) }),
        ...(kafkaKeyFile !== undefined && { key: textOf(kafkaKeyFile) }),
      },
    }),
    ...(kafkaLogin !== 'off' && { login: { mechanism: kafkaLogin, user: kafkaUser, password: kafkaPassword } }),
  };
}

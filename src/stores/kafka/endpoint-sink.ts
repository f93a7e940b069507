/** Endpoints of the kind `kafka`: events as plain records of a topic, in order per device, which Kafka's own consumers read. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { partitionOf } from '../../core/events/rules.ts';
import type { KafkaEndpoint } from '../../core/routes/endpoints/kafka.ts';
import type { Delivered, EndpointSink, RoutedEvent } from '../../core/routes/ports.ts';
import { kafkaRecordCodec } from '../../records/kafka/record-codec.ts';
import { readRecord } from '../../records/read-record.ts';
import { BATCH_HEAD_BYTES, RECORD_HEAD_BYTES_MAX, writeRecordHead } from '../../wire/kafka/record-batch.ts';
import type { BrokerAccess } from './broker-connection.ts';
import { KafkaCluster } from './cluster.ts';
import { KafkaProducer } from './producer.ts';
import type { FilledBatch } from './producer-line.ts';
import type { SaslMechanism } from './sasl.ts';

interface Opened {
  readonly cluster: KafkaCluster;
  readonly producer: KafkaProducer;
  readonly partitions: number;
}

/** A record larger than the topic takes: it will never take it. */
const TOO_LARGE = /MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE/;

/** Nothing is opened before the first batch comes; what could not be opened is tried again with the next attempt. */
export function kafkaSink(
  endpoint: KafkaEndpoint,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): EndpointSink {
  const { topic, brokers } = endpoint;
  let opening: Promise<Opened> | undefined;
  let isClosed = false;

  const open = async (): Promise<Opened> => {
    const cluster = await KafkaCluster.open({ brokers, access: accessOf(endpoint, clock), log });
    try {
      const partitions = await cluster.follow(topic);
      const parts = { cluster, topic, partitionCount: partitions, clock, log };
      return { cluster, producer: await KafkaProducer.open(parts), partitions };
    } catch (error) {
      cluster.close();
      throw error;
    }
  };
  const opened = (): Promise<Opened> => {
    opening ??= open().catch((error) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };

  const deliver = async (events: readonly RoutedEvent[]): Promise<Delivered> => {
    if (isClosed) return { kind: 'retry', reason: 'the hub stops' };
    try {
      const { producer, partitions } = await opened();
      const appends = filled(events, partitions).map(([partition, batch]) => producer.append(partition, batch));
      const settled = await Promise.allSettled(appends);
      for (const each of settled) if (each.status === 'rejected') throw each.reason;
      return { kind: 'done', count: events.length };
    } catch (error) {
      const reason = (error as Error).message;
      if (!TOO_LARGE.test(reason)) return { kind: 'retry', reason };
      // One of them is it: it is found by halves, and those before it are delivered.
      if (events.length > 1) return deliver(events.slice(0, Math.ceil(events.length / 2)));
      return { kind: 'refused', reason, count: 1 };
    }
  };

  return {
    // What Kafka refuses fails all that is under way: with one batch it is known whose fault it is.
    inFlightMax: 1,
    deliver: ({ events }) => deliver(events),
    async close() {
      isClosed = true;
      const found = await opening?.catch(() => undefined);
      found?.producer.close();
      found?.cluster.close();
    },
  };
}

/** Batches in order, each of one partition of the topic. Events of one device have one partition, whatever the hub's is. */
function filled(events: readonly RoutedEvent[], partitions: number): readonly (readonly [number, FilledBatch])[] {
  const records = new Map<number, Buffer[]>();
  for (const event of events) {
    const { stamp, telemetry, hubTime } = readRecord(event.bytes, event.start, event.end);
    const properties =
      event.enrichments.length === 0 ? telemetry.properties : [...telemetry.properties, ...event.enrichments];
    const record = kafkaRecordCodec.encode(stamp, { ...telemetry, properties }, hubTime);
    const partition = partitionOf(stamp.deviceId ?? '', partitions);
    const list = records.get(partition);
    if (list === undefined) records.set(partition, [record]);
    else list.push(record);
  }
  return [...records].flatMap(([partition, list]) => batchesOf(list).map((batch) => [partition, batch] as const));
}

function batchesOf(records: readonly Buffer[]): readonly FilledBatch[] {
  const batches: FilledBatch[] = [];
  const roomOf = (record: Buffer): number => record.length + RECORD_HEAD_BYTES_MAX;
  for (let at = 0; at < records.length; ) {
    const begin = at;
    let room = BATCH_HEAD_BYTES;
    while (at < records.length && (at === begin || room + roomOf(records[at]) <= limits.kafkaBatchBytesMax)) {
      room += roomOf(records[at++]);
    }
    const bytes = Buffer.allocUnsafe(room);
    let end = BATCH_HEAD_BYTES;
    for (let nth = 0; nth < at - begin; nth++) {
      const record = records[begin + nth];
      const place = writeRecordHead(bytes, end, nth, record.length);
      end = place + record.copy(bytes, place);
    }
    batches.push({ bytes, end, count: at - begin });
  }
  return batches;
}

function accessOf(
  { tls, certificateAuthority: ca, mechanism, user = '', password = '' }: KafkaEndpoint,
  clock: Clock,
): BrokerAccess {
  return {
    ...{ clientId: 'mooring', clock },
    ...(tls && { tls: ca === undefined ? {} : { ca } }),
    ...(mechanism !== 'none' && {
      login: { mechanism: mechanism.toUpperCase() as SaslMechanism, user, password },
    }),
  };
}

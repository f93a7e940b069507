/**
 * Fills the partitions of a new topic with events that were enqueued before, each with its time, and with its number where that can be.
 * Kafka counts offsets by itself: numbers below the first event's, and between two events, are taken up by records without a time
 * ("fillers"), which readers of a hub never see; those below the first event's are removed again.
 */
import { gzipSync } from 'node:zlib';
import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { apis } from '../../wire/kafka/apis.ts';
import { deleteRecordsRequest, readDeletedRecords } from '../../wire/kafka/cluster-requests.ts';
import { kafkaErrorName } from '../../wire/kafka/errors.ts';
import {
  BATCH_HEAD_BYTES,
  RECORD_HEAD_BYTES_MAX,
  writeRecordHead,
  writeTimedRecordHead,
} from '../../wire/kafka/record-batch.ts';
import { listOffsetsRequest, offsetOf, readListedOffsets } from '../../wire/kafka/records-requests.ts';
import type { KafkaCluster } from './cluster.ts';
import { KafkaProducer } from './producer.ts';

export interface TopicLoaderParts {
  readonly cluster: KafkaCluster;
  /** Exists, and keeps the producers' times (`message.timestamp.type=CreateTime`). */
  readonly topic: string;
  readonly partitionCount: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Open {
  bytes: Buffer;
  end: number;
  count: number;
  time: number;
  largestTime: number;
}

const BATCH_BYTES = 1024 * 1024;
/** A time of a record is at most so far behind its batch's. */
const TIME_SPAN_MS = 2 ** 30;
const UNDER_WAY_MAX = 4;
const GZIP = 1;
/** No key, no value, no headers. */
const NOTHING = Buffer.from([1, 1, 0]);
const NO_TIME = -1;

export class TopicLoader {
  readonly #parts: TopicLoaderParts;
  readonly #producer: KafkaProducer;
  readonly #open: (Open | undefined)[];
  readonly #underWay: Promise<unknown>[][];
  #fullFiller: Buffer | undefined;

  private constructor(parts: TopicLoaderParts, producer: KafkaProducer) {
    this.#parts = parts;
    this.#producer = producer;
    this.#open = new Array<undefined>(parts.partitionCount).fill(undefined);
    this.#underWay = Array.from({ length: parts.partitionCount }, () => []);
  }

  /** @throws Error that names the topic: it has another number of partitions, or records */
  static async open(parts: TopicLoaderParts): Promise<TopicLoader> {
    const { cluster, topic, partitionCount } = parts;
    const found = await cluster.follow(topic);
    if (found !== partitionCount) {
      throw new Error(`Kafka's topic ${topic} has ${found} partitions, and the hub ${partitionCount}.`);
    }
    for (let partition = 0; partition < partitionCount; partition++) {
      const end = await endOf(parts, partition);
      if (end > 0) {
        throw new Error(
          `Kafka's topic ${topic} is not empty: partition ${partition} has had ${end} records. Events keep their numbers ` +
            'in a new topic only: delete it, or choose another kafkaTopicPrefix.',
        );
      }
    }
    return new TopicLoader(parts, await KafkaProducer.open(parts));
  }

  /** Appends an event behind what is there. @param content key, value and headers @throws EventLogUnavailable */
  async add(partition: number, time: number, content: Buffer): Promise<void> {
    const needed = RECORD_HEAD_BYTES_MAX + 4 + content.length;
    assert(BATCH_HEAD_BYTES + needed <= limits.kafkaBatchBytesMax, 'an event fits into a batch');
    let open = this.#open[partition];
    const isFull = open !== undefined && (open.end + needed > BATCH_BYTES || time - open.time >= TIME_SPAN_MS);
    if (open !== undefined && (isFull || time < open.time)) {
      await this.#send(partition);
      open = undefined;
    }
    if (open === undefined) {
      const bytes = Buffer.allocUnsafeSlow(Math.max(BATCH_BYTES, BATCH_HEAD_BYTES + needed));
      open = { bytes, end: BATCH_HEAD_BYTES, count: 0, time, largestTime: time };
      this.#open[partition] = open;
    }
    const at = writeTimedRecordHead(open.bytes, open.end, open.count++, time - open.time, content.length);
    open.end = at + content.copy(open.bytes, at);
    open.largestTime = Math.max(open.largestTime, time);
  }

  /** Takes up so many numbers that no event has. @throws EventLogUnavailable */
  async skip(partition: number, count: number): Promise<void> {
    await this.#send(partition);
    for (let left = count; left > 0; left -= limits.exportFillerRecords) {
      const records = Math.min(left, limits.exportFillerRecords);
      const zipped = records === limits.exportFillerRecords ? this.#full() : filler(records);
      const bytes = Buffer.concat([Buffer.alloc(BATCH_HEAD_BYTES), zipped]);
      const nature = { compression: GZIP, largestTime: NO_TIME };
      await this.#append(partition, { bytes, end: bytes.length, count: records, time: NO_TIME, nature });
    }
  }

  /** Everything is held by the replicas that are in sync when it resolves. @throws EventLogUnavailable */
  async settle(): Promise<void> {
    for (let partition = 0; partition < this.#open.length; partition++) await this.#send(partition);
    for (const waiting of this.#underWay) await Promise.all(waiting.splice(0));
  }

  /** Removes the records below an offset. @throws Error that says why it cannot */
  async removeBefore(partition: number, offset: number): Promise<void> {
    const { cluster, topic } = this.#parts;
    const connection = await cluster.leaderConnection(topic, partition, 'ask');
    const request = deleteRecordsRequest(topic, partition, offset, limits.kafkaConnectMs);
    const [error] = readDeletedRecords(await connection.request(apis.deleteRecords, [request], limits.kafkaConnectMs));
    if (error !== 0) {
      throw new Error(`Fillers cannot be removed from Kafka's topic ${topic}: ${kafkaErrorName(error)}.`);
    }
  }

  close(): void {
    this.#producer.close();
  }

  async #send(partition: number): Promise<void> {
    const open = this.#open[partition];
    if (open === undefined) return;
    this.#open[partition] = undefined;
    const { bytes, end, count, time, largestTime } = open;
    await this.#append(partition, { bytes, end, count, time, nature: { largestTime } });
  }

  async #append(partition: number, batch: Parameters<KafkaProducer['append']>[1]): Promise<void> {
    const waiting = this.#underWay[partition];
    const appended = this.#producer.append(partition, batch);
    // Awaited below or in `settle`; a failure that comes before is not one that nobody handles.
    appended.catch(() => {});
    waiting.push(appended);
    if (waiting.length >= UNDER_WAY_MAX) await waiting.shift();
  }

  #full(): Buffer {
    this.#fullFiller ??= filler(limits.exportFillerRecords);
    return this.#fullFiller;
  }
}

function filler(count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count * (RECORD_HEAD_BYTES_MAX + NOTHING.length));
  let at = 0;
  for (let nth = 0; nth < count; nth++) {
    at = writeRecordHead(bytes, at, nth, NOTHING.length);
    at += NOTHING.copy(bytes, at);
  }
  return gzipSync(bytes.subarray(0, at));
}

async function endOf({ cluster, topic, clock }: TopicLoaderParts, partition: number): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const connection = await cluster.leaderConnection(topic, partition, 'ask');
    const request = listOffsetsRequest(topic, [{ partition, time: offsetOf.end }]);
    const [{ error, offset }] = readListedOffsets(await connection.request(apis.listOffsets, [request]));
    if (error === 0) return offset;
    // The leader of a topic that was just made does not know it yet.
    if (attempt === ATTEMPTS) throw new Error(`Kafka's topic ${topic} cannot be looked at: ${kafkaErrorName(error)}.`);
    await new Promise<void>((resolve) => void clock.after(attempt * PAUSE_MS, resolve));
    await cluster.refresh().catch(() => {});
  }
}

const ATTEMPTS = 8;
const PAUSE_MS = 100;

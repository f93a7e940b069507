import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventPosition, EventRun, PartitionFacts } from '../../core/events/types.ts';
import { apis } from '../../wire/kafka/apis.ts';
import { kafkaErrorName } from '../../wire/kafka/errors.ts';
import { BATCH_HEAD_BYTES, RECORD_HEAD_BYTES_MAX, writeRecordHead } from '../../wire/kafka/record-batch.ts';
import type { RecordForm } from '../../wire/kafka/record-form.ts';
import {
  type FetchedPartition,
  fetchRequest,
  type ListedOffset,
  listOffsetsRequest,
  offsetOf,
  readFetched,
  readListedOffsets,
} from '../../wire/kafka/records-requests.ts';
import type { RunLayout } from '../event-log/batch.ts';
import { EventLogUnavailable } from '../event-log/errors.ts';
import { RunMemory } from '../event-log/run-memory.ts';
import { earliestTime, takeRuns } from '../event-log/runs.ts';
import type { StoredLog } from '../event-log/stored-log.ts';
import { Watchers } from '../event-log/watchers.ts';
import { BatchWriter, type SealedBatch } from '../event-log/writer.ts';
import { Chunks } from './chunks.ts';
import type { KafkaCluster } from './cluster.ts';
import { Facts } from './facts.ts';
import { type Chunk, FetchedRecords } from './fetched.ts';
import { Follower } from './follower.ts';
import { opaqueForm, opaqueWriter } from './opaque-form.ts';
import { KafkaProducer } from './producer.ts';

export interface KafkaEventLogOptions {
  readonly cluster: KafkaCluster;
  /** Exists; its settings are as `topics.ts` wants them. */
  readonly topic: string;
  /** The event hub's name (`EntityPath`). */
  readonly name: string;
  readonly partitionCount: number;
  /** UTC milliseconds: Kafka does not say since when a topic is there. */
  readonly createdTime: number;
  /** Absent = any bytes, as values. With it, what is written is a key, a value and headers, each behind its length. */
  readonly form?: RecordForm;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs a callback soon; absent = at the end of this turn of the event loop. */
  readonly defer?: (callback: () => void) => void;
  /** Called with each batch that became durable; `seconds` since it was handed over. */
  readonly committed?: (bytes: number, seconds: number) => void;
  /** Whether what has become durable may be acknowledged, at the moment in which it would be; absent = always. */
  readonly mayAcknowledge?: () => boolean;
  /** Whether anything may be appended, at the moment in which it would be sent; absent = always. */
  readonly mayAppend?: () => boolean;
  /** As of `ProducerParts`. */
  readonly leaseTerm?: () => string | undefined;
}

/** Counters run from the start of the process. */
export interface KafkaLogStats {
  readonly batchesTotal: number;
  readonly recordsTotal: number;
  readonly writtenBytesTotal: number;
  readonly failuresTotal: number;
  /** Bytes of records that wait for the brokers. */
  readonly pendingBytes: number;
  /** Of what was read and is kept for further readers. */
  readonly keptBytes: number;
}

/** A log whose batches are written by this thread alone: it takes none of listener threads. */
export interface KafkaEventLog extends StoredLog {
  readonly topic: string;
  stats(): KafkaLogStats;
  /** Makes everything reserved so far durable, and takes no more records. The cluster stays open. */
  close(): Promise<void>;
}

const kafkaLayout: RunLayout = {
  headBytes: BATCH_HEAD_BYTES,
  recordHeadBytesMax: RECORD_HEAD_BYTES_MAX,
  writeRecordHead,
};
/** A batch for each partition may wait at its leader while the next ones are filled and sent. */
const COMMITS_MAX = 4;
/** Less goes with the next one: what a batch costs, the broker and the connections that are told, is for all of its records. */
const COMMIT_BYTES_MIN = 256 * 1024;
const OFFSET_OUT_OF_RANGE = 1;

/**
 * The event log as a topic of Kafka: a partition is a partition, an offset is a sequence number, the broker's time is the enqueued
 * time. Durable = in the memory of all replicas that are in sync (`docs/cluster.md`).
 * @throws Error no broker can be reached, or the topic has another number of partitions
 */
export async function openKafkaEventLog(options: KafkaEventLogOptions): Promise<KafkaEventLog> {
  const { cluster, topic, name, partitionCount, clock, form } = options;
  const log = options.log.child({ eventHub: name, topic });
  const found = await cluster.follow(topic);
  if (found !== partitionCount) {
    throw new Error(
      `Kafka's topic ${topic} has ${found} partitions, and the hub ${partitionCount}: their number is fixed when the hub is made. ` +
        'Name another topic, or give this hub the number that its topic has.',
    );
  }
  const deferring = options.defer === undefined ? {} : { defer: options.defer };
  const facts = new Facts(partitionCount);
  const watchers = new Watchers(partitionCount, log);
  const memory = new RunMemory();
  const chunks = new Chunks(partitionCount, limits.kafkaChunkBytesMax, memory);
  const fetchedRecords = new FetchedRecords(form ?? opaqueForm, log, memory);
  /** What the answers that have not been given back lie in. */
  const answers = new WeakMap<readonly EventRun[], Buffer>();
  const producer = await KafkaProducer.open({
    ...{ cluster, topic, partitionCount, clock, log, ...deferring },
    ...(options.mayAppend && { mayAppend: options.mayAppend }),
    ...(options.leaseTerm && { leaseTerm: options.leaseTerm }),
  });
  const counts = new Array<number>(partitionCount).fill(0);
  const counters = { batchesTotal: 0, recordsTotal: 0, writtenBytesTotal: 0, failuresTotal: 0 };
  const keep = (fetched: FetchedPartition, from: number): Chunk => {
    const chunk = fetchedRecords.chunk(fetched.records, from);
    chunks.add(fetched.partition, chunk);
    const lastTime = chunk.runs.at(-1)?.time;
    facts.hear(fetched.partition, {
      first: fetched.logStart,
      next: fetched.highWatermark,
      ...(lastTime !== undefined && { lastTime }),
    });
    return chunk;
  };
  const follower = new Follower({
    ...{ cluster, topic, facts, clock, log },
    take: (fetched, from) => void keep(fetched, from),
    tell(partition) {
      counts[partition] = 1;
      watchers.tell(counts);
      counts[partition] = 0;
    },
  });
  /** News of other nodes comes by a fetch, and so does what was written here while one waits: it then brings the bytes, too. */
  const tellOwn = (batch: SealedBatch): void => {
    watchers.tell(
      Array.from(batch.counts, (count, partition) =>
        count > 0 && follower.isNews(partition, facts.next(partition)) ? count : 0,
      ),
    );
  };
  const writer = new BatchWriter({
    partitionCount,
    log,
    ...deferring,
    layout: kafkaLayout,
    batchBytesMax: limits.kafkaBatchBytesMax,
    commitsMax: COMMITS_MAX,
    commitBytesMin: COMMIT_BYTES_MIN,
    sink: {
      commit: committer({
        producer,
        facts,
        counters,
        committed: options.committed,
        mayAcknowledge: options.mayAcknowledge,
      }),
      committed: tellOwn,
    },
  });

  const known = (partition: number): number => {
    assert(Number.isInteger(partition) && partition >= 0 && partition < partitionCount, 'the partition exists');
    return partition;
  };

  /** What the leader says, asked again while there is none, or another one. */
  const asked = async <Answer>(
    partition: number,
    ask: () => Promise<{ error: number; answer: Answer }>,
  ): Promise<Answer> => {
    const until = clock.monotonic() + limits.kafkaReadMs;
    for (;;) {
      try {
        const { error, answer } = await ask();
        if (error === 0) return answer;
        throw new Error(kafkaErrorName(error));
      } catch (error) {
        if (clock.monotonic() > until) {
          throw new EventLogUnavailable(`partition ${partition} of ${topic}: ${(error as Error).message}`, {
            cause: error,
          });
        }
        await new Promise<void>((resolve) => void clock.after(READ_PAUSE_MS, resolve));
        await cluster.refresh().catch(() => {});
      }
    }
  };

  const listed = (partition: number, time: number): Promise<ListedOffset> =>
    asked(partition, async () => {
      const connection = await cluster.leaderConnection(topic, partition, 'read');
      const request = listOffsetsRequest(topic, [{ partition, time }]);
      const [answer] = readListedOffsets(await connection.request(apis.listOffsets, [request]));
      return { error: answer.error, answer };
    });

  const ask = async (partition: number): Promise<PartitionFacts> => {
    const [start, end, largest] = await Promise.all(
      [offsetOf.start, offsetOf.end, offsetOf.largestTime].map((time) => listed(partition, time)),
    );
    facts.hear(partition, { first: start.offset, next: end.offset, lastTime: Math.max(0, largest.time) });
    return facts.of(partition);
  };

  const fetched = (
    partition: number,
    from: number,
    bytesMax: number,
  ): Promise<FetchedPartition & { readonly giveBack: () => void }> =>
    asked(partition, async () => {
      const connection = await cluster.leaderConnection(topic, partition, 'read');
      const bytes = Math.max(bytesMax, limits.kafkaFetchBytesMin);
      const request = fetchRequest(topic, [{ partition, offset: from, bytesMax: bytes }], {
        waitMs: 0,
        bytesMin: 1,
        bytesMax: bytes,
      });
      const bytesOfAnswer = await connection.request(apis.fetch, [request]);
      const { error, partitions } = readFetched(bytesOfAnswer);
      const [answer] = partitions;
      const isOutside = answer?.error === OFFSET_OUT_OF_RANGE;
      const giveBack = (): void => connection.giveBack(bytesOfAnswer);
      return { error: error !== 0 || isOutside ? error : (answer?.error ?? 0), answer: { ...answer, giveBack } };
    });

  /** Reads of the same place by several readers are one fetch. */
  const fetching = new Map<string, Promise<Chunk | undefined>>();
  const chunkAt = (partition: number, from: number, bytesMax: number): Promise<Chunk | undefined> => {
    const key = `${partition} ${from}`;
    let reading = fetching.get(key);
    if (reading === undefined) {
      reading = readChunk(partition, from, bytesMax).finally(() => fetching.delete(key));
      fetching.set(key, reading);
    }
    return reading;
  };

  async function readChunk(partition: number, from: number, bytesMax: number): Promise<Chunk | undefined> {
    const answer = await fetched(partition, from, bytesMax);
    if (answer.error === 0) {
      const chunk = keep(answer, from);
      answer.giveBack();
      return chunk;
    }
    // Outside of what there is: before its start, because retention has removed it, or behind its end.
    const { firstSequence } = await ask(partition);
    return from < firstSequence ? readChunk(partition, firstSequence, bytesMax) : undefined;
  }

  await Promise.all(Array.from({ length: partitionCount }, (_, partition) => ask(partition)));
  return {
    name,
    topic,
    stats: () => ({ ...counters, pendingBytes: writer.pendingBytes, keptBytes: chunks.bytes }),
    partitionCount,
    createdTime: options.createdTime,
    writer: form === undefined ? opaqueWriter(writer) : writer,
    partition: (partition) => ask(known(partition)),
    lastKnown: (partition) => facts.of(known(partition)),
    seek: (partition, position) => seek(known(partition), position),
    async read(partition, fromSequence, bytesMax) {
      let from = Math.max(0, fromSequence);
      if (from >= facts.next(known(partition))) return [];
      for (;;) {
        const chunk = chunks.find(partition, from) ?? (await chunkAt(partition, from, bytesMax));
        if (chunk === undefined || chunk.next === chunk.from) return [];
        // It has had to make room before this reader could look.
        if (chunk.isDropped && chunk.runs.length > 0) continue;
        const { runs } = takeRuns(chunk.runs, from, bytesMax);
        if (runs.length > 0) {
          memory.hold(chunk.memory);
          answers.set(runs, chunk.memory);
          return runs;
        }
        // Nothing behind this place in it can be read: what follows it is next.
        from = chunk.next;
      }
    },
    giveBack(answer) {
      const held = answers.get(answer);
      if (held === undefined) return;
      answers.delete(answer);
      memory.letGo(held);
    },
    watch(partition, listener) {
      const unwatch = watchers.add(known(partition), listener);
      const unfollow = follower.watch(partition);
      return () => {
        unwatch();
        unfollow();
      };
    },
    health: () => (producer.failure === undefined ? healthy : { ok: false, ...producer.failure }),
    followFacts(listener) {
      facts.changed = listener;
    },
    async close() {
      await writer.drained();
      follower.close();
      producer.close();
    },
  };

  async function seek(partition: number, position: EventPosition): Promise<number> {
    switch (position.kind) {
      case 'start':
        return (await ask(partition)).firstSequence;
      case 'end':
        return (await ask(partition)).lastSequence + 1;
      case 'sequence':
        return Math.max(
          facts.of(partition).firstSequence,
          position.inclusive ? position.sequence : position.sequence + 1,
        );
      case 'time': {
        const { offset } = await listed(partition, Math.max(0, earliestTime(position)));
        return offset >= 0 ? offset : (await ask(partition)).lastSequence + 1;
      }
    }
  }
}

const healthy = { ok: true } as const;
const READ_PAUSE_MS = 200;

interface CommitterParts {
  readonly producer: KafkaProducer;
  readonly facts: Facts;
  readonly counters: { batchesTotal: number; recordsTotal: number; writtenBytesTotal: number; failuresTotal: number };
  readonly committed: KafkaEventLogOptions['committed'];
  readonly mayAcknowledge: KafkaEventLogOptions['mayAcknowledge'];
}

/** One that fails is followed by nothing of its epoch: the producer gives up all that waits, and what comes later is refused here. */
function committer({
  producer,
  facts,
  counters,
  committed,
  mayAcknowledge,
}: CommitterParts): (batch: SealedBatch, epoch: number) => Promise<void> {
  /** The first epoch of which no batch has failed. The writer may be ahead: where a later batch fails before an earlier one, it counts both. */
  let goodEpoch = 0;
  return async (batch, epoch) => {
    if (epoch < goodEpoch) throw new EventLogUnavailable('a batch before this one could not be made durable');
    const begun = performance.now();
    let records = 0;
    try {
      await Promise.all(
        Array.from(batch.counts, async (count, partition) => {
          if (count === 0) return;
          records += count;
          const pieces = batch.pieces(partition);
          assert(pieces.length === 1, 'a batch for Kafka has one writer');
          const [{ bytes }] = pieces;
          const { firstOffset, time } = await producer.append(partition, { bytes, end: bytes.length, count });
          if (firstOffset >= 0) facts.hear(partition, { next: firstOffset + count, lastTime: Math.max(0, time) });
        }),
      );
      // It is durable, and its devices may be another node's by now: they send it again there.
      if (mayAcknowledge?.() === false)
        throw new EventLogUnavailable('this node has no lease, and acknowledges nothing');
    } catch (error) {
      counters.failuresTotal++;
      goodEpoch = Math.max(goodEpoch, epoch + 1);
      throw error;
    }
    counters.batchesTotal++;
    counters.recordsTotal += records;
    counters.writtenBytesTotal += batch.bytes;
    committed?.(batch.bytes, (performance.now() - begun) / 1000);
  };
}

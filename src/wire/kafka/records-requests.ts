/** Records written, read, and found by time. */
import { type FieldReader, FieldWriter } from './fields.ts';

/** A sealed batch for one partition. */
export interface PartitionBatch {
  readonly partition: number;
  /** In pieces, which are written as they are. */
  readonly batch: readonly Buffer[];
  readonly bytes: number;
}

/** The pieces of a request with one batch for each of some partitions of a topic, acknowledged by all replicas in sync. */
export function produceRequest(topic: string, batches: readonly PartitionBatch[], timeoutMs: number): Buffer[] {
  const head = new FieldWriter().text(null).int16(-1).int32(timeoutMs);
  head
    .uvarint(2)
    .text(topic)
    .uvarint(batches.length + 1);
  const pieces: Buffer[] = [head.done()];
  for (const { partition, batch, bytes } of batches) {
    pieces.push(
      new FieldWriter()
        .int32(partition)
        .uvarint(bytes + 1)
        .done(),
      ...batch,
      noTags,
    );
  }
  // Of the topic, and of the request.
  pieces.push(noTags, noTags);
  return pieces;
}

const noTags = new FieldWriter().noTags().done();

export interface ProduceAnswer {
  readonly partition: number;
  readonly error: number;
  /** Offset of the batch's first record. */
  readonly firstOffset: number;
  /** The broker's time for the batch, UTC milliseconds; -1 = the topic keeps the producer's. */
  readonly time: number;
  readonly logStart: number;
  /** What the broker says of an error; may be empty. */
  readonly message: string;
}

export function readProduceAnswers(reader: FieldReader): ProduceAnswer[] {
  const topics = reader.list(() => {
    reader.text();
    const partitions = reader.list(() => readProduceAnswer(reader));
    reader.skipTags();
    return partitions;
  });
  return topics.flat();
}

function readProduceAnswer(reader: FieldReader): ProduceAnswer {
  const partition = reader.int32();
  const error = reader.int16();
  const firstOffset = reader.int64();
  const time = reader.int64();
  const logStart = reader.int64();
  const ofRecords = reader.list(() => {
    reader.int32();
    const message = reader.text() ?? '';
    reader.skipTags();
    return message;
  });
  const message = reader.text() ?? ofRecords.join('; ');
  reader.skipTags();
  return { partition, error, firstOffset, time, logStart, message };
}

export interface FetchPlace {
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax: number;
}

export interface FetchBounds {
  /** How long the broker waits for `bytesMin`. */
  readonly waitMs: number;
  readonly bytesMin: number;
  /** Of the answer as a whole; a first batch that is larger comes all the same. */
  readonly bytesMax: number;
}

export function fetchRequest(
  topic: string,
  places: readonly FetchPlace[],
  { waitMs, bytesMin, bytesMax }: FetchBounds,
): Buffer {
  const out = new FieldWriter().int32(-1).int32(waitMs).int32(bytesMin).int32(bytesMax);
  // What is committed and what is not: the hub writes no transactions. Without a session.
  out.int8(0).int32(0).int32(-1);
  out.list([topic], () => {
    out.text(topic).list(places, ({ partition, offset, bytesMax: max }) => {
      out.int32(partition).int32(-1).int64(offset).int32(-1).int64(-1).int32(max).noTags();
    });
    out.noTags();
  });
  // No topics are left out of a session; of any rack.
  return out
    .list([], () => {})
    .text('')
    .noTags()
    .done();
}

export interface FetchedPartition {
  readonly partition: number;
  readonly error: number;
  /** Behind the last record that readers may see. */
  readonly highWatermark: number;
  readonly logStart: number;
  /** Record batches as the log has them; the last one may be cut off. */
  readonly records: Buffer;
}

export function readFetched(reader: FieldReader): {
  readonly error: number;
  readonly partitions: readonly FetchedPartition[];
} {
  reader.int32();
  const error = reader.int16();
  reader.int32();
  const topics = reader.list(() => {
    reader.text();
    const partitions = reader.list(() => readFetchedPartition(reader));
    reader.skipTags();
    return partitions;
  });
  return { error, partitions: topics.flat() };
}

function readFetchedPartition(reader: FieldReader): FetchedPartition {
  const partition = reader.int32();
  const error = reader.int16();
  const highWatermark = reader.int64();
  reader.int64();
  const logStart = reader.int64();
  reader.list(() => {
    reader.wideInt64();
    reader.int64();
    reader.skipTags();
  });
  reader.int32();
  const records = reader.bytes();
  reader.skipTags();
  return { partition, error, highWatermark, logStart, records };
}

/** Places that `listOffsets` finds besides that of a time. */
export const offsetOf = { end: -1, start: -2, largestTime: -3 } as const;

/** @param time UTC milliseconds (the first record of that time or later), or one of `offsetOf` */
export function listOffsetsRequest(
  topic: string,
  partitions: readonly { readonly partition: number; readonly time: number }[],
): Buffer {
  const out = new FieldWriter().int32(-1).int8(0);
  out.list([topic], () => {
    out.text(topic).list(partitions, ({ partition, time }) => {
      out.int32(partition).int32(-1).int64(time).noTags();
    });
    out.noTags();
  });
  return out.noTags().done();
}

export interface ListedOffset {
  readonly partition: number;
  readonly error: number;
  /** UTC milliseconds of the record, where one was asked for by time; -1 = none. */
  readonly time: number;
  /** -1 = no record is of that time or later. */
  readonly offset: number;
}

export function readListedOffsets(reader: FieldReader): ListedOffset[] {
  reader.int32();
  const topics = reader.list(() => {
    reader.text();
    const partitions = reader.list(() => {
      const partition = reader.int32();
      const error = reader.int16();
      const listed = { partition, error, time: reader.int64(), offset: reader.int64() };
      reader.int32();
      reader.skipTags();
      return listed;
    });
    reader.skipTags();
    return partitions;
  });
  return topics.flat();
}

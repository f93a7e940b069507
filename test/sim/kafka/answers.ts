/** What the simulation's brokers are asked, and what they answer, as bytes of Kafka's protocol. */
import { FieldReader, FieldWriter } from '../../../src/wire/kafka/fields.ts';

export interface AskedBatch {
  readonly partition: number;
  readonly bytes: Buffer;
}

export function readProduce(body: Buffer): { readonly waitMs: number; readonly batches: readonly AskedBatch[] } {
  const reader = new FieldReader(body);
  reader.text();
  reader.int16();
  const waitMs = reader.int32();
  const topics = reader.list(() => {
    reader.text();
    const batches = reader.list(() => {
      const batch = { partition: reader.int32(), bytes: Buffer.from(reader.bytes()) };
      reader.skipTags();
      return batch;
    });
    reader.skipTags();
    return batches;
  });
  return { waitMs, batches: topics.flat() };
}

export interface ProducedAnswer {
  readonly partition: number;
  readonly error: number;
  readonly first: number;
  readonly time: number;
}

export function produceAnswer(topic: string, answers: readonly ProducedAnswer[]): FieldReader {
  const out = new FieldWriter();
  out.list([topic], () => {
    out.text(topic).list(answers, ({ partition, error, first, time }) => {
      out.int32(partition).int16(error).int64(first).int64(time).int64(0);
      out
        .list([], () => {})
        .text(null)
        .noTags();
    });
    out.noTags();
  });
  return asAnswer(out.int32(0).noTags());
}

export interface AskedPlace {
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax: number;
}

export function readFetch(body: Buffer): { readonly waitMs: number; readonly places: readonly AskedPlace[] } {
  const reader = new FieldReader(body);
  reader.int32();
  const waitMs = reader.int32();
  reader.int32();
  reader.int32();
  reader.int8();
  reader.int32();
  reader.int32();
  const topics = reader.list(() => {
    reader.text();
    const places = reader.list(() => {
      const partition = reader.int32();
      reader.int32();
      const offset = reader.int64();
      reader.int32();
      reader.int64();
      const bytesMax = reader.int32();
      reader.skipTags();
      return { partition, offset, bytesMax };
    });
    reader.skipTags();
    return places;
  });
  return { waitMs, places: topics.flat() };
}

export interface FetchedAnswer {
  readonly partition: number;
  readonly error: number;
  readonly end: number;
  readonly records: Buffer;
}

export function fetchAnswer(topic: string, answers: readonly FetchedAnswer[]): FieldReader {
  const out = new FieldWriter().int32(0).int16(0).int32(0);
  out.list([topic], () => {
    out.text(topic).list(answers, ({ partition, error, end, records }) => {
      out.int32(partition).int16(error).int64(end).int64(end).int64(0);
      out
        .list([], () => {})
        .int32(-1)
        .bytes(records)
        .noTags();
    });
    out.noTags();
  });
  return asAnswer(out.noTags());
}

export function readListOffsets(body: Buffer): readonly { readonly partition: number; readonly time: number }[] {
  const reader = new FieldReader(body);
  reader.int32();
  reader.int8();
  const topics = reader.list(() => {
    reader.text();
    const asked = reader.list(() => {
      const partition = reader.int32();
      reader.int32();
      const time = reader.int64();
      reader.skipTags();
      return { partition, time };
    });
    reader.skipTags();
    return asked;
  });
  return topics.flat();
}

export interface ListedAnswer {
  readonly partition: number;
  readonly error: number;
  readonly time: number;
  readonly offset: number;
}

export function listOffsetsAnswer(topic: string, answers: readonly ListedAnswer[]): FieldReader {
  const out = new FieldWriter().int32(0);
  out.list([topic], () => {
    out.text(topic).list(answers, ({ partition, error, time, offset }) => {
      out.int32(partition).int16(error).int64(time).int64(offset).int32(-1).noTags();
    });
    out.noTags();
  });
  return asAnswer(out.noTags());
}

export interface Leader {
  readonly leader: number;
  readonly leaderEpoch: number;
}

export function metadataAnswer(topic: string, brokers: readonly number[], leaders: readonly Leader[]): FieldReader {
  const out = new FieldWriter().int32(0);
  out.list(brokers, (id) => void out.int32(id).text(`broker-${id}`).int32(9092).text(null).noTags());
  out.text('simulated').int32(brokers[0] ?? -1);
  out.list([topic], () => {
    out.int16(0).text(topic).int64(0).int64(0).bool(false);
    const numbered = leaders.map((leader, partition) => ({ partition, ...leader }));
    out.list(numbered, ({ partition, leader, leaderEpoch }) => {
      out.int16(0).int32(partition).int32(leader).int32(leaderEpoch);
      for (const ids of [brokers, brokers, []]) out.list(ids, (id) => void out.int32(id));
      out.noTags();
    });
    out.int32(0).noTags();
  });
  return asAnswer(out.noTags());
}

export function producerIdAnswer(error: number, id: bigint): FieldReader {
  return asAnswer(new FieldWriter().int32(0).int16(error).int64(Number(id)).int16(0).noTags());
}

const asAnswer = (out: FieldWriter): FieldReader => new FieldReader(out.done());

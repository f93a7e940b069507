/** Who the brokers are and who leads which partition; a producer's id; topics and their settings. */
import { type FieldReader, FieldWriter } from './fields.ts';

export interface BrokerAddress {
  readonly id: number;
  readonly host: string;
  readonly port: number;
}

export interface PartitionPlace {
  readonly error: number;
  readonly partition: number;
  /** -1 = it has none at the moment. */
  readonly leader: number;
  /** Grows with each leader; what says less is out of date. */
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSync: readonly number[];
}

export interface ClusterFacts {
  readonly brokers: readonly BrokerAddress[];
  readonly clusterId: string | undefined;
  readonly controller: number;
  readonly topics: readonly {
    readonly error: number;
    readonly name: string;
    readonly partitions: readonly PartitionPlace[];
  }[];
}

export function metadataRequest(topics: readonly string[]): Buffer {
  const out = new FieldWriter();
  out.list(topics, (name) => void out.raw(Buffer.alloc(16)).text(name).noTags());
  // No topic is made by asking for it; operations that are allowed are not asked for.
  return out.bool(false).bool(false).noTags().done();
}

export function readMetadata(reader: FieldReader): ClusterFacts {
  reader.int32();
  const brokers = reader.list(() => {
    const broker = { id: reader.int32(), host: reader.text() ?? '', port: reader.int32() };
    reader.text();
    reader.skipTags();
    return broker;
  });
  const clusterId = reader.text() ?? undefined;
  const controller = reader.int32();
  const topics = reader.list(() => {
    const error = reader.int16();
    const name = reader.text() ?? '';
    reader.wideInt64();
    reader.wideInt64();
    reader.bool();
    const partitions = reader.list(() => readPartitionPlace(reader));
    reader.int32();
    reader.skipTags();
    return { error, name, partitions: partitions.sort((a, b) => a.partition - b.partition) };
  });
  return { brokers, clusterId, controller, topics };
}

function readPartitionPlace(reader: FieldReader): PartitionPlace {
  const ids = (): number[] => reader.list(() => reader.int32());
  const error = reader.int16();
  const partition = reader.int32();
  const leader = reader.int32();
  const leaderEpoch = reader.int32();
  const place = { error, partition, leader, leaderEpoch, replicas: ids(), inSync: ids() };
  ids();
  reader.skipTags();
  return place;
}

/** Asks for a producer id of its own, without transactions. */
export function initProducerIdRequest(): Buffer {
  return new FieldWriter().text(null).int32(0x7fffffff).int64(-1).int16(-1).noTags().done();
}

export function readProducerId(reader: FieldReader): {
  readonly error: number;
  readonly id: bigint;
  readonly epoch: number;
} {
  reader.int32();
  return { error: reader.int16(), id: reader.wideInt64(), epoch: reader.int16() };
}

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  /** -1 = as the brokers have it by default. */
  readonly replicas: number;
  readonly settings: Readonly<Record<string, string>>;
}

export function createTopicsRequest(topics: readonly NewTopic[], timeoutMs: number): Buffer {
  const out = new FieldWriter();
  out.list(topics, ({ name, partitions, replicas, settings }) => {
    out.text(name).int32(partitions).int16(replicas);
    // The brokers choose who holds what.
    out.list([], () => {});
    out.list(Object.entries(settings), ([setting, value]) => void out.text(setting).text(value).noTags());
    out.noTags();
  });
  return out.int32(timeoutMs).bool(false).noTags().done();
}

export function readCreatedTopics(
  reader: FieldReader,
): { readonly name: string; readonly error: number; readonly message: string }[] {
  reader.int32();
  return reader.list(() => {
    const name = reader.text() ?? '';
    reader.wideInt64();
    reader.wideInt64();
    const error = reader.int16();
    const message = reader.text() ?? '';
    reader.int32();
    reader.int16();
    reader.list(() => {
      reader.text();
      reader.text();
      reader.bool();
      reader.int8();
      reader.bool();
      reader.skipTags();
    });
    reader.skipTags();
    return { name, error, message };
  });
}

/** `DescribeConfigs` of topics (resource type 2). */
export function describeTopicsRequest(topics: readonly string[], settings: readonly string[]): Buffer {
  const out = new FieldWriter();
  out.list(topics, (name) => {
    out
      .int8(2)
      .text(name)
      .list(settings, (setting) => void out.text(setting));
    out.noTags();
  });
  return out.bool(false).bool(false).noTags().done();
}

export interface TopicSettings {
  readonly name: string;
  readonly error: number;
  readonly message: string;
  readonly settings: Readonly<Record<string, string>>;
}

export function readTopicSettings(reader: FieldReader): TopicSettings[] {
  reader.int32();
  return reader.list(() => {
    const error = reader.int16();
    const message = reader.text() ?? '';
    reader.int8();
    const name = reader.text() ?? '';
    const settings = reader.list(() => readSetting(reader));
    reader.skipTags();
    return { name, error, message, settings: Object.fromEntries(settings) };
  });
}

function readSetting(reader: FieldReader): readonly [string, string] {
  const setting = [reader.text() ?? '', reader.text() ?? ''] as const;
  reader.bool();
  reader.int8();
  reader.bool();
  reader.list(() => {
    reader.text();
    reader.text();
    reader.int8();
    reader.skipTags();
  });
  reader.int8();
  reader.text();
  reader.skipTags();
  return setting;
}

/** `IncrementalAlterConfigs` of one topic: each setting is set to its value. */
export function alterTopicRequest(topic: string, settings: Readonly<Record<string, string>>): Buffer {
  const out = new FieldWriter();
  out.list([topic], (name) => {
    out.int8(2).text(name);
    // Operation 0 sets.
    out.list(Object.entries(settings), ([setting, value]) => void out.text(setting).int8(0).text(value).noTags());
    out.noTags();
  });
  return out.bool(false).noTags().done();
}

export function readAlteredTopics(reader: FieldReader): { readonly error: number; readonly message: string }[] {
  reader.int32();
  return reader.list(() => {
    const altered = { error: reader.int16(), message: reader.text() ?? '' };
    reader.int8();
    reader.text();
    reader.skipTags();
    return altered;
  });
}

/** `DeleteRecords`, to be asked of the partition's leader. @param before the first offset that stays */
export function deleteRecordsRequest(topic: string, partition: number, before: number, timeoutMs: number): Buffer {
  const out = new FieldWriter();
  out.list([topic], (name) => {
    out.text(name).list([partition], (each) => void out.int32(each).int64(before).noTags());
    out.noTags();
  });
  return out.int32(timeoutMs).noTags().done();
}

/** @returns the error of each partition that was asked for */
export function readDeletedRecords(reader: FieldReader): number[] {
  reader.int32();
  const topics = reader.list(() => {
    reader.text();
    const errors = reader.list(() => {
      reader.int32();
      reader.int64();
      const error = reader.int16();
      reader.skipTags();
      return error;
    });
    reader.skipTags();
    return errors;
  });
  return topics.flat();
}

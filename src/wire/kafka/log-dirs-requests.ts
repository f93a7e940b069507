/** What topics take on the disks of the broker that is asked (`DescribeLogDirs`, version 2). */
import { type FieldReader, FieldWriter } from './fields.ts';

/** @param partitions of the topic that are asked for */
export function describeLogDirsRequest(
  topics: readonly { readonly name: string; readonly partitions: readonly number[] }[],
): Buffer {
  const out = new FieldWriter();
  out.list(topics, ({ name, partitions }) => {
    out.text(name).list(partitions, (partition) => void out.int32(partition));
    out.noTags();
  });
  return out.noTags().done();
}

export interface TopicBytes {
  readonly name: string;
  readonly bytes: number;
}

/**
 * Of each folder for logs that the broker has: the bytes of all segments of each topic in it, replicas that are being moved there too.
 * No folder at all = whoever asks may not know. One that cannot be read has no topics.
 */
export function readLogDirs(reader: FieldReader): (readonly TopicBytes[])[] {
  reader.int32();
  return reader.list(() => {
    reader.int16();
    reader.text();
    const topics = reader.list(() => {
      const name = reader.text() ?? '';
      let bytes = 0;
      for (const each of reader.list(() => partitionBytes(reader))) bytes += each;
      reader.skipTags();
      return { name, bytes };
    });
    reader.skipTags();
    return topics;
  });
}

function partitionBytes(reader: FieldReader): number {
  reader.int32();
  const bytes = reader.int64();
  reader.int64();
  reader.bool();
  reader.skipTags();
  return bytes;
}

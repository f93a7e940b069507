/**
 * The requests that the hub makes of Kafka's brokers, and what they answer (Kafka protocol guide). Each is one version, from the
 * range that brokers 3.1 to 4.x have in common; `supportedVersions` says whether a broker has it.
 */
import { FieldReader, FieldWriter } from './fields.ts';

/** A request: which one, in which version. `isFlexible` = its head and its answer's have tagged fields. */
export interface Api {
  readonly name: string;
  readonly key: number;
  readonly version: number;
  readonly isFlexible: boolean;
}

const api = (name: string, key: number, version: number, isFlexible = true): Api => ({
  name,
  key,
  version,
  isFlexible,
});

export const apis = {
  produce: api('Produce', 0, 9),
  fetch: api('Fetch', 1, 12),
  listOffsets: api('ListOffsets', 2, 7),
  metadata: api('Metadata', 3, 12),
  saslHandshake: api('SaslHandshake', 17, 1, false),
  /** Version 0: every broker answers it, whichever versions it has. */
  apiVersions: api('ApiVersions', 18, 0, false),
  createTopics: api('CreateTopics', 19, 7),
  deleteRecords: api('DeleteRecords', 21, 2),
  initProducerId: api('InitProducerId', 22, 4),
  describeConfigs: api('DescribeConfigs', 32, 4),
  describeLogDirs: api('DescribeLogDirs', 35, 2),
  saslAuthenticate: api('SaslAuthenticate', 36, 2),
  alterConfigs: api('IncrementalAlterConfigs', 44, 1),
} as const satisfies Readonly<Record<string, Api>>;

/** The head of a request, which stands before its body, behind a length of four bytes that counts both. */
export function requestHead(
  { key, version, isFlexible }: Api,
  correlation: number,
  clientId: string,
  bodyBytes: number,
): Buffer {
  const rest = new FieldWriter().int16(key).int16(version).int32(correlation).shortText(clientId);
  if (isFlexible) rest.noTags();
  const head = rest.done();
  return Buffer.concat([new FieldWriter().int32(head.length + bodyBytes).done(), head]);
}

/** The body of an answer, behind its correlation id and tags. @param answer without its length */
export function answerBody(answer: Buffer, { isFlexible }: Api): FieldReader {
  const reader = new FieldReader(answer, 4);
  if (isFlexible) reader.skipTags();
  return reader;
}

/** Which versions of each request (by key) a broker has; an error where it has none in common with its question. */
export function supportedVersions(reader: FieldReader): {
  readonly error: number;
  readonly ranges: ReadonlyMap<number, VersionRange>;
} {
  const error = reader.int16();
  const rows = reader.longList(() => [reader.int16(), { min: reader.int16(), max: reader.int16() }] as const);
  return { error, ranges: new Map(rows) };
}

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

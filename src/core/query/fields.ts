/**
 * What a name means in a query (query reference 0.7, 0.8, 1.4): the collection's own name may stand before it, the hub's names are found in
 * any case, names that users have given in theirs only. A name that nothing has is undefined, and no error.
 */
import type { Collection, Segments } from './syntax.ts';

/** The members of a row that the hub gives, as they are written in an answer. */
export const rowFields = [
  'deviceId',
  'moduleId',
  'etag',
  'deviceEtag',
  'status',
  'statusReason',
  'statusUpdateTime',
  'connectionState',
  'connectionStateUpdatedTime',
  'lastActivityTime',
  'cloudToDeviceMessageCount',
  'authenticationType',
  'x509Thumbprint',
  'modelId',
  'version',
  'tags',
  'properties',
  'capabilities',
  'configurations',
  'deviceScope',
  'parentScopes',
] as const;

/** The same of the records of jobs: of one device in one job each. */
export const jobFields = [
  'deviceId',
  'moduleId',
  'jobId',
  'jobType',
  'status',
  'startTimeUtc',
  'endTimeUtc',
  'createdDateTimeUtc',
  'lastUpdatedDateTimeUtc',
  'outcome',
  'error',
] as const;

export type RowField = (typeof rowFields)[number] | (typeof jobFields)[number];

/** Those that presence knows. */
export const presenceFields: ReadonlySet<RowField> = new Set([
  'connectionState',
  'connectionStateUpdatedTime',
  'lastActivityTime',
]);

/** Members of those members that the hub gives. */
const membersOf: Partial<Record<RowField, readonly string[]>> = {
  properties: ['desired', 'reported'],
  capabilities: ['iotEdge'],
  x509Thumbprint: ['primaryThumbprint', 'secondaryThumbprint'],
  outcome: ['deviceMethodResponse'],
  error: ['code', 'description'],
};

const bySmallName = new Map<string, RowField>([
  ...rowFields.map((name): [string, RowField] => [name.toLowerCase(), name]),
  // The name that device explorers ask for.
  ['statusupdatedtime', 'statusUpdateTime'],
]);

const ofJobs = new Map<string, RowField>(jobFields.map((name) => [name.toLowerCase(), name]));

/** A field of a row, with what is asked for below it. */
export interface FieldPath {
  readonly field: RowField;
  readonly below: Segments;
  /** The same as text: two paths with one key are one. */
  readonly key: string;
}

/** Undefined = no row has it. */
export function fieldOf(segments: Segments, from: Collection): FieldPath | undefined {
  const own = withoutCollection(segments, from);
  const field = (from === 'devices.jobs' ? ofJobs : bySmallName).get(String(own[0]).toLowerCase());
  if (field === undefined || typeof own[0] === 'number') return undefined;
  const [first, ...rest] = own.slice(1);
  if (first === undefined) return pathTo(field, []);
  const member = membersOf[field]?.find((name) => name.toLowerCase() === String(first).toLowerCase());
  return pathTo(field, [member ?? first, ...rest]);
}

const pathTo = (field: RowField, below: Segments): FieldPath => ({
  field,
  below,
  key: JSON.stringify([field, ...below]),
});

/** `devices` stands for the row in every collection; `devices.modules` where that is the collection. */
function withoutCollection(segments: Segments, from: Collection): Segments {
  if (segments.length === 1 || String(segments[0]).toLowerCase() !== 'devices') return segments;
  const second = from.split('.')[1];
  const isWhole = second !== undefined && segments.length > 2 && String(segments[1]).toLowerCase() === second;
  return segments.slice(isWhole ? 2 : 1);
}

/** The name that a value has in an answer: its last one, with the hub's names as the hub writes them. */
export function answerName(segments: Segments, from: Collection): string {
  const path = fieldOf(segments, from);
  if (path === undefined) return String(segments[segments.length - 1]);
  return String(path.below.at(-1) ?? path.field);
}

/** The same text for all names of one field, also of one that no row has. */
export const fieldKey = (segments: Segments, from: Collection): string =>
  fieldOf(segments, from)?.key ?? JSON.stringify(segments);

/**
 * The parts of a row that change each by itself. A query hangs on some of them: a change of another one is no work for it, and rows need
 * not be read for that.
 */
import type { FieldPath } from './fields.ts';
import { pathsOf } from './plan.ts';
import type { Query } from './syntax.ts';

/** One bit each, so that several are one number. `existence`: the row is there or not, on which every query hangs. */
export const rowParts = {
  existence: 1,
  /** What the registry keeps of an identity. */
  identity: 2,
  tags: 4,
  desired: 8,
  reported: 16,
  presence: 32,
  model: 64,
  configurations: 128,
} as const;

/** Of a row that comes, goes or is made anew. */
export const everyPart = 255;

/** The parts that an answer to `query` can hang on. */
export function partsOf(query: Pick<Query, 'select' | 'from' | 'where' | 'groupBy'>): number {
  const paths = pathsOf(query);
  return paths === undefined
    ? everyPart
    : paths.reduce<number>((parts, path) => parts | partsOfPath(path), rowParts.existence);
}

export function partsOfPath({ field, below: [section] }: FieldPath): number {
  const { identity, tags, desired, reported, presence, model, existence } = rowParts;
  switch (field) {
    case 'deviceId':
    case 'moduleId':
      return existence;
    case 'tags':
      return tags;
    case 'properties':
      return section === 'desired' ? desired : section === 'reported' ? reported : desired | reported;
    case 'etag':
      return tags | desired;
    case 'version':
      return tags | desired | reported;
    case 'modelId':
      return model;
    case 'configurations':
      return rowParts.configurations;
    case 'connectionState':
    case 'connectionStateUpdatedTime':
    case 'lastActivityTime':
      return presence;
    default:
      return identity;
  }
}

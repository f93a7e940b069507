/** Where values lie in the documents of twins, as SQL names them. */
import type { FieldPath } from '../../core/query/fields.ts';

/**
 * A value in a text of JSON as SQL. The place stands in the text itself and not as a parameter: an index of such values is used only
 * where its expression is spelled like this.
 */
export function jsonValue(column: string, place: string): string {
  return `(${column} ->> '${place.replaceAll("'", "''")}')`;
}

/** Where a value of tags or properties lies in the stored document; undefined = it is not one member of it. */
export function documentPath({ field, below }: FieldPath): string | undefined {
  if (field === 'tags') return pathText(['tags', ...below]);
  if (field !== 'properties') return undefined;
  const [section, ...rest] = below;
  if ((section !== 'desired' && section !== 'reported') || rest.length === 0) return undefined;
  if (rest[0] === '$metadata') return undefined;
  return rest[0] === '$version'
    ? pathText([section, 'version', ...rest.slice(1)])
    : pathText([section, 'values', ...rest]);
}

function pathText(segments: readonly (string | number)[]): string {
  return `$${segments.map((segment) => (typeof segment === 'number' ? `[${segment}]` : `.${JSON.stringify(segment)}`)).join('')}`;
}

/** What is reported may be newer in a tail than in the document, and so cannot be found by an index of documents. */
export function indexedPlace(path: FieldPath): string {
  const place = documentPath(path);
  const isReported = path.field === 'properties' && path.below[0] !== 'desired';
  if (place === undefined || isReported || path.below.length === 0) {
    throw new Error(`${path.key} cannot be indexed: only values below tags and properties.desired can.`);
  }
  return place;
}

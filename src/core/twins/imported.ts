/** The twin of an identity that comes in a file: what is taken of it, and whether it is there already. Pure. */
import { HubError } from '../errors.ts';
import type { ImportedTwin } from '../registry-jobs/types.ts';
import { checkedContent, checkedRequest, isObject, sizeOf } from './content.ts';
import { mergedValues } from './merge.ts';
import type { JsonObject, JsonValue, SectionPatch, Twin, TwinChange } from './types.ts';

/**
 * @param tags as they stand in the file, and so are `properties`; null and undefined = nothing is said of them. What its hub has added
 *   (`$version`, `$metadata`) is left out.
 * @param kind whether what is there is replaced, or merged with it
 * @throws HubError ArgumentInvalid
 */
export function importedTwin(
  tags: JsonValue | undefined,
  properties: JsonValue | undefined,
  kind: TwinChange['kind'],
): ImportedTwin {
  const sections = objectOf(properties, 'properties');
  const [ownTags, desired] = [objectOf(tags, 'tags'), objectOf(own(sections, 'desired'), 'properties.desired')];
  const reported = objectOf(own(sections, 'reported'), 'properties.reported');
  const change =
    ownTags === undefined && desired === undefined
      ? undefined
      : {
          kind,
          ...(ownTags !== undefined && { tags: checkedRequest(ownTags, 'tags') }),
          ...(desired !== undefined && { desired: checkedRequest(desired, 'properties.desired') }),
        };
  // What a device has reported is checked as what a device reports: integers count where they come from devices only.
  const values = reported && checkedContent(reported, 'properties.reported');
  const hasReported = values !== undefined && Object.keys(values).length > 0;
  return {
    change,
    reported: hasReported ? { text: JSON.stringify(values), sizeMax: sizeOf(values) } : undefined,
  };
}

/** Whether the values of the twin would be the same after the change. */
export function isAsImported({ tags, desired }: Pick<Twin, 'tags' | 'desired'>, change: TwinChange): boolean {
  const same = (values: JsonObject, patch: SectionPatch | undefined): boolean => {
    if (patch === undefined) return true;
    const after = mergedValues(change.kind === 'merge' ? values : {}, patch);
    return areSame(values, after);
  };
  return same(tags, change.tags) && same(desired.values, change.desired);
}

/** Whether nothing can come of the change: a twin that nobody has touched has no values. */
export function saysNothing({ tags, desired }: TwinChange): boolean {
  const isEmpty = (patch: SectionPatch | undefined): boolean =>
    patch === undefined || patch === null || Object.keys(patch).length === 0;
  return isEmpty(tags) && isEmpty(desired);
}

/** The order of members does not count. */
function areSame(one: JsonValue, other: JsonValue): boolean {
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
    return one.every((each: JsonValue, at) => areSame(each, other[at] as JsonValue));
  }
  if (!isObject(one) || !isObject(other)) return one === other;
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  return names.every((name) => Object.hasOwn(other, name) && areSame(one[name], other[name]));
}

function objectOf(value: JsonValue | undefined, place: string): JsonObject | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw new HubError('ArgumentInvalid', `${place} is an object.`);
  return value;
}

function own(object: JsonObject | undefined, name: string): JsonValue | undefined {
  return object !== undefined && Object.hasOwn(object, name) ? object[name] : undefined;
}

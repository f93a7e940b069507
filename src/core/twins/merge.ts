/**
 * The merge of a section (twins reference 1.3): like RFC 7396, with a stamp beside each value. Nothing is changed in place: what is
 * not touched is shared between the twin before and after.
 *
 * Invariant: the stamp of an object has a member for each member of the object and no other; a stamp is not older than those
 * below it.
 */
import { emptyObject, isObject } from './content.ts';
import type { JsonObject, JsonValue, Section, SectionPatch, Stamp } from './types.ts';

interface Members {
  readonly values: JsonObject;
  readonly stamps: Readonly<Record<string, Stamp>>;
}

const nothing: Members = { values: emptyObject() as JsonObject, stamps: emptyObject() as Record<string, never> };

/** A section that nobody has changed yet. */
export function freshSection(): Section {
  return { version: 1, values: nothing.values, stamp: [0, 0, nothing.stamps] };
}

/**
 * The section after a merge, with the next version; null clears it.
 * @param time UTC milliseconds
 * @param isVersioned Whether its stamps show the version by which they came: desired properties do
 */
export function mergedSection(section: Section, patch: SectionPatch, time: number, isVersioned: boolean): Section {
  const version = section.version + 1;
  const stamp: Stamp = [time, isVersioned ? version : 0];
  const before = patch === null ? nothing : { values: section.values, stamps: section.stamp[2] ?? nothing.stamps };
  const after = merged(before, patch ?? nothing.values, stamp);
  return { version, values: after.values, stamp: [stamp[0], stamp[1], after.stamps] };
}

/** The section with other content, and the next version. What `content` has as null is not there. */
export function replacedSection(section: Section, content: JsonObject, time: number, isVersioned: boolean): Section {
  const version = section.version + 1;
  const stamp: Stamp = [time, isVersioned ? version : 0];
  const { values, stamps } = merged(nothing, content, stamp);
  return { version, values, stamp: [stamp[0], stamp[1], stamps] };
}

/** Content without stamps: tags. */
export function mergedValues(values: JsonObject, patch: SectionPatch): JsonObject {
  if (patch === null) return nothing.values;
  const after = copyOf(values);
  for (const name of Object.keys(patch)) {
    const change = patch[name];
    if (change === null) delete after[name];
    else if (isObject(change)) after[name] = mergedValues(objectIn(after, name) ?? nothing.values, change);
    else after[name] = change;
  }
  return after;
}

function merged({ values, stamps }: Members, patch: JsonObject, stamp: Stamp): Members {
  const afterValues = copyOf(values);
  const afterStamps = copyOf(stamps);
  for (const name of Object.keys(patch)) {
    const change = patch[name];
    if (change === null) {
      delete afterValues[name];
      delete afterStamps[name];
    } else if (isObject(change)) {
      const old = objectIn(afterValues, name);
      // An object without members changes nothing of one that is there already.
      if (old !== undefined && Object.keys(change).length === 0) continue;
      const before = old === undefined ? nothing : { values: old, stamps: afterStamps[name][2] ?? nothing.stamps };
      const after = merged(before, change, stamp);
      afterValues[name] = after.values;
      afterStamps[name] = [stamp[0], stamp[1], after.stamps];
    } else {
      afterValues[name] = change;
      afterStamps[name] = stamp;
    }
  }
  return { values: afterValues, stamps: afterStamps };
}

/** As `merged`, of objects that nobody else has: they are changed. */
export function mergeInPlace(
  values: JsonObject,
  stamps: Readonly<Record<string, Stamp>>,
  patch: JsonObject,
  stamp: Stamp,
): void {
  const ownValues = values as Record<string, JsonValue>;
  const ownStamps = stamps as Record<string, Stamp>;
  for (const name of Object.keys(patch)) {
    const change = patch[name];
    if (change === null) {
      delete ownValues[name];
      delete ownStamps[name];
    } else if (isObject(change)) {
      const old = objectIn(values, name);
      if (old !== undefined && Object.keys(change).length === 0) continue;
      const below = old ?? emptyObject();
      const belowStamps = (old && stamps[name][2]) ?? (Object.create(null) as Record<string, Stamp>);
      mergeInPlace(below, belowStamps, change, stamp);
      put(ownValues, name, below);
      put(ownStamps, name, [stamp[0], stamp[1], belowStamps]);
    } else {
      put(ownValues, name, change);
      put(ownStamps, name, stamp);
    }
  }
}

/** What a parser has made has a prototype, and a member of that name is to be a member. */
function put<Value>(members: Record<string, Value>, name: string, value: Value): void {
  if (name !== '__proto__') members[name] = value;
  else Object.defineProperty(members, name, { value, writable: true, enumerable: true, configurable: true });
}

/** The patch that makes of any content nothing: each of its members as null. */
export function clearingPatch(values: JsonObject): JsonObject {
  const patch = emptyObject();
  for (const name of Object.keys(values)) patch[name] = null;
  return patch;
}

function objectIn(values: JsonObject, name: string): JsonObject | undefined {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  return isObject(value) ? value : undefined;
}

function copyOf<Value>(members: Readonly<Record<string, Value>>): Record<string, Value> {
  const copy = Object.create(null) as Record<string, Value>;
  for (const name of Object.keys(members)) copy[name] = members[name];
  return copy;
}

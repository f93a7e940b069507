/**
 * Settings of several configurations laid over each other, and what that makes of the desired properties of a twin. Pure. A setting
 * owns its path: the value there is the setting's as a whole, unless a later one sets something inside of it.
 */
import type { JsonObject, JsonValue } from '../twins/types.ts';
import type { SettingPath } from './types.ts';

export interface Setting {
  readonly path: SettingPath;
  /** Null = there is to be nothing. */
  readonly value: JsonValue;
}

export interface Overlay<Owner> {
  /** In the order in which they are set; what a later one has covered is left out. */
  readonly settings: readonly (Setting & { readonly owner: Owner })[];
  /** Those of whose settings one at least is left. */
  readonly winners: ReadonlySet<Owner>;
  /** What is owned: none begins with another. */
  readonly paths: readonly SettingPath[];
}

/** @param settings The weakest first */
export function overlay<Owner>(settings: readonly (Setting & { readonly owner: Owner })[]): Overlay<Owner> {
  const root = new Place();
  const isLeft = settings.map(() => true);
  const drop = (place: Place): void => {
    if (place.at !== undefined) isLeft[place.at] = false;
    for (const below of place.below.values()) drop(below);
  };
  for (const [at, { path }] of settings.entries()) {
    const place = root.reach(path);
    drop(place);
    place.below.clear();
    place.at = at;
  }
  const left = settings.filter((_, at) => isLeft[at]);
  return {
    settings: left,
    winners: new Set(left.map(({ owner }) => owner)),
    paths: left.map(({ path }) => path).filter((path) => !root.hasAbove(path)),
  };
}

/** Of a tree of paths: so none is compared with all others, of which there may be many thousands on one twin. */
class Place {
  readonly below = new Map<string, Place>();
  /** Which of a list stands here. */
  at: number | undefined;

  static of(paths: readonly SettingPath[]): Place {
    const root = new Place();
    for (const [at, path] of paths.entries()) root.reach(path).at = at;
    return root;
  }

  /** Made where it is not there yet. */
  reach(path: SettingPath): Place {
    let place: Place = this;
    for (const name of path) {
      let next = place.below.get(name);
      if (next === undefined) {
        next = new Place();
        place.below.set(name, next);
      }
      place = next;
    }
    return place;
  }

  /** Whether something stands where the path passes before its end. */
  hasAbove(path: SettingPath): boolean {
    let place: Place | undefined = this;
    for (const name of path) {
      if (place === undefined) return false;
      if (place.at !== undefined) return true;
      place = place.below.get(name);
    }
    return false;
  }
}

/**
 * The desired properties with other settings: what earlier ones had set and these do not is gone, with the objects that this
 * empties.
 */
export function withSettings(
  desired: JsonObject,
  earlier: readonly SettingPath[],
  { settings }: Pick<Overlay<unknown>, 'settings'>,
): JsonObject {
  const gone = Place.of(earlier);
  const rest = gone.at === undefined ? without(desired, gone) : emptyObject();
  const after = settled(rest, Place.of(settings.map(({ path }) => path)), settings);
  return isObject(after) ? after : emptyObject();
}

/** The merge that makes `after` of `before`; undefined = they are equal. */
export function mergeBetween(before: JsonObject, after: JsonObject): JsonObject | undefined {
  if (before === after) return undefined;
  const patch = emptyObject();
  for (const name of Object.keys(before)) if (!Object.hasOwn(after, name)) patch[name] = null;
  for (const name of Object.keys(after)) {
    const value = after[name];
    const old = Object.hasOwn(before, name) ? before[name] : undefined;
    if (isObject(value) && isObject(old)) {
      const below = mergeBetween(old, value);
      if (below !== undefined) patch[name] = below;
    } else if (old === undefined || !isEqual(old, value)) patch[name] = value;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

function without(values: JsonObject, place: Place): JsonObject {
  let copy: Record<string, JsonValue> | undefined;
  for (const [name, below] of place.below) {
    if (!Object.hasOwn(values, name)) continue;
    const value = values[name];
    if (below.at === undefined && !isObject(value)) continue;
    const left = below.at === undefined ? without(value as JsonObject, below) : undefined;
    if (left === value) continue;
    copy ??= copyOf(values);
    if (left === undefined || Object.keys(left).length === 0) delete copy[name];
    else copy[name] = left;
  }
  return copy ?? values;
}

/** @returns Undefined = nothing is to be there */
function settled(
  before: JsonValue | undefined,
  place: Place,
  settings: Overlay<unknown>['settings'],
): JsonValue | undefined {
  const value = place.at === undefined ? before : withoutNulls(settings[place.at].value);
  const object = isObject(value) ? value : undefined;
  let copy: Record<string, JsonValue> | undefined;
  for (const [name, below] of place.below) {
    const old = object !== undefined && Object.hasOwn(object, name) ? object[name] : undefined;
    const after = settled(old, below, settings);
    // What is to be removed from where there is nothing makes no objects on the way.
    if (after === old) continue;
    copy ??= copyOf(object ?? emptyObject());
    if (after === undefined) delete copy[name];
    else copy[name] = after;
  }
  return copy ?? value;
}

/** Null deletes, inside of a value as well. */
function withoutNulls(value: JsonValue): JsonValue | undefined {
  if (value === null) return undefined;
  if (!isObject(value)) return value;
  const copy = emptyObject();
  for (const name of Object.keys(value)) {
    const below = withoutNulls(value[name]);
    if (below !== undefined) copy[name] = below;
  }
  return copy;
}

function copyOf(values: JsonObject): Record<string, JsonValue> {
  const copy = emptyObject();
  for (const name of Object.keys(values)) copy[name] = values[name];
  return copy;
}

/** Any text may be a name, `__proto__` as well. */
function emptyObject(): Record<string, JsonValue> {
  return Object.create(null) as Record<string, JsonValue>;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of values that are not both objects, or lie in arrays. */
function isEqual(left: JsonValue, right: JsonValue): boolean {
  if (left === right) return true;
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((value: JsonValue, at) => isEqual(value, right[at]));
  }
  return isObject(left) && isObject(right) && mergeBetween(left, right) === undefined;
}

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
  let left: (Setting & { readonly owner: Owner })[] = [];
  for (const setting of settings) {
    left = left.filter(({ path }) => !beginsWith(path, setting.path));
    left.push(setting);
  }
  return { settings: left, winners: new Set(left.map(({ owner }) => owner)), paths: outermost(left) };
}

function outermost(settings: readonly Setting[]): readonly SettingPath[] {
  const paths = settings.map(({ path }) => path);
  return paths.filter((path) => !paths.some((other) => other !== path && beginsWith(path, other)));
}

/** Whether `path` is `start`, or lies below it. */
function beginsWith(path: SettingPath, start: SettingPath): boolean {
  return path.length >= start.length && start.every((name, at) => path[at] === name);
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
  let after = desired;
  for (const path of earlier) after = without(after, path);
  for (const { path, value } of settings) after = withAt(after, path, withoutNulls(value));
  return after;
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

function without(values: JsonObject, path: SettingPath): JsonObject {
  const [name, ...rest] = path;
  if (name === undefined) return emptyObject();
  if (!Object.hasOwn(values, name)) return values;
  const value = values[name];
  if (rest.length === 0) return copyWithout(values, name);
  if (!isObject(value)) return values;
  const below = without(value, rest);
  if (below === value) return values;
  return Object.keys(below).length === 0 ? copyWithout(values, name) : copyWith(values, name, below);
}

/** @param value Undefined = nothing is to be there */
function withAt(values: JsonObject, path: SettingPath, value: JsonValue | undefined): JsonObject {
  const [name, ...rest] = path;
  if (name === undefined) return isObject(value) ? value : emptyObject();
  if (rest.length === 0) return value === undefined ? copyWithout(values, name) : copyWith(values, name, value);
  const old = Object.hasOwn(values, name) ? values[name] : undefined;
  // What is to be removed from where there is nothing makes no objects on the way.
  if (!isObject(old) && value === undefined) return values;
  return copyWith(values, name, withAt(isObject(old) ? old : emptyObject(), rest, value));
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

function copyWith(values: JsonObject, name: string, value: JsonValue): JsonObject {
  const copy = copyWithout(values, undefined);
  copy[name] = value;
  return copy;
}

function copyWithout(values: JsonObject, name: string | undefined): Record<string, JsonValue> {
  const copy = emptyObject();
  for (const each of Object.keys(values)) if (each !== name) copy[each] = values[each];
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

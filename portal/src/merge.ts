/** What of a JSON document has changed, for people and as a merge patch (RFC 7386, as the hub's twins have it). */

export interface Change {
  /** As `tags.site`. */
  readonly path: string;
  /** Undefined: it was not there. */
  readonly before: unknown;
  /** Undefined: it is gone. */
  readonly after: unknown;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const same = (a: unknown, b: unknown): boolean => {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, at) => same(item, b[at]));
  if (!isObject(a) || !isObject(b)) return false;
  const [left, right] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return (
    left.size === right.size && [...left].every(([name, value]) => right.has(name) && same(value, right.get(name)))
  );
};

/** Changes from one document to another; lists count as one value. */
export function changesOf(before: unknown, after: unknown, path = ''): readonly Change[] {
  if (same(before, after)) return [];
  if (!isObject(before) || !isObject(after)) return [{ path, before, after }];
  const [left, right] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((name) =>
    changesOf(left.get(name), right.get(name), path === '' ? name : `${path}.${name}`),
  );
}

/** The patch that makes `after` of `before`; undefined = there is nothing to do. */
export function patchOf(before: unknown, after: unknown): unknown {
  if (same(before, after)) return undefined;
  if (!isObject(before) || !isObject(after)) return after;
  const [left, right] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  const entries: [string, unknown][] = [];
  for (const name of left.keys()) if (!right.has(name)) entries.push([name, null]);
  for (const [name, value] of right) {
    const patch = left.has(name) ? patchOf(left.get(name), value) : value;
    if (patch !== undefined) entries.push([name, patch]);
  }
  // Defines members, so that one of the name `__proto__` is one.
  return Object.fromEntries(entries);
}

/** A document with a patch merged into it. */
export function merged(document: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const members = new Map(isObject(document) ? Object.entries(document) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) members.delete(name);
    else members.set(name, merged(members.get(name), value));
  }
  return Object.fromEntries(members);
}

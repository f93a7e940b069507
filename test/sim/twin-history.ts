/** The history of a device's twins as its events tell it: each change once, at consecutive versions, from a creation to a deletion. */
import type { JsonObject, JsonValue } from '../../src/core/twins/types.ts';

/** An event of a twin or an identity, as readers of events see it. */
export interface SeenTwinEvent {
  readonly deviceId: string;
  readonly opType: string;
  readonly body: JsonObject;
}

interface History {
  values: JsonObject;
  version: number;
  readonly states: Map<number, JsonObject>;
  readonly patches: Map<number, JsonObject>;
}

/** From the creation of an identity to its deletion. */
export interface Epoch {
  version: number;
  isOver: boolean;
  tags: JsonObject;
  readonly desired: History;
  readonly reported: History;
  /** `name` is what the change wrote as `by`; `section` the version of the properties that it changed, 0 = none. */
  readonly steps: { readonly name: string | undefined; readonly version: number; readonly section: number }[];
}

export function historyOf(events: readonly SeenTwinEvent[], wrong: (what: string) => void): readonly Epoch[] {
  const epochs: Epoch[] = [];
  for (const { opType, body } of events) {
    const last = epochs.at(-1);
    const epoch = last?.isOver === false ? last : undefined;
    if (opType === 'createDeviceIdentity') {
      if (epoch !== undefined) wrong('it was created twice');
      epochs.push(freshEpoch());
    } else if (epoch === undefined) wrong(`${opType} of what is not there: ${JSON.stringify(body)}`);
    else if (opType === 'deleteDeviceIdentity') {
      epoch.isOver = true;
      if (body.version !== epoch.version) wrong(`it was deleted at version ${body.version}, behind ${epoch.version}`);
    } else take(epoch, opType, body, wrong);
  }
  return epochs;
}

export function sameJson(one: JsonValue, other: JsonValue): boolean {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}

function freshEpoch(): Epoch {
  const section = (): History => ({ values: {}, version: 1, states: new Map([[1, {}]]), patches: new Map() });
  return { version: 2, isOver: false, tags: {}, desired: section(), reported: section(), steps: [] };
}

function take(epoch: Epoch, opType: string, body: JsonObject, wrong: (what: string) => void): void {
  const version = Number(body.version);
  if (version !== epoch.version + 1) wrong(`version ${version} comes behind ${epoch.version}: ${JSON.stringify(body)}`);
  epoch.version = version;
  const isWhole = opType === 'replaceTwin';
  const properties = (body.properties ?? {}) as Record<string, JsonObject>;
  let name: JsonValue | undefined;
  let section = 0;
  if (body.tags !== undefined || isWhole) {
    const tags = (body.tags ?? {}) as JsonObject;
    epoch.tags = isWhole ? tags : merged(epoch.tags, tags);
    name = tags.by;
  }
  for (const part of ['desired', 'reported'] as const) {
    const told = properties[part];
    if (told === undefined) continue;
    const { $version, $metadata: _, ...patch } = told;
    const history = epoch[part];
    // A whole twin has both sections; what has not changed keeps its version.
    if (isWhole && (part === 'reported' || $version === history.version)) {
      if (!sameJson(history.values, patch)) wrong(`${part} changed without a version: ${JSON.stringify(body)}`);
      continue;
    }
    if ($version !== history.version + 1) wrong(`${part} ${$version} come behind ${history.version}`);
    history.version = section = Number($version);
    history.values = isWhole ? patch : merged(history.values, patch);
    history.states.set(section, history.values);
    history.patches.set(section, patch);
    name ??= patch.by ?? undefined;
  }
  epoch.steps.push({ name: typeof name === 'string' ? name : undefined, version, section });
}

function merged(values: JsonObject, patch: JsonObject): JsonObject {
  const after: Record<string, JsonValue> = { ...values };
  for (const [name, value] of Object.entries(patch)) {
    const old = after[name];
    if (value === null) delete after[name];
    else after[name] = isObject(value) ? merged(isObject(old) ? old : {}, value) : value;
  }
  return after;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, sorted(value[name])]));
}

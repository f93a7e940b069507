import {
  countedBy,
  isNothing,
  isSameStates,
  modulesOf,
  refusedOf,
  type Subject,
  type Wanted,
  wantedOf,
} from '../../core/configurations/evaluate.ts';
import { type Counters, countersFor } from '../../core/configurations/metrics.ts';
import { mergeBetween } from '../../core/configurations/overlay.ts';
import type { ConfigurationStore, MissingModules, Step, StepTerms } from '../../core/configurations/ports.ts';
import { type ConfigurationSet, prepareSet, type StoredConfiguration } from '../../core/configurations/prepared.ts';
import type {
  Configuration,
  ConfigurationStates,
  Configured,
  KeptConfiguration,
} from '../../core/configurations/types.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';
import { conditionLanguage } from '../../core/query/kept-conditions.ts';
import type { FleetRow } from '../../core/query/ports.ts';
import { TwinRow } from '../../core/twins/document.ts';
import type { JsonObject, Twin } from '../../core/twins/types.ts';
import type { MemoryIdentityStore } from './identities.ts';
import type { MemoryTwinStore } from './twins.ts';

interface Entry {
  readonly stored: StoredConfiguration;
}

/**
 * Configurations in memory. A change of one marks the whole fleet, which costs nothing here, and a walk needs no place.
 */
export function createMemoryConfigurationStore(
  identities: MemoryIdentityStore,
  twins: MemoryTwinStore,
): ConfigurationStore {
  const entries = new Map<string, Entry>();
  const counts = new Map<number, number>();
  const configured = new Map<string, Configured>();
  const marks = new Map<string, { readonly key: IdentityKey; readonly touched: number }>();
  const listeners = new Set<() => void>();
  let set: ConfigurationSet = prepareSet([], conditionLanguage);
  let numbers = 0;
  let lastTouch = 0;
  let isAny = false;

  const due = (): void => {
    for (const listener of listeners) listener();
  };
  const mark = (key: IdentityKey): void => {
    const name = identityName(key);
    // No number comes twice: a mark that was settled and left again is another one.
    marks.set(name, { key, touched: ++lastTouch });
  };
  const add = (counter: number, difference: number): void => {
    const count = counts.get(counter);
    if (count !== undefined) counts.set(counter, count + difference);
  };
  const forget = (key: IdentityKey): void => {
    for (const counter of configured.get(identityName(key))?.counted ?? []) add(counter, -1);
    configured.delete(identityName(key));
  };
  let isStepping = false;
  /** What configurations change by themselves they do not look at again. */
  let isOwn = false;
  twins.watchChanges((key, part) => {
    if (!isAny || isOwn || part === 'configurations') return;
    mark(key);
    due();
  });
  identities.watchOwnWrites(({ kind, identity }) => {
    if (!isAny) return;
    const key = keyOf(identity);
    if (kind === 'deleted') {
      forget(key);
      if (key.moduleId !== undefined) mark({ deviceId: key.deviceId });
    } else mark(key);
    due();
  });
  const markAll = async (): Promise<void> => {
    for (const device of await identities.listDevices({ limit: Number.POSITIVE_INFINITY })) {
      mark(keyOf(device));
      for (const module of await identities.listModules(device.deviceId)) mark(keyOf(module));
    }
  };

  const keptOf = ({ stored: { counters, ...configuration } }: Entry): KeptConfiguration => {
    const countsOf = (of: Readonly<Record<string, number>>): Readonly<Record<string, number>> =>
      Object.fromEntries(Object.entries(of).map(([name, counter]) => [name, counts.get(counter) ?? 0]));
    return {
      ...configuration,
      systemCounts: countsOf(counters.system),
      metricCounts: countsOf(counters.metrics),
      isEverywhere: marks.size === 0,
    };
  };
  const keep = (configuration: Configuration, serial: number, counters: Counters): KeptConfiguration => {
    const entry: Entry = { stored: { ...configuration, serial, counters } };
    entries.set(configuration.id, entry);
    for (const counter of keysOf(counters)) if (!counts.has(counter)) counts.set(counter, 0);
    return keptOf(entry);
  };
  const changed = async (isNew: boolean): Promise<void> => {
    isAny = true;
    set = prepareSet(
      [...entries.values()].map(({ stored }) => stored),
      conditionLanguage,
    );
    if (isNew) await markAll();
    due();
  };
  const next = (): number => ++numbers;

  return {
    get: async (id) => {
      const entry = entries.get(id);
      return entry && keptOf(entry);
    },
    list: async () => [...entries.values()].map(keptOf).sort((a, b) => (a.id < b.id ? -1 : 1)),
    async create(configuration, countMax) {
      if (entries.has(configuration.id)) return { kind: 'exists' };
      if (entries.size >= countMax) return { kind: 'full' };
      const serial = next();
      const kept = keep(configuration, serial, countersFor(configuration, undefined, next));
      await changed(true);
      return { kind: 'done', kept: { ...kept, isEverywhere: false } };
    },
    async replace(change, ifMatch) {
      const before = entries.get(change.id)?.stored;
      if (before === undefined) return { kind: 'notFound' };
      if (ifMatch !== '*' && ifMatch !== before.etag) return { kind: 'etagMismatch' };
      if (change.content !== undefined && !isSame(before.content, change.content)) return { kind: 'otherContent' };
      const configuration = { ...change, content: before.content, createdTime: before.createdTime };
      const counters = countersFor(configuration, { configuration: before, counters: before.counters }, next);
      const kept = new Set(keysOf(counters));
      for (const counter of keysOf(before.counters)) if (!kept.has(counter)) counts.delete(counter);
      const after = keep(configuration, before.serial, counters);
      const isNew =
        before.targetCondition !== change.targetCondition ||
        before.priority !== change.priority ||
        !isSame(before.metrics, change.metrics);
      await changed(isNew);
      return { kind: 'done', kept: { ...after, isEverywhere: !isNew && after.isEverywhere } };
    },
    async delete(id, ifMatch) {
      const entry = entries.get(id);
      if (entry === undefined) return 'notFound';
      if (ifMatch !== '*' && ifMatch !== entry.stored.etag) return 'etagMismatch';
      entries.delete(id);
      for (const counter of keysOf(entry.stored.counters)) counts.delete(counter);
      await changed(true);
      return 'deleted';
    },
    async step(terms) {
      if (isStepping) {
        return { kind: 'busy', isEmpty: false, marked: 0, walked: 0, changed: 0, missing: [], refused: [] };
      }
      isStepping = true;
      const work: Work = { changed: 0, missing: [], refused: [] };
      const some = [...marks.values()].slice(0, terms.countMax);
      for (const { key, touched } of some) {
        const name = identityName(key);
        // What happens while it is looked at marks it again.
        const isWhole = await configure(key, touched, terms, work);
        if (isWhole && marks.get(name)?.touched === touched) marks.delete(name);
      }
      isStepping = false;
      return {
        kind: marks.size > 0 ? 'more' : 'idle',
        isEmpty: entries.size === 0,
        marked: some.length,
        walked: 0,
        ...work,
      } satisfies Step;
    },
    async settle(missing) {
      for (const { deviceId, touched } of missing) {
        if (marks.get(deviceId)?.touched === touched) marks.delete(deviceId);
      }
    },
    async rest() {
      if (entries.size === 0 && marks.size === 0) isAny = false;
    },
    waiting: async (countMax) => ({ marks: Math.min(marks.size, countMax), walks: false }),
    watch(listener) {
      const own = (): void => listener();
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };

  async function configure(key: IdentityKey, touched: number, terms: StepTerms, work: Work): Promise<boolean> {
    const identity = identities.peek(key);
    const kept = twins.peek(key);
    if (identity === undefined || kept === undefined) return true;
    const name = identityName(key);
    const before = configured.get(name);
    const parent = key.moduleId === undefined ? undefined : configured.get(key.deviceId);
    const rowOf = (twin: Twin, states: ConfigurationStates): FleetRow => rowFor(identity, kept.modelId, twin, states);
    const subject: Subject = {
      place: { deviceId: key.deviceId, moduleId: key.moduleId ?? '' },
      isEdge: key.moduleId === undefined && identity.capabilities.iotEdge,
      desired: kept.twin.desired.values,
      before,
      deployed: parent?.deployed ?? [],
      row: rowOf(kept.twin, before?.states ?? {}),
    };
    let wanted: Wanted = wantedOf(subject, set);
    let { twin } = kept;
    if (wanted.patch !== undefined) {
      const change = { kind: 'merge', desired: wanted.patch } as const;
      isOwn = true;
      const changing = twins.change(key, change, { ifMatch: '*', ...terms });
      isOwn = false;
      const outcome = await changing;
      if (outcome.kind === 'done') {
        work.changed++;
        twin = outcome.kept.twin;
      } else {
        wanted = refusedOf(subject, wanted);
        if (!isSameStates(wanted.states, before?.states)) {
          work.refused.push({ key, message: outcome.kind === 'refused' ? outcome.message : 'It is gone.' });
        }
      }
    }
    const counted = countedBy(subject, wanted, rowOf(twin, wanted.states), set);
    const { states, paths, deployed } = wanted;
    const after: Configured = { states, paths, deployed, counted };
    for (const counter of before?.counted ?? []) add(counter, -1);
    for (const counter of counted) add(counter, 1);
    if (isNothing(after)) configured.delete(name);
    else configured.set(name, after);
    twins.configure(key, states);
    if (key.moduleId !== undefined) return true;
    const isSame = (before?.deployed ?? []).join() === deployed.join();
    if (isSame && deployed.length === 0) return true;
    const there = (await identities.listModules(key.deviceId)).map(({ moduleId = '' }) => moduleId);
    if (!isSame) for (const moduleId of there) mark({ deviceId: key.deviceId, moduleId });
    const modules = [...modulesOf(deployed, set)]
      .filter(([moduleId]) => !there.includes(moduleId))
      .map(([moduleId, isManaged]) => ({ moduleId, isManaged }));
    if (modules.length > 0) work.missing.push({ deviceId: key.deviceId, modules, touched });
    return modules.length === 0;
  }
}

interface Work {
  changed: number;
  readonly missing: MissingModules[];
  readonly refused: { readonly key: IdentityKey; readonly message: string }[];
}

const keysOf = ({ system, metrics }: Counters): readonly number[] => [
  ...Object.values(system),
  ...Object.values(metrics),
];

const isSame = (left: object, right: object): boolean =>
  mergeBetween(left as JsonObject, right as JsonObject) === undefined;

function rowFor(identity: Identity, modelId: string, twin: Twin, states: ConfigurationStates): FleetRow {
  return new TwinRow({
    place: { deviceId: identity.deviceId, moduleId: identity.moduleId ?? '' },
    identity: () => ({
      ...identity,
      ...{ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0, cloudToDeviceMessageCount: 0 },
    }),
    modelId,
    versions: { changes: twin.changes, reported: twin.reported.version },
    twin: () => twin,
    configurations: () => states,
  });
}

function keyOf({ deviceId, moduleId }: IdentityKey): IdentityKey {
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}

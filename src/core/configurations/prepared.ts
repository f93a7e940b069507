/** Configurations as they are evaluated: conditions as functions of a row, content as settings. Made once for many identities. */
import type { FieldPath } from '../query/fields.ts';
import type { FleetPlace, FleetRow } from '../query/ports.ts';
import { managedModules, settingsBeside, settingsOf } from './content.ts';
import { type ConfigurationKind, type Counters, kindOf, systemQueries } from './metrics.ts';
import type { Setting } from './overlay.ts';
import type { Configuration } from './types.ts';

/** Rows that are meant, of one collection. */
export interface RowTest {
  readonly from: 'devices' | 'devices.modules';
  readonly fields: readonly FieldPath[];
  passes(row: FleetRow): boolean;
}

/** The condition language, which is the room of queries'. */
export interface ConditionLanguage {
  /** Undefined = nobody is meant. @throws HubError ArgumentInvalid, with the place */
  target(text: string): RowTest | undefined;
  /** A query whose rows are counted. @throws HubError ArgumentInvalid */
  counted(text: string): RowTest;
}

export interface PreparedConfiguration {
  readonly id: string;
  readonly serial: number;
  readonly kind: ConfigurationKind;
  readonly target: RowTest | undefined;
  readonly settings: readonly Setting[];
  /** Of an Edge deployment, by module. */
  readonly modules: ReadonlyMap<string, readonly Setting[]>;
  /** Modules that such a device has, and whether its runtime manages them. */
  readonly moduleNames: ReadonlyMap<string, boolean>;
  /** It sets all of `$edgeAgent`; others are laid over one that does. */
  readonly isBase: boolean;
  readonly counters: Counters;
  readonly metrics: readonly (RowTest & { readonly key: number })[];
}

export interface ConfigurationSet {
  /** The weakest first. */
  readonly all: readonly PreparedConfiguration[];
  readonly bySerial: ReadonlyMap<number, PreparedConfiguration>;
}

/** One configuration as a store keeps it. */
export interface StoredConfiguration extends Configuration {
  readonly serial: number;
  readonly counters: Counters;
}

const AGENT = '$edgeAgent';

export function prepareSet(stored: readonly StoredConfiguration[], language: ConditionLanguage): ConfigurationSet {
  const all = [...stored].sort(weakestFirst).map((each) => prepared(each, language));
  return { all, bySerial: new Map(all.map((each) => [each.serial, each])) };
}

/** The higher priority wins, of equal ones the newest (query reference 4). */
export function weakestFirst(a: StoredConfiguration, b: StoredConfiguration): number {
  return a.priority - b.priority || a.createdTime - b.createdTime || a.serial - b.serial;
}

function prepared(stored: StoredConfiguration, language: ConditionLanguage): PreparedConfiguration {
  const { id, serial, content, counters } = stored;
  const kind = kindOf(content);
  const modules = new Map<string, readonly Setting[]>();
  for (const [name, of] of Object.entries(content.modulesContent ?? {})) modules.set(name, settingsOf(of, name));
  const moduleNames = new Map([...modules.keys()].map((name) => [name, false]));
  for (const name of managedModules(modules.get(AGENT) ?? [])) moduleNames.set(name, true);
  const own = content.deviceContent ?? content.moduleContent ?? {};
  const queries = systemQueries(stored);
  const { system, metrics } = counters;
  const tests: (RowTest & { readonly key: number })[] = [];
  for (const name of ['reportedSuccessfulCount', 'reportedFailedCount'] as const) {
    const [query, key] = [queries[name], system[name]];
    if (query !== undefined && key !== undefined) tests.push({ ...language.counted(query), key });
  }
  for (const [name, query] of Object.entries(stored.metrics)) {
    tests.push({ ...language.counted(query), key: metrics[name] });
  }
  return {
    ...{ id, serial, kind, counters, modules, moduleNames, metrics: tests },
    target: language.target(stored.targetCondition),
    settings: settingsBeside(own, id),
    isBase: modules.get(AGENT)?.some(({ path }) => path.length === 0) ?? false,
  };
}

/** Whether it is for that identity. An Edge deployment is for edge devices only. */
export function isFor(
  { target, kind }: PreparedConfiguration,
  row: FleetRow,
  { moduleId }: FleetPlace,
  isEdge: boolean,
): boolean {
  if (target === undefined || (target.from === 'devices') !== (moduleId === '')) return false;
  return (kind !== 'edge' || isEdge) && target.passes(row);
}

/** Of which collections what devices report is looked at by a condition. */
export interface Interest {
  readonly devices: boolean;
  readonly modules: boolean;
}

export function interestOf({ all }: ConfigurationSet): Interest {
  const tests = all.flatMap(({ target, metrics }): readonly RowTest[] =>
    target === undefined ? metrics : [target, ...metrics],
  );
  const looked = (from: RowTest['from']): boolean =>
    tests.some((test) => test.from === from && test.fields.some(dependsOnReported));
  return { devices: looked('devices'), modules: looked('devices.modules') };
}

function dependsOnReported({ field, below }: FieldPath): boolean {
  return field === 'version' || (field === 'properties' && below[0] !== 'desired');
}

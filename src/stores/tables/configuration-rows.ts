/** Configurations as they lie in rows, and the facts that all of them share. */
import type { Counters } from '../../core/configurations/metrics.ts';
import type { StoredConfiguration } from '../../core/configurations/prepared.ts';
import type { ConfigurationContent, Configured, KeptConfiguration } from '../../core/configurations/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { engineOf } from './engine.ts';
import type { Transaction } from './schema.ts';
import { rowsBy } from './statements.ts';

export interface ConfigurationRow {
  readonly id: string;
  readonly serial: number;
  readonly etag: string;
  readonly schema_version: string;
  readonly labels: string;
  readonly content: string;
  readonly target_condition: string;
  readonly priority: number;
  readonly metrics: string;
  readonly counters: string;
  readonly created_time: number;
  readonly updated_time: number;
  readonly goal_lap: number;
  readonly goal_device: string;
  readonly goal_module: string;
}

/** Who has come so far has looked at all identities since. Laps over the fleet are counted, so places grow for ever. */
export interface LapPlace {
  readonly lap: number;
  readonly deviceId: string;
  readonly moduleId: string;
}

export const isBefore = (a: LapPlace, b: LapPlace): boolean =>
  a.lap !== b.lap ? a.lap < b.lap : a.deviceId !== b.deviceId ? a.deviceId < b.deviceId : a.moduleId < b.moduleId;

export interface Facts {
  /** Grows with each change of a configuration. */
  readonly revision: number;
  /** Whether changes of twins and identities leave marks. */
  readonly isAny: boolean;
  readonly nextNumber: number;
  /** Up to where the walk goes. */
  readonly goal: LapPlace;
}

/**
 * @param hold `keep`: no configuration changes until the transaction ends. `change`: no step runs, and no identity is created, meanwhile
 */
export async function readFacts(tx: Transaction, hold: 'keep' | 'change'): Promise<Facts> {
  const locks = !engineOf(tx).locksRows ? '' : hold === 'change' ? ' for update' : ' for key share';
  const [row] = await rowsBy<{
    revision: number;
    is_any: number;
    next_number: number;
    goal_lap: number;
    goal_device: string;
    goal_module: string;
  }>(tx, `select * from configuration_facts where id = 1${locks}`);
  return {
    revision: Number(row.revision),
    isAny: row.is_any === 1,
    nextNumber: Number(row.next_number),
    goal: { lap: Number(row.goal_lap), deviceId: row.goal_device, moduleId: row.goal_module },
  };
}

export function storedOf(row: ConfigurationRow): StoredConfiguration {
  return {
    id: row.id,
    serial: Number(row.serial),
    etag: row.etag,
    schemaVersion: row.schema_version,
    labels: JSON.parse(row.labels) as StoredConfiguration['labels'],
    content: JSON.parse(row.content) as ConfigurationContent,
    targetCondition: row.target_condition,
    priority: Number(row.priority),
    metrics: JSON.parse(row.metrics) as StoredConfiguration['metrics'],
    counters: JSON.parse(row.counters) as Counters,
    createdTime: Number(row.created_time),
    lastUpdatedTime: Number(row.updated_time),
  };
}

export async function keptOf(
  tx: Transaction,
  rows: readonly ConfigurationRow[],
): Promise<readonly KeptConfiguration[]> {
  if (rows.length === 0) return [];
  const counts = await rowsBy<{ counter: number; count: number }>(tx, 'select * from configuration_counts');
  const byCounter = new Map(counts.map(({ counter, count }) => [Number(counter), Number(count)]));
  const countsOf = (counters: Readonly<Record<string, number>>): Readonly<Record<string, number>> =>
    Object.fromEntries(Object.entries(counters).map(([name, counter]) => [name, byCounter.get(counter) ?? 0]));
  const place = await walkPlace(tx);
  return rows.map((row) => {
    const { counters, ...configuration } = storedOf(row);
    const goal = { lap: Number(row.goal_lap), deviceId: row.goal_device, moduleId: row.goal_module };
    return {
      ...configuration,
      systemCounts: countsOf(counters.system),
      metricCounts: countsOf(counters.metrics),
      isEverywhere: !isBefore(place, goal),
    };
  });
}

export async function walkPlace(tx: Transaction): Promise<LapPlace> {
  const [row] = await rowsBy<{ lap: number; device_id: string; module_id: string }>(
    tx,
    'select lap, device_id, module_id from configuration_turn where id = 1',
  );
  return { lap: Number(row.lap), deviceId: row.device_id, moduleId: row.module_id };
}

/** What is kept of an identity, `states` apart, which queries ask for. */
export function configuredOf(states: string, kept: string): Configured {
  return { states: JSON.parse(states) as Configured['states'], ...(JSON.parse(kept) as Omit<Configured, 'states'>) };
}

export const keptTextOf = ({ paths, deployed, counted }: Configured): string =>
  JSON.stringify({ paths, deployed, counted });

/** JSON, `ConfigurationStates`; null = none. */
export async function statesOf(
  tx: Transaction,
  { deviceId, moduleId = '' }: IdentityKey,
  generationId: string,
): Promise<string | null> {
  const [row] = await rowsBy<{ states: string }>(
    tx,
    'select states from configured where device_id = ? and module_id = ? and generation_id = ?',
    [deviceId, moduleId, generationId],
  );
  return row?.states ?? null;
}

/** Configurations in tables: read, written, and what a change of one sends on its way. */
import { type Counters, countersFor } from '../../core/configurations/metrics.ts';
import { mergeBetween } from '../../core/configurations/overlay.ts';
import type { ConfigurationChange, CreateOutcome, ReplaceOutcome } from '../../core/configurations/ports.ts';
import { interestOf, prepareSet } from '../../core/configurations/prepared.ts';
import type { Configuration, KeptConfiguration } from '../../core/configurations/types.ts';
import { conditionLanguage } from '../../core/query/kept-conditions.ts';
import type { JsonObject } from '../../core/twins/types.ts';
import {
  type ConfigurationRow,
  type Facts,
  isBefore,
  keptOf,
  type LapPlace,
  readFacts,
  storedOf,
  walkPlace,
} from './configuration-rows.ts';
import type { Transaction } from './schema.ts';
import { rowsBy } from './statements.ts';

export async function getConfiguration(tx: Transaction, id: string): Promise<KeptConfiguration | undefined> {
  const rows = await rowsBy<ConfigurationRow>(tx, 'select * from configurations where id = ?', [id]);
  return (await keptOf(tx, rows))[0];
}

export async function listConfigurations(tx: Transaction): Promise<readonly KeptConfiguration[]> {
  return keptOf(tx, await rowsBy<ConfigurationRow>(tx, 'select * from configurations order by id'));
}

export async function createConfiguration(
  tx: Transaction,
  configuration: Configuration,
  countMax: number,
): Promise<CreateOutcome> {
  const facts = await readFacts(tx, 'change');
  const ids = await rowsBy<{ id: string }>(tx, 'select id from configurations');
  if (ids.some(({ id }) => id === configuration.id)) return { kind: 'exists' };
  if (ids.length >= countMax) return { kind: 'full' };
  const numbers = numbersFrom(facts.nextNumber);
  const serial = numbers.next();
  const counters = countersFor(configuration, undefined, numbers.next);
  const goal = lapFrom(await walkPlace(tx));
  await write(tx, configuration, serial, counters, goal);
  await changed(tx, facts, numbers.next(), goal);
  return done(tx, configuration.id);
}

export async function replaceConfiguration(
  tx: Transaction,
  change: ConfigurationChange,
  ifMatch: string,
): Promise<ReplaceOutcome> {
  const facts = await readFacts(tx, 'change');
  const [row] = await rowsBy<ConfigurationRow>(tx, 'select * from configurations where id = ?', [change.id]);
  if (row === undefined) return { kind: 'notFound' };
  if (ifMatch !== '*' && ifMatch !== row.etag) return { kind: 'etagMismatch' };
  const before = storedOf(row);
  if (change.content !== undefined && !isSame(before.content, change.content)) return { kind: 'otherContent' };
  const configuration: Configuration = { ...change, content: before.content, createdTime: before.createdTime };
  const numbers = numbersFrom(facts.nextNumber);
  const counters = countersFor(configuration, { configuration: before, counters: before.counters }, numbers.next);
  const isNew =
    before.targetCondition !== change.targetCondition ||
    before.priority !== change.priority ||
    !isSame(before.metrics, change.metrics);
  const goal = isNew
    ? lapFrom(await walkPlace(tx))
    : { lap: Number(row.goal_lap), deviceId: row.goal_device, moduleId: row.goal_module };
  await rowsBy(tx, 'delete from configurations where id = ?', [change.id]);
  await write(tx, configuration, before.serial, counters, goal);
  await dropCounters(tx, before.counters, counters);
  await changed(tx, facts, numbers.next(), isNew ? goal : facts.goal);
  return done(tx, change.id);
}

export async function deleteConfiguration(
  tx: Transaction,
  id: string,
  ifMatch: string,
): Promise<'deleted' | 'notFound' | 'etagMismatch'> {
  const facts = await readFacts(tx, 'change');
  const [row] = await rowsBy<ConfigurationRow>(tx, 'select * from configurations where id = ?', [id]);
  if (row === undefined) return 'notFound';
  if (ifMatch !== '*' && ifMatch !== row.etag) return 'etagMismatch';
  await rowsBy(tx, 'delete from configurations where id = ?', [id]);
  await dropCounters(tx, storedOf(row).counters, { system: {}, metrics: {} });
  await changed(tx, facts, facts.nextNumber, lapFrom(await walkPlace(tx)));
  return 'deleted';
}

async function done(tx: Transaction, id: string): Promise<{ readonly kind: 'done'; readonly kept: KeptConfiguration }> {
  const kept = await getConfiguration(tx, id);
  if (kept === undefined) throw new Error(`the configuration ${id} has just been written`);
  return { kind: 'done', kept };
}

/** All places once from here on: the walk is where it is, and others may still wait for it. */
const lapFrom = ({ lap, deviceId, moduleId }: LapPlace): LapPlace => ({ lap: lap + 1, deviceId, moduleId });

const numbersFrom = (first: number): { next(): number } => {
  let number = first;
  return { next: () => number++ };
};

const isSame = (left: object, right: object): boolean =>
  mergeBetween(left as JsonObject, right as JsonObject) === undefined;

async function write(
  tx: Transaction,
  configuration: Configuration,
  serial: number,
  counters: Counters,
  goal: LapPlace,
): Promise<void> {
  await rowsBy(tx, `insert into configurations values (${new Array(15).fill('?').join(', ')})`, [
    configuration.id,
    serial,
    configuration.etag,
    configuration.schemaVersion,
    JSON.stringify(configuration.labels),
    JSON.stringify(configuration.content),
    configuration.targetCondition,
    configuration.priority,
    JSON.stringify(configuration.metrics),
    JSON.stringify(counters),
    configuration.createdTime,
    configuration.lastUpdatedTime,
    goal.lap,
    goal.deviceId,
    goal.moduleId,
  ]);
  for (const counter of keysOf(counters)) {
    await rowsBy(tx, 'insert into configuration_counts values (?, 0) on conflict (counter) do nothing', [counter]);
  }
}

async function dropCounters(tx: Transaction, before: Counters, after: Counters): Promise<void> {
  const kept = new Set(keysOf(after));
  for (const counter of keysOf(before)) {
    if (!kept.has(counter)) await rowsBy(tx, 'delete from configuration_counts where counter = ?', [counter]);
  }
}

const keysOf = ({ system, metrics }: Counters): readonly number[] => [
  ...Object.values(system),
  ...Object.values(metrics),
];

/** Something of the configurations is new. */
async function changed(tx: Transaction, facts: Facts, nextNumber: number, goal: LapPlace): Promise<void> {
  const rows = await rowsBy<ConfigurationRow>(tx, 'select * from configurations');
  const interest = interestOf(prepareSet(rows.map(storedOf), conditionLanguage));
  await rowsBy(
    tx,
    `update configuration_facts set revision = ?, is_any = 1, reported = ?, next_number = ?, goal_lap = ?, goal_device = ?,
      goal_module = ? where id = 1`,
    [
      facts.revision + 1,
      (interest.devices ? DEVICES : 0) + (interest.modules ? MODULES : 0),
      nextNumber,
      goal.lap,
      goal.deviceId,
      goal.moduleId,
    ],
  );
}

/** What `configuration_facts.reported` is made of. */
export const DEVICES = 1;
export const MODULES = 2;

/** Ends the marking where nothing is left to be marked for: no configuration, and nothing of one in a twin. */
export async function restConfigurations(tx: Transaction): Promise<void> {
  const { goal, isAny } = await readFacts(tx, 'change');
  if (!isAny || isBefore(await walkPlace(tx), goal)) return;
  const [{ count }] = await rowsBy<{ count: number }>(tx, 'select count(*) as count from configurations');
  const { marks } = await waitingIdentities(tx, 1);
  if (Number(count) > 0 || marks > 0) return;
  await rowsBy(tx, 'update configuration_facts set is_any = 0 where id = 1');
}

export async function waitingIdentities(
  tx: Transaction,
  countMax: number,
): Promise<{ readonly marks: number; readonly walks: boolean }> {
  const [row] = await rowsBy<{ count: number }>(
    tx,
    'select count(*) as count from (select 1 from configuration_marks limit ?) as marked',
    [countMax],
  );
  const [goal] = await rowsBy<{ goal_lap: number; goal_device: string; goal_module: string }>(
    tx,
    'select goal_lap, goal_device, goal_module from configuration_facts where id = 1',
  );
  const end = { lap: Number(goal.goal_lap), deviceId: goal.goal_device, moduleId: goal.goal_module };
  return { marks: Number(row.count), walks: isBefore(await walkPlace(tx), end) };
}

/**
 * Marks of identities that configurations are to be looked at for, left in the transaction of what has changed. Each is left behind
 * the change itself: who takes a step holds the identity and its twin before it reads them, so that it has either seen the change
 * or finds the mark.
 */
import { randomInt } from 'node:crypto';
import { sql } from 'kysely';
import type { IdentityChange } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { configuredOf, readFacts } from './configuration-rows.ts';
import { DEVICES, MODULES } from './configurations.ts';
import { directOf } from './engine.ts';
import type { Transaction } from './schema.ts';
import { rowsBy } from './statements.ts';

/** A mark begins with a number of its own: one that was settled and left again is not taken for the one before by who still knows that. */
const MARK = `insert into configuration_marks (device_id, module_id, touched) values (?, ?, ?)
  on conflict (device_id, module_id) do update set touched = configuration_marks.touched + 1`;

/** The most that `randomInt` draws from. */
const TOUCHED_FIRST_MAX = 2 ** 48 - 1;

/** @returns whether there is something to look at */
export function markTwin(tx: Transaction, key: IdentityKey): Promise<boolean> {
  return markTwins(tx, [key]);
}

/** The same of several, each of which is named once. */
export async function markTwins(tx: Transaction, keys: readonly IdentityKey[]): Promise<boolean> {
  const [facts] = await rowsBy<{ is_any: number }>(tx, 'select is_any from configuration_facts where id = 1');
  if (facts.is_any !== 1 || keys.length === 0) return false;
  await markEach(tx, keys);
  return true;
}

async function markEach(tx: Transaction, keys: readonly IdentityKey[]): Promise<void> {
  if (directOf(tx) !== undefined) for (const key of keys) await mark(tx, key);
  else await markTogether(tx, keys);
}

/** Sorted, so that two who do so do not wait for each other in a circle. */
async function markTogether(tx: Transaction, keys: readonly IdentityKey[]): Promise<void> {
  await sql`
    insert into configuration_marks (device_id, module_id, touched)
    select * from unnest(
      ${keys.map(({ deviceId }) => deviceId)}::text[], ${keys.map(({ moduleId }) => moduleId ?? '')}::text[],
      ${keys.map(() => randomInt(TOUCHED_FIRST_MAX))}::bigint[]
    ) as marked (device_id, module_id, touched)
    order by device_id, module_id
    on conflict (device_id, module_id) do update set touched = configuration_marks.touched + 1
  `.execute(tx);
}

/** Of twins whose reported properties have changed, each named once: nothing where no condition looks at those. */
export async function markReported(tx: Transaction, keys: readonly IdentityKey[]): Promise<boolean> {
  if (keys.length === 0) return false;
  const [{ reported }] = await rowsBy<{ reported: number }>(
    tx,
    'select reported from configuration_facts where id = 1',
  );
  const marked = keys.filter(({ moduleId }) => (reported & (moduleId === undefined ? DEVICES : MODULES)) !== 0);
  if (marked.length === 0) return false;
  await markEach(tx, marked);
  return true;
}

/** Of identities: those that are there are marked, and what was kept of those that are not goes with them. */
export async function markIdentities(tx: Transaction, changes: readonly IdentityChange[]): Promise<boolean> {
  if (changes.length === 0) return false;
  // Held, unlike for twins: a walk that passes before a new identity is there must know the same configurations.
  const { isAny } = await readFacts(tx, 'keep');
  if (!isAny) return false;
  for (const { kind, identity } of changes) {
    const { deviceId, moduleId } = identity;
    const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
    if (kind === 'deleted') {
      await forget(tx, key);
      // A module that a deployment wants comes back.
      if (moduleId !== undefined) await mark(tx, { deviceId });
    } else await mark(tx, key);
  }
  return true;
}

export async function mark(tx: Transaction, { deviceId, moduleId }: IdentityKey): Promise<void> {
  await rowsBy(tx, MARK, [deviceId, moduleId ?? '', randomInt(TOUCHED_FIRST_MAX)]);
}

async function forget(tx: Transaction, { deviceId, moduleId = '' }: IdentityKey): Promise<void> {
  const [row] = await rowsBy<{ states: string; kept: string }>(
    tx,
    'delete from configured where device_id = ? and module_id = ? returning states, kept',
    [deviceId, moduleId],
  );
  if (row !== undefined) {
    await addToCounters(tx, new Map(configuredOf(row.states, row.kept).counted.map((counter) => [counter, -1])));
  }
}

/** Counters that are gone are not counted any more. */
export async function addToCounters(tx: Transaction, differences: ReadonlyMap<number, number>): Promise<void> {
  for (const [counter, difference] of [...differences].sort(([a], [b]) => a - b)) {
    if (difference === 0) continue;
    await rowsBy(tx, 'update configuration_counts set count = count + ? where counter = ?', [difference, counter]);
  }
}

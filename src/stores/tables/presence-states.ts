import { sql } from 'kysely';
import type { IdentityKey, PresenceState } from '../../core/identity/types.ts';
import type { StoredPresence } from '../../core/presence/states.ts';
import { engineOf } from './engine.ts';
import { readFact, writeFact } from './migrations.ts';
import type { PresenceRow, Transaction } from './schema.ts';

/** The name of the fact of one node. */
const runningOf = (node: string): string => `presence_running/${node}`;
/** Keys of one `in`: below what SQLite and PostgreSQL take as parameters. */
const KEYS_PER_QUESTION = 500;

export async function beginPresence(tx: Transaction, node: string): Promise<boolean> {
  const isRunning = (await readFact(tx, runningOf(node))) === '1';
  await writeFact(tx, runningOf(node), '1');
  return isRunning;
}

export async function endPresence(tx: Transaction, node: string): Promise<void> {
  await writeFact(tx, runningOf(node), '0');
}

export async function getPresence(
  tx: Transaction,
  keys: readonly IdentityKey[],
): Promise<readonly (PresenceState | undefined)[]> {
  const found = new Map<string, PresenceState>();
  const deviceIds = [...new Set(keys.map(({ deviceId }) => deviceId))];
  for (let at = 0; at < deviceIds.length; at += KEYS_PER_QUESTION) {
    const rows = await tx
      .selectFrom('presence_states as state')
      .innerJoin('identities as identity', (join) =>
        join
          .onRef('identity.device_id', '=', 'state.device_id')
          .onRef('identity.module_id', '=', 'state.module_id')
          .onRef('identity.generation_id', '=', 'state.generation_id'),
      )
      .selectAll('state')
      .where('state.device_id', 'in', deviceIds.slice(at, at + KEYS_PER_QUESTION))
      .execute();
    for (const row of rows) found.set(nameOf(row.device_id, row.module_id), stateOf(row));
  }
  return keys.map(({ deviceId, moduleId }) => found.get(nameOf(deviceId, moduleId ?? '')));
}

export async function savePresence(tx: Transaction, node: string, states: readonly StoredPresence[]): Promise<void> {
  if (engineOf(tx).locksRows) return saveTogether(tx, node, states);
  for (const { key, generationId, connected, connectionStateUpdatedTime, lastActivityTime } of states) {
    // Written late, so the identity may be gone by now, or be another one of the same name.
    await sql`
      insert into presence_states (device_id, module_id, generation_id, connected, state_time, activity_time, node)
      select device_id, module_id, generation_id, ${connected ? 1 : 0}, ${connectionStateUpdatedTime}, ${lastActivityTime}, ${node}
      from identities
      where device_id = ${key.deviceId} and module_id = ${key.moduleId ?? ''} and generation_id = ${generationId}
      on conflict (device_id, module_id) do update set
        generation_id = excluded.generation_id, connected = excluded.connected,
        state_time = excluded.state_time, activity_time = excluded.activity_time, node = excluded.node
      where excluded.connected = 1 or presence_states.connected = 0 or presence_states.node = excluded.node
        or presence_states.generation_id <> excluded.generation_id
    `.execute(tx);
  }
}

/** The same in one statement; sorted, so that two nodes do not wait for each other in a circle. */
async function saveTogether(tx: Transaction, node: string, states: readonly StoredPresence[]): Promise<void> {
  // A statement may change a row once.
  const newest = [
    ...new Map(states.map((state) => [nameOf(state.key.deviceId, state.key.moduleId ?? ''), state])).values(),
  ];
  await sql`
    insert into presence_states (device_id, module_id, generation_id, connected, state_time, activity_time, node)
    select device_id, module_id, generation_id, said.connected, said.state_time, said.activity_time, ${node}
    from unnest(
      ${newest.map(({ key }) => key.deviceId)}::text[], ${newest.map(({ key }) => key.moduleId ?? '')}::text[],
      ${newest.map(({ generationId }) => generationId)}::text[],
      ${newest.map(({ connected }) => (connected ? 1 : 0))}::int[],
      ${newest.map((state) => state.connectionStateUpdatedTime)}::bigint[],
      ${newest.map((state) => state.lastActivityTime)}::bigint[]
    ) as said (device_id, module_id, generation_id, connected, state_time, activity_time)
    join identities using (device_id, module_id, generation_id)
    order by device_id, module_id
    on conflict (device_id, module_id) do update set
      generation_id = excluded.generation_id, connected = excluded.connected,
      state_time = excluded.state_time, activity_time = excluded.activity_time, node = excluded.node
    where excluded.connected = 1 or presence_states.connected = 0 or presence_states.node = excluded.node
      or presence_states.generation_id <> excluded.generation_id
  `.execute(tx);
}

/**
 * A device may be moving to another node, and two nodes may clear up after the same one: only what is still so is ended, and told. One
 * statement, so that devices of that node which come back do not wait for as many answers as it had devices.
 */
export async function recoverPresence(
  tx: Transaction,
  node: string,
  count: number,
): Promise<readonly StoredPresence[]> {
  // In one order, so that two nodes do not wait for each other in a circle; SQLite has one writer.
  const locking = engineOf(tx).locksRows ? sql`for update` : sql``;
  const { rows } = await sql<PresenceRow>`
    with left_over as materialized (
      select device_id, module_id from presence_states where connected = 1 and node = ${node}
      order by device_id, module_id limit ${count} ${locking}
    )
    update presence_states set connected = 0, state_time = activity_time
    where (device_id, module_id) in (select device_id, module_id from left_over)
    returning *`.execute(tx);
  return rows.map((row) => ({
    key: row.module_id === '' ? { deviceId: row.device_id } : { deviceId: row.device_id, moduleId: row.module_id },
    generationId: row.generation_id,
    ...stateOf(row),
  }));
}

const nameOf = (deviceId: string, moduleId: string): string => `${deviceId}/${moduleId}`;

function stateOf(row: PresenceRow): PresenceState {
  return {
    connected: row.connected === 1,
    connectionStateUpdatedTime: Number(row.state_time),
    lastActivityTime: Number(row.activity_time),
  };
}

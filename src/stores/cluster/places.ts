/** Places of connections in PostgreSQL: many claims are one statement, and so are many releases. */
import { type Kysely, sql } from 'kysely';
import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { Holder, PlaceOutcome, Places } from '../../core/presence/places.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import type { Tables } from '../tables/schema.ts';
import { AskedTogether } from './asked-together.ts';
import { isNobodys, type Tried } from './batched-reads.ts';
import { type FenceParts, WithoutLease } from './fence.ts';
import { livingNodes } from './nodes.ts';

interface PlaceRow {
  readonly device_id: string;
  readonly module_id: string;
  readonly node: string;
  readonly connection: number;
  readonly generation_id: string;
  readonly authority: string | null;
  readonly credentials: string | null;
  readonly since: number;
}

interface ClaimedRow {
  readonly nth: number;
  /** False without a reason: the node has no lease. */
  readonly is_taken: boolean;
  readonly reason: DisconnectReason | null;
  readonly was_node: string | null;
  readonly was_connection: number;
  readonly was_generation_id: string;
  readonly was_since: number;
}

/**
 * A claim is refused where the identities speak against it, but for its credentials, which lie sealed. The holder that a claim has
 * displaced is told without its authority and credentials.
 */
export function createPostgresPlaces(
  database: Kysely<Tables>,
  tried: Tried,
  standing: FenceParts['standing'] = () => undefined,
): Places {
  const found = new AskedTogether<IdentityKey, Holder | undefined>((keys) =>
    tried('places.find', async () => {
      const { rows } = await sql<PlaceRow & { readonly nth: number }>`
        select asked.nth, places.* from unnest(
          ${keys.map(({ deviceId }) => deviceId)}::text[], ${keys.map(({ moduleId }) => moduleId ?? '')}::text[]
        ) with ordinality as asked (device_id, module_id, nth)
        join places using (device_id, module_id)`.execute(database);
      const holders = new Array<Holder | undefined>(keys.length).fill(undefined);
      for (const row of rows) holders[row.nth - 1] = holderOf(row);
      return holders;
    }),
  );
  const released = new AskedTogether<Holder, undefined>(async (holders) => {
    await tried('places.release', () => release(database, holders));
    return [];
  });

  return {
    async claim(claims) {
      const outcomes = new Array<PlaceOutcome>(claims.length);
      for (const round of rounds(claims)) {
        try {
          const rows = await tried('places.claim', () =>
            claim(
              database,
              round.map((at) => claims[at]),
              standing() !== undefined,
            ),
          );
          for (const row of rows) {
            const at = round[row.nth - 1];
            outcomes[at] = outcomeOf(claims[at], row);
          }
        } catch (error) {
          for (const at of round) outcomes[at] = { kind: 'unknown', error };
        }
      }
      return outcomes;
    },
    async release(holders) {
      await Promise.all(holders.map((holder) => released.ask(holder)));
    },
    find: async (key) => (isNobodys(key) ? undefined : found.ask(key)),
    of: (node) =>
      tried('places.of', async () => {
        const { rows } = await sql<PlaceRow>`select * from places where node = ${node}`.execute(database);
        return rows.map(holderOf);
      }),
    connectedDevices: () =>
      tried('places.count', async () => {
        const { rows } = await sql<{ count: number }>`
          select count(*) as count from places where module_id = ''`.execute(database);
        return rows[0].count;
      }),
    leave: (node) =>
      tried('places.leave', async () => {
        const { rows } = await sql<PlaceRow>`delete from places where node = ${node} returning *`.execute(database);
        return rows.map(holderOf);
      }),
  };
}

/** A statement may change a row once: of claims of one identity each is in a round of its own. @returns places in the list */
function rounds(claims: readonly Holder[]): readonly (readonly number[])[] {
  const counts = new Map<string, number>();
  const all: number[][] = [];
  for (const [at, { key }] of claims.entries()) {
    const name = identityName(key);
    const nth = counts.get(name) ?? 0;
    counts.set(name, nth + 1);
    const round = all[nth];
    if (round === undefined) all.push([at]);
    else round.push(at);
  }
  return all;
}

/**
 * Each row keeps whom it was taken from, because only the row itself knows that: two nodes that claim a place at the same moment both find it
 * as it was before. Sorted, so that two nodes do not wait for each other in a circle. `isFenced`: nothing is taken for a node
 * without a lease: one that was held while the claim waited to be sent may have been replaced meanwhile.
 */
async function claim(
  database: Kysely<Tables>,
  claims: readonly Holder[],
  isFenced: boolean,
): Promise<readonly ClaimedRow[]> {
  const column = <Value>(of: (claim: Holder) => Value): readonly Value[] => claims.map(of);
  const { rows } = await sql<ClaimedRow>`
    with judged as (
      select wanted.*, case
        when own.generation_id is distinct from wanted.generation_id or device.status is null then 'deleted'
        when device.status = 'disabled' then 'disabled'
        when wanted.authority is not null and not exists (
          select from authorities where thumbprint = wanted.authority and verified = 1) then 'authority-removed'
      end as reason
      from unnest(
        ${column(({ key }) => key.deviceId)}::text[], ${column(({ key }) => key.moduleId ?? '')}::text[],
        ${column(({ node }) => node)}::text[], ${column(({ connection }) => connection)}::bigint[],
        ${column(({ generationId }) => generationId)}::text[], ${column(({ authority }) => authority ?? null)}::text[],
        ${column(({ credentials }) => credentials ?? null)}::text[], ${column(({ since }) => since)}::bigint[]
      ) with ordinality as wanted (device_id, module_id, node, connection, generation_id, authority, credentials, since, nth)
      left join identities own using (device_id, module_id)
      left join identities device on device.device_id = wanted.device_id and device.module_id = ''
    ), taken as (
      insert into places as place (device_id, module_id, node, connection, generation_id, authority, credentials, since)
      select device_id, module_id, node, connection, generation_id, authority, credentials, since
      from judged where reason is null and (not ${isFenced}::boolean or node in ${livingNodes})
      order by device_id, module_id
      on conflict (device_id, module_id) do update set
        node = excluded.node, connection = excluded.connection, generation_id = excluded.generation_id,
        authority = excluded.authority, credentials = excluded.credentials, since = excluded.since,
        was_node = place.node, was_connection = place.connection,
        was_generation_id = place.generation_id, was_since = place.since
      returning device_id, module_id, was_node, was_connection, was_generation_id, was_since
    )
    select nth, reason, taken.device_id is not null as is_taken, was_node, was_connection, was_generation_id, was_since
    from judged left join taken using (device_id, module_id)`.execute(database);
  return rows;
}

async function release(database: Kysely<Tables>, holders: readonly Holder[]): Promise<void> {
  const column = <Value>(of: (holder: Holder) => Value): readonly Value[] => holders.map(of);
  await sql`
    delete from places using (
      select places.ctid from places join unnest(
        ${column(({ key }) => key.deviceId)}::text[], ${column(({ key }) => key.moduleId ?? '')}::text[],
        ${column(({ node }) => node)}::text[], ${column(({ connection }) => connection)}::bigint[]
      ) as own (device_id, module_id, node, connection) using (device_id, module_id, node, connection)
      order by device_id, module_id for update of places
    ) as held where places.ctid = held.ctid`.execute(database);
}

function outcomeOf({ key }: Holder, row: ClaimedRow): PlaceOutcome {
  if (row.reason !== null) return { kind: 'refused', reason: row.reason };
  if (!row.is_taken) return { kind: 'none', error: new WithoutLease() };
  if (row.was_node === null) return { kind: 'held', displaced: undefined };
  const displaced: Holder = {
    key,
    node: row.was_node,
    connection: row.was_connection,
    generationId: row.was_generation_id,
    since: row.was_since,
  };
  return { kind: 'held', displaced };
}

function holderOf(row: PlaceRow): Holder {
  const { device_id: deviceId, module_id: moduleId, node, connection, since } = row;
  return {
    key: moduleId === '' ? { deviceId } : { deviceId, moduleId },
    ...{ node, connection, since, generationId: row.generation_id },
    ...(row.authority !== null && { authority: row.authority }),
    ...(row.credentials !== null && { credentials: row.credentials }),
  };
}

/**
 * Several twins in one statement each, for a database that is a way away: of what a step does with a hundred twins, most of the time
 * would be ways there and back. An identity is named once in a call.
 */
import { sql } from 'kysely';
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { reportedSize } from '../../core/twins/kept.ts';
import type { DesiredText } from '../../core/twins/ports.ts';
import { freshTwin } from '../../core/twins/rules.ts';
import type { Twin } from '../../core/twins/types.ts';
import type { Transaction } from './schema.ts';

/** A twin that is held until the transaction ends, without its document. */
export interface HeldTwin {
  readonly generationId: string;
  readonly modelId: string;
  readonly tail: string;
  /** Of the document, and about: it is looked at before the twin is held. 0 = it has none. */
  readonly documentBytes: number;
}

interface Asked {
  /** From 1 on. */
  readonly nth: number;
}

/** @returns in the order of the keys; undefined = there is no such identity */
export async function holdTwins(
  tx: Transaction,
  keys: readonly IdentityKey[],
): Promise<readonly (HeldTwin | undefined)[]> {
  // In the order of their keys, as all who hold several: so no two wait for each other in a circle.
  const { rows: identities } = await sql<Asked & { readonly generation_id: string; readonly is_fresh: boolean }>`
    select asked.nth, identity.generation_id, twin.device_id is null as is_fresh from ${asked(keys)}
    join identities as identity using (device_id, module_id)
    left join twins as twin using (device_id, module_id)
    order by identity.device_id, identity.module_id for key share of identity
  `.execute(tx);
  const held = new Array<HeldTwin | undefined>(keys.length).fill(undefined);
  const generations = new Map(identities.map(({ nth, generation_id: generationId }) => [nth - 1, generationId]));
  if (identities.some(({ is_fresh: isFresh }) => isFresh)) {
    await addFresh(
      tx,
      [...generations].map(([at, generationId]) => ({ key: keys[at], generationId })),
    );
  }
  await lock(tx, keys, generations, held);
  for (const at of generations.keys()) assert(held[at] !== undefined, 'an identity that is held has a twin');
  return held;
}

async function lock(
  tx: Transaction,
  keys: readonly IdentityKey[],
  generations: ReadonlyMap<number, string>,
  held: (HeldTwin | undefined)[],
): Promise<void> {
  const places = [...generations.keys()];
  const { rows } = await sql<
    Asked & { readonly tail: string; readonly model_id: string; readonly bytes: number | null }
  >`
    select asked.nth, twin.tail, twin.model_id, octet_length(text.document) as bytes
    from ${asked(places.map((at) => keys[at]))} join twins as twin using (device_id, module_id)
    left join twin_documents as text using (device_id, module_id)
    order by twin.device_id, twin.module_id for update of twin
  `.execute(tx);
  for (const { nth, tail, model_id: modelId, bytes } of rows) {
    const at = places[nth - 1];
    held[at] = { generationId: generations.get(at) as string, modelId, tail, documentBytes: bytes ?? 0 };
  }
}

/** Makes those that are not there, and holds the others, in one order: another may make one in the same moment, and hold it, too. */
async function addFresh(
  tx: Transaction,
  twins: readonly { readonly key: IdentityKey; readonly generationId: string }[],
): Promise<void> {
  const { changes, desired, reported } = freshTwin();
  await sql`
    insert into twins
      (device_id, module_id, generation_id, changes, desired_version, reported_version, reported_size, model_id, tail)
    select device_id, module_id, generation_id, ${changes}::bigint, ${desired.version}::bigint, ${reported.version}::bigint, 0, '', ''
    from unnest(
      ${twins.map(({ key }) => key.deviceId)}::text[], ${twins.map(({ key }) => key.moduleId ?? '')}::text[],
      ${twins.map(({ generationId }) => generationId)}::text[]
    ) as fresh (device_id, module_id, generation_id)
    order by device_id, module_id
    on conflict (device_id, module_id) do update set tail = twins.tail where false
  `.execute(tx);
}

/**
 * Of twins that are held: a statement of its own, which sees what was committed while they were waited for.
 * @returns in the order of the keys; null = it has none
 */
export async function documentsOf(tx: Transaction, keys: readonly IdentityKey[]): Promise<readonly (string | null)[]> {
  const { rows } = await sql<Asked & { readonly document: string }>`
    select asked.nth, text.document from ${asked(keys)} join twin_documents as text using (device_id, module_id)
  `.execute(tx);
  const documents = new Array<string | null>(keys.length).fill(null);
  for (const { nth, document } of rows) documents[nth - 1] = document;
  return documents;
}

export interface SavedTwin {
  readonly key: IdentityKey;
  readonly twin: Twin;
  /** Its text. */
  readonly document: string;
}

/** `saveTwins`, of one at least. */
export async function saveTogether(tx: Transaction, twins: readonly SavedTwin[]): Promise<void> {
  const [devices, modules] = namesOf(twins.map(({ key }) => key));
  await sql`
    insert into twin_documents (device_id, module_id, document)
    select * from unnest(${devices}::text[], ${modules}::text[], ${twins.map(({ document }) => document)}::text[])
    on conflict (device_id, module_id) do update set document = excluded.document
  `.execute(tx);
  await sql`
    update twins set changes = saved.changes, desired_version = saved.desired_version,
      reported_version = saved.reported_version, reported_size = saved.reported_size, tail = ''
    from unnest(
      ${devices}::text[], ${modules}::text[],
      ${twins.map(({ twin }) => twin.changes)}::bigint[], ${twins.map(({ twin }) => twin.desired.version)}::bigint[],
      ${twins.map(({ twin }) => twin.reported.version)}::bigint[], ${twins.map(({ twin }) => reportedSize(twin))}::bigint[]
    ) as saved (device_id, module_id, changes, desired_version, reported_version, reported_size)
    where twins.device_id = saved.device_id and twins.module_id = saved.module_id
  `.execute(tx);
}

export interface TwinPatch {
  readonly key: IdentityKey;
  readonly desired: DesiredText;
}

/** `keepPatches`, of one at least. */
export async function keepPatchesTogether(tx: Transaction, patches: readonly TwinPatch[]): Promise<void> {
  await sql`
    insert into twin_patches (device_id, module_id, version, patch)
    select * from unnest(
      ${patches.map(({ key }) => key.deviceId)}::text[], ${patches.map(({ key }) => key.moduleId ?? '')}::text[],
      ${patches.map(({ desired }) => desired.version)}::bigint[], ${patches.map(({ desired }) => desired.text)}::text[]
    )
  `.execute(tx);
  const keptMax = limits.twinPatchesKept;
  const full = patches.filter(({ desired }) => desired.version > keptMax);
  if (full.length === 0) return;
  await sql`
    delete from twin_patches using unnest(
      ${full.map(({ key }) => key.deviceId)}::text[], ${full.map(({ key }) => key.moduleId ?? '')}::text[],
      ${full.map(({ desired }) => desired.version - keptMax)}::bigint[]
    ) as old (device_id, module_id, version)
    where twin_patches.device_id = old.device_id and twin_patches.module_id = old.module_id
      and twin_patches.version <= old.version
  `.execute(tx);
}

const namesOf = (keys: readonly IdentityKey[]): readonly [devices: readonly string[], modules: readonly string[]] => [
  keys.map(({ deviceId }) => deviceId),
  keys.map(({ moduleId }) => moduleId ?? ''),
];

/** The keys as rows `asked`, with their places from 1 on. */
function asked(keys: readonly IdentityKey[]) {
  const [devices, modules] = namesOf(keys);
  return sql`unnest(${devices}::text[], ${modules}::text[]) with ordinality as asked (device_id, module_id, nth)`;
}

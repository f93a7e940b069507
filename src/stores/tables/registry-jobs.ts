/** Registry jobs in tables. What was asked for is sealed: addresses of containers hold their signature. */
import { type Selectable, sql } from 'kysely';
import type { IdentityKey } from '../../core/identity/types.ts';
import { isOtherProcess } from '../../core/nodes/processes.ts';
import type { JobEnd, JobStep, KeptErrors } from '../../core/registry-jobs/ports.ts';
import type { JobPlan, JobState, RegistryJob } from '../../core/registry-jobs/types.ts';
import { lockingRows } from './engine.ts';
import { toIdentity } from './identities.ts';
import type { KeyCipher } from './key-cipher.ts';
import type { RegistryJobRow } from './registry-job-rows.ts';
import type { IdentityRow, Transaction } from './schema.ts';
import type { TwinText } from './twin-text.ts';

export async function createRegistryJob(
  tx: Transaction,
  cipher: KeyCipher,
  job: RegistryJob,
): Promise<'created' | 'busy'> {
  const inserted = await tx
    .insertInto('registry_jobs')
    .values({
      ...{ id: job.id, created_time: job.createdTime, state: job.state, reason: job.reason },
      plan: cipher.seal(JSON.stringify(job.plan), contextOf(job.id)),
      ...{ counts: JSON.stringify(job.counts), work: JSON.stringify(job.cursor) },
      ...{ started_time: null, ended_time: null, holder: '', held_until: 0 },
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return Number(inserted.numInsertedOrUpdatedRows) === 1 ? 'created' : 'busy';
}

export async function findRegistryJob(
  tx: Transaction,
  cipher: KeyCipher,
  id: string,
): Promise<RegistryJob | undefined> {
  const row = await tx.selectFrom('registry_jobs').selectAll().where('id', '=', id).executeTakeFirst();
  return row && jobOf(row, cipher);
}

export async function listRegistryJobs(
  tx: Transaction,
  cipher: KeyCipher,
  limit: number,
): Promise<readonly RegistryJob[]> {
  const query = tx.selectFrom('registry_jobs').selectAll().orderBy('created_time', 'desc').orderBy('id').limit(limit);
  return (await query.execute()).map((row) => jobOf(row, cipher));
}

export async function isRegistryJobOpen(tx: Transaction): Promise<boolean> {
  const query = tx.selectFrom('registry_jobs').select('id').where('ended_time', 'is', null);
  return (await query.executeTakeFirst()) !== undefined;
}

export async function claimRegistryJob(
  tx: Transaction,
  cipher: KeyCipher,
  holder: string,
  leaseMs: number,
  now: number,
): Promise<RegistryJob | undefined> {
  const query = tx.selectFrom('registry_jobs').selectAll().where('ended_time', 'is', null);
  const row = await lockingRows(tx, query).executeTakeFirst();
  if (row === undefined) return undefined;
  const isOwn = row.holder === holder || isOtherProcess(holder, row.holder);
  if (!isOwn && Number(row.held_until) > now) return undefined;
  if (planOf(row, cipher) === undefined) {
    // Nobody can carry it out, and no other job could begin.
    const failed = { state: 'failed', reason: UNREADABLE, ended_time: now };
    await tx.updateTable('registry_jobs').set(failed).where('id', '=', row.id).execute();
    return undefined;
  }
  const set = { state: 'running', started_time: row.started_time ?? now, holder, held_until: now + leaseMs };
  await tx.updateTable('registry_jobs').set(set).where('id', '=', row.id).execute();
  return jobOf({ ...row, ...set }, cipher);
}

export async function advanceRegistryJob(
  tx: Transaction,
  id: string,
  holder: string,
  { cursor, counts, errors }: JobStep,
  leaseMs: number,
  now: number,
): Promise<'kept' | 'cancelled' | 'lost'> {
  const query = tx.selectFrom('registry_jobs').select(['state', 'holder']).where('id', '=', id);
  const row = await lockingRows(tx, query).executeTakeFirst();
  if (row?.state === 'cancelled') return 'cancelled';
  if (row?.state !== 'running' || row.holder !== holder) return 'lost';
  await tx
    .updateTable('registry_jobs')
    .set({ work: JSON.stringify(cursor), counts: JSON.stringify(counts), held_until: now + leaseMs })
    .where('id', '=', id)
    .execute();
  if (errors === '') return 'kept';
  const last = await tx
    .selectFrom('registry_job_errors')
    .select((build) => build.fn.max('position').as('last'))
    .where('job', '=', id)
    .executeTakeFirst();
  const position = last?.last == null ? 0 : Number(last.last) + 1;
  await tx.insertInto('registry_job_errors').values({ job: id, position, text: errors }).execute();
  return 'kept';
}

export async function endRegistryJob(
  tx: Transaction,
  id: string,
  holder: string,
  { state, reason }: JobEnd,
  now: number,
): Promise<boolean> {
  const ended = await tx
    .updateTable('registry_jobs')
    .set({ state, reason, ended_time: now, holder: '', held_until: 0 })
    .where('id', '=', id)
    .where('holder', '=', holder)
    .where('state', '=', 'running')
    .executeTakeFirst();
  return Number(ended.numUpdatedRows) === 1;
}

export async function cancelRegistryJob(tx: Transaction, id: string, now: number): Promise<JobState | undefined> {
  const query = tx.selectFrom('registry_jobs').select('state').where('id', '=', id);
  const state = (await lockingRows(tx, query).executeTakeFirst())?.state as JobState | undefined;
  if (state === 'enqueued' || state === 'running') {
    await tx.updateTable('registry_jobs').set({ state: 'cancelled', ended_time: now }).where('id', '=', id).execute();
  }
  return state;
}

export async function releaseRegistryJob(tx: Transaction, id: string, holder: string): Promise<void> {
  const release = tx.updateTable('registry_jobs').set({ holder: '', held_until: 0 });
  await release.where('id', '=', id).where('holder', '=', holder).execute();
}

export async function registryJobErrors(
  tx: Transaction,
  id: string,
  after: number,
  limit: number,
): Promise<readonly KeptErrors[]> {
  const rows = await tx
    .selectFrom('registry_job_errors')
    .select(['position', 'text'])
    .where('job', '=', id)
    .where('position', '>', after)
    .orderBy('position')
    .limit(limit)
    .execute();
  return rows.map(({ position, text }) => ({ position: Number(position), text }));
}

export async function sweepRegistryJobs(tx: Transaction, before: number, count: number): Promise<number> {
  const ended = tx.selectFrom('registry_jobs').select('id').where('ended_time', 'is not', null);
  const withErrors = await tx
    .selectFrom('registry_job_errors')
    .select(['job', 'position'])
    .where('job', 'in', ended)
    .limit(ERRORS_AT_ONCE)
    .execute();
  for (const { job, position } of withErrors) {
    await tx.deleteFrom('registry_job_errors').where('job', '=', job).where('position', '=', position).execute();
  }
  const old = await ended.where('ended_time', '<', before).limit(count).execute();
  for (const { id } of old) await tx.deleteFrom('registry_jobs').where('id', '=', id).execute();
  return old.length;
}

/** Pages of errors that one sweep drops: none has more than a hundred lines. */
const ERRORS_AT_ONCE = 500;

export interface ExportRowText {
  readonly identity: ReturnType<typeof toIdentity>;
  readonly text: TwinText;
}

/** Identities with keys and twins, in the order of their ids, modules behind their device. */
export async function registryPage(
  tx: Transaction,
  cipher: KeyCipher,
  after: IdentityKey | undefined,
  limit: number,
): Promise<readonly ExportRowText[]> {
  const { deviceId, moduleId = '' } = after ?? { deviceId: '' };
  const { rows } = await sql<IdentityRow & { document: string | null; tail: string | null; model: string | null }>`
    select identity.*, text.document as document, twin.tail as tail, twin.model_id as model
    from identities as identity
    left join twins as twin on twin.device_id = identity.device_id and twin.module_id = identity.module_id
      and twin.generation_id = identity.generation_id
    left join twin_documents as text on text.device_id = twin.device_id and text.module_id = twin.module_id
    where (identity.device_id, identity.module_id) > (${deviceId}, ${moduleId})
    order by identity.device_id, identity.module_id limit ${limit}`.execute(tx);
  return rows.map((row) => ({
    identity: toIdentity(row, cipher),
    text: {
      generationId: row.generation_id,
      modelId: row.model ?? '',
      document: row.document,
      tail: row.tail ?? '',
      states: null,
    },
  }));
}

/** Seals with the key that seals now. */
export async function resealRegistryJobs(tx: Transaction, cipher: KeyCipher): Promise<void> {
  for (const { id, plan } of await tx.selectFrom('registry_jobs').select(['id', 'plan']).execute()) {
    if (planOf({ id, plan }, cipher) === undefined) continue;
    const sealed = cipher.seal(cipher.open(plan, contextOf(id)), contextOf(id));
    await tx.updateTable('registry_jobs').set({ plan: sealed }).where('id', '=', id).execute();
  }
}

function jobOf(row: Selectable<RegistryJobRow>, cipher: KeyCipher): RegistryJob {
  const time = (value: number | null): number | undefined => (value === null ? undefined : Number(value));
  return {
    id: row.id,
    plan: planOf(row, cipher) ?? unreadablePlan,
    state: row.state as JobState,
    reason: row.reason,
    counts: JSON.parse(row.counts),
    cursor: JSON.parse(row.work),
    createdTime: Number(row.created_time),
    startedTime: time(row.started_time),
    endedTime: time(row.ended_time),
  };
}

const contextOf = (id: string): readonly string[] => ['registry_jobs', id, 'plan'];

/** Undefined = it was sealed with a key that is not there any more. */
function planOf({ id, plan }: Pick<Selectable<RegistryJobRow>, 'id' | 'plan'>, cipher: KeyCipher): JobPlan | undefined {
  try {
    return JSON.parse(cipher.open(plan, contextOf(id)));
  } catch {
    return undefined;
  }
}

const UNREADABLE = 'What was asked for was sealed with a key that this hub does not have any more.';
const unreadablePlan: JobPlan = {
  ...{ kind: 'export', inputUri: null, outputUri: '', inputName: '', outputName: '', configurationsName: null },
  ...{ excludesKeys: false, withTwins: false, createdBy: '' },
};

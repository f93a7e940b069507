/** Jobs in tables: taken, shown, cancelled, and which node carries them on. What is done for their devices is in `job-devices.ts`. */
import { sql } from 'kysely';
import type { ClaimTerms, HeldJob, Hold, JobFilter, JobTotals, KeptJobs, ListedJobs } from '../../core/jobs/ports.ts';
import { isJobId, outcomeUnknown, type StoredStatus } from '../../core/jobs/rules.ts';
import type { Job, JobKind, JobStatus, NewJob } from '../../core/jobs/types.ts';
import { isOtherProcess } from '../../core/nodes/processes.ts';
import { engineOf, lockingRows, padded } from './engine.ts';
import { deviceJobOf, eventOf, jobOf, RUNNING, UNKNOWN } from './job-rows.ts';
import type { JobRow } from './job-tables.ts';
import type { Transaction } from './schema.ts';
import { keepTwinEvents } from './twin-events.ts';

/** Rows that one statement names, or one sweep removes. */
const JOBS_AT_ONCE = 100;

const fresh = {
  ...{ status: 'queued', is_open: 1, started_time: 0, ended_time: 0, reason: '' },
  ...{ waiting: 0, running: 0, completed: 0, failed: 0, cancelled: 0, unknown: 0 },
  ...{ selection: '', done_device: '', done_module: '', node: null, fence: 0, held_until: 0 },
};

export async function createJob(tx: Transaction, job: NewJob, openMax: number): Promise<'created' | 'exists' | 'full'> {
  await oneLooks(tx);
  const known = await tx.selectFrom('jobs').select('id').where('id', '=', job.id).executeTakeFirst();
  if (known !== undefined) return 'exists';
  const { open } = await tx
    .selectFrom('jobs')
    .select((build) => build.fn.countAll().as('open'))
    .where('is_open', '=', 1)
    .executeTakeFirstOrThrow();
  if (Number(open) >= openMax) return 'full';
  await tx
    .insertInto('jobs')
    .values({
      ...fresh,
      id: job.id,
      kind: job.work.kind,
      condition: job.condition,
      work: JSON.stringify(job.work),
      created_time: job.createdTime,
      created_by: job.createdBy,
      start_time: job.startTime,
      max_execution_ms: job.maxExecutionMs,
    })
    .execute();
  return 'created';
}

/** Other nodes that begin or take jobs wait until this transaction has ended. */
async function oneLooks(tx: Transaction): Promise<void> {
  if (!engineOf(tx).locksRows) return;
  await lockingRows(tx, tx.selectFrom('facts').select('name').where('name', '=', 'jobs')).execute();
}

export async function findJob(tx: Transaction, id: string, now: number): Promise<Job | undefined> {
  if (!isJobId(id)) return undefined;
  const row = await tx.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst();
  return row && jobOf(row, now);
}

export async function listJobs(tx: Transaction, of: JobFilter, now: number): Promise<ListedJobs> {
  const { kind, status, after, limit, charsMax } = of;
  // How long they are first: what does not fit is not read.
  let query = tx.selectFrom('jobs').select(['id', sql<number>`length(work) + length(condition)`.as('chars')]);
  if (kind !== undefined) query = query.where('kind', '=', kind);
  if (status !== undefined) query = query.where('status', '=', status === 'scheduled' ? 'queued' : status);
  if (status === 'scheduled') query = query.where('start_time', '>', now);
  if (status === 'queued') query = query.where('start_time', '<=', now);
  if (after !== undefined) {
    query = query.where(sql<boolean>`(created_time, id) < (${after.createdTime}, ${after.id})`);
  }
  const found = await query
    .orderBy('created_time', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
  let chars = 0;
  const fits = found.slice(0, limit).filter((each, at) => {
    chars += Number(each.chars);
    return at === 0 || chars <= charsMax;
  });
  const rows: JobRow[] = [];
  for (let at = 0; at < fits.length; at += JOBS_AT_ONCE) {
    const ids = fits.slice(at, at + JOBS_AT_ONCE).map(({ id }) => id);
    rows.push(...(await tx.selectFrom('jobs').selectAll().where('id', 'in', padded(ids)).execute()));
  }
  const byId = new Map(rows.map((row) => [row.id, jobOf(row, now)]));
  const jobs = fits.map(({ id }) => byId.get(id)).filter((job) => job !== undefined);
  return { jobs, goesOn: found.length > fits.length };
}

export async function cancelJob(tx: Transaction, id: string, now: number): Promise<'cancelled' | 'missing' | 'ended'> {
  if (!isJobId(id)) return 'missing';
  const row = await lockingRows(tx, tx.selectFrom('jobs').select('status').where('id', '=', id)).executeTakeFirst();
  if (row === undefined) return 'missing';
  if (row.status !== 'queued' && row.status !== 'running') return 'ended';
  // Nothing is left of one that had not begun; of the other the records that wait.
  const left = row.status === 'queued' ? { is_open: 0 } : {};
  await tx
    .updateTable('jobs')
    .set({ status: 'cancelled', ended_time: now, ...left })
    .where('id', '=', id)
    .execute();
  return 'cancelled';
}

export async function claimJobs(tx: Transaction, terms: ClaimTerms): Promise<readonly HeldJob[]> {
  const { now, runningMax } = terms;
  await oneLooks(tx);
  const open = await lockingRows(
    tx,
    tx.selectFrom('jobs').selectAll().where('is_open', '=', 1).where('status', '<>', 'queued').orderBy('start_time'),
  ).execute();
  const free = runningMax - open.filter(({ status }) => status === 'running').length;
  const due =
    free <= 0
      ? []
      : await lockingRows(
          tx,
          tx
            .selectFrom('jobs')
            .selectAll()
            .where('is_open', '=', 1)
            .where('status', '=', 'queued')
            .where('start_time', '<=', now)
            .orderBy('start_time')
            .orderBy('id')
            .limit(free),
        ).execute();
  const held: HeldJob[] = [];
  for (const row of [...open, ...due]) {
    const job = await take(tx, row, terms);
    if (job !== undefined) held.push(job);
  }
  return held;
}

/** Undefined = another node holds it. */
async function take(
  tx: Transaction,
  row: JobRow,
  { node, isFirst, now, leaseMs, withEvents }: ClaimTerms,
): Promise<HeldJob | undefined> {
  const isOwn = row.node === node;
  const isFree = row.node === null || isOwn || isOtherProcess(node, row.node);
  if (!isFree && Number(row.held_until) > now) return undefined;
  const isKept = isOwn && !isFirst;
  const begins = row.status === 'queued';
  const after: JobRow = {
    ...row,
    node,
    fence: isKept ? Number(row.fence) : Number(row.fence) + 1,
    held_until: now + leaseMs,
    ...(begins && { status: 'running', started_time: now }),
  };
  const lost = isKept ? 0 : Number(row.running);
  if (lost > 0) {
    // Its holder has gone, or does not remember: what it was asking may have been carried out.
    const ended = await tx
      .updateTable('job_devices')
      .set({ state: UNKNOWN, asks: 0, end_time: now, result: JSON.stringify({ kind: 'error', ...outcomeUnknown }) })
      .where('job', '=', row.id)
      .where('asks', '=', 1)
      .where('state', '=', RUNNING)
      .returningAll()
      .execute();
    if (withEvents) {
      const events = ended.map((each) => eventOf(deviceJobOf(each, row.kind as JobKind), now));
      await keepTwinEvents(tx, events);
    }
    after.unknown = Number(row.unknown) + lost;
    after.running = 0;
  }
  const { fence, held_until, status, started_time, unknown, running } = after;
  await tx
    .updateTable('jobs')
    .set({ node, fence, held_until, status, started_time, unknown, running })
    .where('id', '=', row.id)
    .execute();
  return {
    hold: { id: row.id, node, fence, leaseMs },
    job: jobOf(after, now),
    lost,
    selection: row.selection ?? undefined,
  };
}

/** The job, held until the transaction ends; undefined when another node has taken it. */
export async function heldJob(tx: Transaction, { id, node, fence }: Hold): Promise<JobRow | undefined> {
  return lockingRows(
    tx,
    tx
      .selectFrom('jobs')
      .selectAll()
      .where('id', '=', id)
      .where('node', '=', node)
      .where('fence', '=', fence)
      .where('is_open', '=', 1),
  ).executeTakeFirst();
}

export async function endJob(
  tx: Transaction,
  hold: Hold,
  status: 'completed' | 'failed',
  reason: string,
  now: number,
): Promise<boolean> {
  const row = await heldJob(tx, hold);
  if (row === undefined) return false;
  const own = (row.status as StoredStatus) === 'cancelled' ? {} : { status, reason, ended_time: now };
  await tx
    .updateTable('jobs')
    .set({ ...own, is_open: 0, node: null })
    .where('id', '=', hold.id)
    .execute();
  return true;
}

export async function sweepJobs(
  tx: Transaction,
  before: number,
  countMax: number,
  { jobsMax, recordsMax }: KeptJobs,
): Promise<number> {
  const { jobs, records } = await tx
    .selectFrom('jobs')
    .select((build) => [
      build.fn.countAll().as('jobs'),
      sql<number>`coalesce(sum(waiting + running + completed + failed + cancelled + unknown), 0)`.as('records'),
    ])
    .executeTakeFirstOrThrow();
  const isTooMuch = Number(jobs) > jobsMax || Number(records) > recordsMax;
  const surplus = Math.max(1, Number(jobs) - jobsMax);
  let ended = tx.selectFrom('jobs').select('id').where('is_open', '=', 0);
  if (!isTooMuch) ended = ended.where('created_time', '<', before).where('ended_time', '<', before);
  // Of records that are too many one job's at a time: the next look says whether they still are.
  const rows = await ended
    .orderBy('created_time')
    .orderBy('id')
    .limit(Math.min(isTooMuch ? surplus : countMax, JOBS_AT_ONCE))
    .execute();
  let removed = 0;
  for (const { id } of rows) {
    const some = await tx
      .selectFrom('job_devices')
      .select(['device_id', 'module_id'])
      .where('job', '=', id)
      .orderBy('device_id')
      .orderBy('module_id')
      .limit(countMax - removed)
      .execute();
    const last = some.at(-1);
    if (last !== undefined) {
      await tx
        .deleteFrom('job_devices')
        .where('job', '=', id)
        .where(sql<boolean>`(device_id, module_id) <= (${last.device_id}, ${last.module_id})`)
        .execute();
    }
    removed += some.length;
    if (removed >= countMax) return removed;
    await tx.deleteFrom('jobs').where('id', '=', id).execute();
    removed += 1;
  }
  return removed;
}

export async function jobTotals(tx: Transaction, now: number): Promise<JobTotals> {
  const rows = await tx
    .selectFrom('jobs')
    .select((build) => ['status', build.fn.countAll().as('count')])
    .groupBy('status')
    .execute();
  const { scheduled } = await tx
    .selectFrom('jobs')
    .select((build) => build.fn.countAll().as('scheduled'))
    .where('is_open', '=', 1)
    .where('status', '=', 'queued')
    .where('start_time', '>', now)
    .executeTakeFirstOrThrow();
  const jobs = { scheduled: Number(scheduled), queued: 0, running: 0, completed: 0, failed: 0, cancelled: 0 };
  for (const { status, count } of rows) jobs[status as JobStatus] = Number(count);
  jobs.queued -= jobs.scheduled;
  return { jobs };
}

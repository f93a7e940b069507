/** What jobs do for their devices, in tables: each step and the record of it are one transaction. */
import { sql } from 'kysely';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { DismissTerms, Hold, SelectedPiece, TwinBatch, TwinBatchTerms } from '../../core/jobs/ports.ts';
import type { DeviceJob, JobError, JobKind } from '../../core/jobs/types.ts';
import type { DesiredNote, TwinEvent } from '../../core/twins/ports.ts';
import type { TwinChange } from '../../core/twins/types.ts';
import { markTwins } from './configuration-marks.ts';
import { directOf } from './engine.ts';
import { keepRecords } from './job-kept.ts';
import { COMPLETED, countsOf, deviceJobOf, deviceStates, eventOf, FAILED, WAITING, workOf } from './job-rows.ts';
import { heldJob } from './jobs.ts';
import type { Transaction } from './schema.ts';
import { carryTwinChanges, type TwinChanged } from './twin-changes.ts';
import { keepTwinEvents, keyOf } from './twin-events.ts';

const INSERT = `insert into job_devices (job, device_id, module_id, state, asks, created_time, start_time, end_time, result)
  values (?, ?, ?, ?, ?, ?, 0, 0, '') on conflict (job, device_id, module_id) do nothing
  returning device_id`;

export async function selectDevices(
  tx: Transaction,
  hold: Hold,
  { keys, next }: SelectedPiece,
  now: number,
): Promise<boolean> {
  const job = await heldJob(tx, hold);
  if (job === undefined || job.status !== 'running') return false;
  const asks = job.kind === 'scheduleDeviceMethod' ? 1 : 0;
  const direct = directOf(tx);
  let added = 0;
  if (direct !== undefined) {
    for (const { deviceId, moduleId } of keys) {
      added += direct.all(INSERT, [hold.id, deviceId, moduleId ?? '', WAITING, asks, now]).length;
    }
  } else {
    const own = await sql`
      insert into job_devices (job, device_id, module_id, state, asks, created_time, start_time, end_time, result)
      select ${hold.id}, device_id, module_id, ${WAITING}::int, ${asks}::int, ${now}::bigint, 0, 0, ''
      from unnest(${keys.map(({ deviceId }) => deviceId)}::text[], ${keys.map(({ moduleId }) => moduleId ?? '')}::text[])
        as chosen (device_id, module_id)
      on conflict do nothing
    `.execute(tx);
    added = Number(own.numAffectedRows);
  }
  // A piece whose answer was lost comes again: what it has added before does not count twice.
  await tx
    .updateTable('jobs')
    .set({ selection: next ?? null, waiting: Number(job.waiting) + added, held_until: now + hold.leaseMs })
    .where('id', '=', hold.id)
    .execute();
  return true;
}

const NEXT = `select device_id, module_id, created_time from job_devices
  where job = ? and (device_id, module_id) > (?, ?) order by device_id, module_id limit ?`;
const DONE = `update job_devices set state = ${COMPLETED}, start_time = ?, end_time = ?
  where job = ? and (device_id, module_id) > (?, ?) and (device_id, module_id) <= (?, ?) and state = ${WAITING}`;

export interface TwinBatchDone {
  readonly batch: TwinBatch;
  /** What is to be told: which twins were changed, how, and which devices hear of it. */
  readonly keys: readonly IdentityKey[];
  readonly change: TwinChange;
  readonly notes: readonly DesiredNote[];
  /** Configurations are to be looked at. */
  readonly isMarked: boolean;
}

export async function updateJobTwins(
  tx: Transaction,
  hold: Hold,
  terms: TwinBatchTerms,
): Promise<TwinBatchDone | undefined> {
  const job = await heldJob(tx, hold);
  const work = job && workOf(job);
  if (job?.status !== 'running' || work?.kind !== 'scheduleUpdateTwin') return undefined;
  const { now, countMax, msMax } = terms;
  const direct = directOf(tx);
  const from = [job.done_device, job.done_module];
  const rows = (
    direct !== undefined
      ? direct.all(NEXT, [hold.id, ...from, countMax])
      : await tx
          .selectFrom('job_devices')
          .select(['device_id', 'module_id', 'created_time'])
          .where('job', '=', hold.id)
          .where(sql<boolean>`(device_id, module_id) > (${from[0]}, ${from[1]})`)
          .orderBy('device_id')
          .orderBy('module_id')
          .limit(countMax)
          .execute()
  ) as readonly { device_id: string; module_id: string; created_time: number }[];
  const change = { ifMatch: '*', time: now, withEvents: terms.withTwinEvents };
  const names = rows.map((row) => keyOf(row.device_id, row.module_id));
  const changed = await carryTwinChanges(tx, names, work.change, change, msMax);
  const done = changed.length;
  const notes = changed.flatMap(({ note }) => note ?? []);
  const keys: IdentityKey[] = [];
  const refused: DeviceJob[] = [];
  const events: TwinEvent[] = [];
  for (const [at, { outcome }] of changed.entries()) {
    const key = names[at];
    const error = outcome.kind === 'done' ? undefined : refusedBy(outcome, key);
    const record: DeviceJob = {
      ...{ key, jobId: hold.id, kind: work.kind, state: error === undefined ? 'completed' : 'failed' },
      ...{ createdTime: Number(rows[at].created_time), startTime: now, endTime: now },
      result: error && { kind: 'error', ...error },
    };
    if (error === undefined) keys.push(key);
    else refused.push(record);
    if (terms.withEvents) events.push(eventOf(record, now));
  }
  await keepRecords(tx, hold.id, refused);
  const failed = refused.length;
  if (events.length > 0) await keepTwinEvents(tx, events);
  const isMarked = await markTwins(tx, keys);
  const last = rows[done - 1];
  if (last !== undefined) {
    const to = [last.device_id, last.module_id];
    if (direct !== undefined) direct.all(DONE, [now, now, hold.id, ...from, ...to]);
    else {
      await tx
        .updateTable('job_devices')
        .set({ state: COMPLETED, start_time: now, end_time: now })
        .where('job', '=', hold.id)
        .where(sql<boolean>`(device_id, module_id) > (${from[0]}, ${from[1]})`)
        .where(sql<boolean>`(device_id, module_id) <= (${to[0]}, ${to[1]})`)
        .where('state', '=', WAITING)
        .execute();
    }
    await tx
      .updateTable('jobs')
      .set({
        waiting: Number(job.waiting) - done,
        completed: Number(job.completed) + done - failed,
        failed: Number(job.failed) + failed,
        ...{ done_device: to[0], done_module: to[1], held_until: now + hold.leaseMs },
      })
      .where('id', '=', hold.id)
      .execute();
  }
  const goesOn = done < rows.length || rows.length === countMax;
  return { batch: { completed: done - failed, failed, goesOn }, keys, change: work.change, notes, isMarked };
}

type Outcome = TwinChanged['outcome'];

function refusedBy(outcome: Exclude<Outcome, { kind: 'done' }>, { deviceId, moduleId }: IdentityKey): JobError {
  if (outcome.kind === 'refused') return { code: outcome.code, message: outcome.message };
  return moduleId === undefined
    ? { code: 'DeviceNotFound', message: `The device ${deviceId} does not exist.` }
    : { code: 'ModuleNotFound', message: `The module ${moduleId} of ${deviceId} does not exist.` };
}

export async function dismissDevices(
  tx: Transaction,
  hold: Hold,
  state: 'failed' | 'cancelled',
  error: JobError,
  { now, withEvents, countMax }: DismissTerms,
): Promise<number | undefined> {
  const job = await heldJob(tx, hold);
  if (job === undefined) return undefined;
  let query = tx.selectFrom('job_devices').selectAll().where('job', '=', hold.id).where('state', '=', WAITING);
  query =
    job.kind === 'scheduleDeviceMethod'
      ? query.where('asks', '=', 1)
      : query.where(sql<boolean>`(device_id, module_id) > (${job.done_device}, ${job.done_module})`);
  const rows = await query.orderBy('device_id').orderBy('module_id').limit(countMax).execute();
  const last = rows.at(-1);
  if (last === undefined) return 0;
  const result = { kind: 'error' as const, ...error };
  let ending = tx
    .updateTable('job_devices')
    .set({
      state: state === 'failed' ? FAILED : deviceStates.indexOf(state),
      asks: 0,
      end_time: now,
      result: JSON.stringify(result),
    })
    .where('job', '=', hold.id)
    .where('state', '=', WAITING)
    .where(sql<boolean>`(device_id, module_id) <= (${last.device_id}, ${last.module_id})`);
  ending =
    job.kind === 'scheduleDeviceMethod'
      ? ending.where('asks', '=', 1)
      : ending.where(sql<boolean>`(device_id, module_id) > (${job.done_device}, ${job.done_module})`);
  await ending.execute();
  if (withEvents) {
    const records = rows.map((row) => ({ ...deviceJobOf(row, job.kind as JobKind), state, endTime: now, result }));
    await keepTwinEvents(
      tx,
      records.map((record) => eventOf(record, now)),
    );
  }
  const counts = countsOf(job);
  counts.waiting -= rows.length;
  counts[state] += rows.length;
  // The next piece begins behind this one.
  const place = job.kind === 'scheduleDeviceMethod' ? {} : { done_device: last.device_id, done_module: last.module_id };
  await tx
    .updateTable('jobs')
    .set({ ...counts, ...place, held_until: now + hold.leaseMs })
    .where('id', '=', hold.id)
    .execute();
  return rows.length;
}

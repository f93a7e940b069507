/** What jobs of methods do for their devices, in tables: each step and the record of it are one transaction. */
import { sql } from 'kysely';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { Hold, RecordTerms, SettledDevice } from '../../core/jobs/ports.ts';
import type { DeviceJob, JobCounts, JobKind } from '../../core/jobs/types.ts';
import type { TwinEvent } from '../../core/twins/ports.ts';
import { directOf } from './engine.ts';
import { keepRecords } from './job-kept.ts';
import { countsOf, deviceJobOf, eventOf, RUNNING, WAITING } from './job-rows.ts';
import type { JobDeviceRow } from './job-tables.ts';
import { heldJob } from './jobs.ts';
import type { Transaction } from './schema.ts';
import { keepTwinEvents, keyOf } from './twin-events.ts';

export async function waitingDevices(
  tx: Transaction,
  id: string,
  after: IdentityKey | undefined,
  countMax: number,
): Promise<readonly IdentityKey[]> {
  let query = tx
    .selectFrom('job_devices')
    .select(['device_id', 'module_id'])
    .where('job', '=', id)
    .where('asks', '=', 1)
    .where('state', '=', WAITING);
  if (after !== undefined) {
    query = query.where(sql<boolean>`(device_id, module_id) > (${after.deviceId}, ${after.moduleId ?? ''})`);
  }
  const rows = await query.orderBy('device_id').orderBy('module_id').limit(countMax).execute();
  return rows.map((row) => keyOf(row.device_id, row.module_id));
}

export async function beginDevices(
  tx: Transaction,
  hold: Hold,
  keys: readonly IdentityKey[],
  now: number,
): Promise<readonly IdentityKey[] | undefined> {
  const job = await heldJob(tx, hold);
  if (job === undefined || job.status !== 'running') return undefined;
  const begun = await beginRows(tx, hold.id, keys, now);
  await tx
    .updateTable('jobs')
    .set({
      waiting: Number(job.waiting) - begun.length,
      running: Number(job.running) + begun.length,
      held_until: now + hold.leaseMs,
    })
    .where('id', '=', hold.id)
    .execute();
  return begun;
}

export async function settleDevices(
  tx: Transaction,
  hold: Hold,
  results: readonly SettledDevice[],
  { now, withEvents }: RecordTerms,
): Promise<boolean> {
  const job = await heldJob(tx, hold);
  if (job === undefined) return false;
  const counts: Record<keyof JobCounts, number> = countsOf(job);
  const events: TwinEvent[] = [];
  const rows = await rowsAt(
    tx,
    hold.id,
    results.map(({ key }) => key),
  );
  const records: DeviceJob[] = [];
  for (const { key, state, result } of results) {
    const row = rows.get(nameOf(key));
    // Of two results of one device the first one holds.
    if (row === undefined || Number(row.state) !== RUNNING || !rows.delete(nameOf(key))) continue;
    const isAgain = state === 'waiting';
    const record: DeviceJob = {
      ...deviceJobOf(row, job.kind as JobKind),
      ...{ state, result, endTime: isAgain ? 0 : now },
      ...(isAgain && { startTime: 0 }),
    };
    records.push(record);
    counts.running -= 1;
    counts[state] += 1;
    if (withEvents && !isAgain) events.push(eventOf(record, now));
  }
  await keepRecords(tx, hold.id, records);
  if (events.length > 0) await keepTwinEvents(tx, events);
  await tx
    .updateTable('jobs')
    .set({ ...counts, held_until: now + hold.leaseMs })
    .where('id', '=', hold.id)
    .execute();
  return true;
}

const nameOf = ({ deviceId, moduleId = '' }: IdentityKey): string => `${deviceId}/${moduleId}`;

const BEGIN = `update job_devices set state = ${RUNNING}, start_time = ?
  where job = ? and device_id = ? and module_id = ? and asks = 1 and state = ${WAITING} returning device_id`;

/** @returns those that waited, in the order in which they were named */
async function beginRows(
  tx: Transaction,
  job: string,
  keys: readonly IdentityKey[],
  now: number,
): Promise<readonly IdentityKey[]> {
  const direct = directOf(tx);
  if (direct !== undefined) {
    return keys.filter(({ deviceId, moduleId = '' }) => direct.all(BEGIN, [now, job, deviceId, moduleId]).length > 0);
  }
  const rows = await rowsAt(tx, job, keys);
  const begun = keys.filter((key) => {
    const row = rows.get(nameOf(key));
    return row !== undefined && Number(row.asks) === 1 && Number(row.state) === WAITING && rows.delete(nameOf(key));
  });
  // By its key alone: of what waits the database may know nothing, and would read all that does.
  await sql`
    update job_devices set state = ${RUNNING}, start_time = ${now}
    from ${namedAs(job, begun)}
    where job_devices.job = named.job and job_devices.device_id = named.device_id and job_devices.module_id = named.module_id
  `.execute(tx);
  return begun;
}

const ROW = 'select * from job_devices where job = ? and device_id = ? and module_id = ?';

/** By their names. The job is held, so that they stay as they are. */
async function rowsAt(tx: Transaction, job: string, keys: readonly IdentityKey[]): Promise<Map<string, JobDeviceRow>> {
  const direct = directOf(tx);
  const rows =
    direct !== undefined
      ? keys.flatMap(({ deviceId, moduleId = '' }) => direct.all(ROW, [job, deviceId, moduleId]))
      : (
          await sql<JobDeviceRow>`
            select job_devices.* from job_devices, ${namedAs(job, keys)}
            where job_devices.job = named.job and job_devices.device_id = named.device_id
              and job_devices.module_id = named.module_id
          `.execute(tx)
        ).rows;
  return new Map((rows as readonly JobDeviceRow[]).map((row) => [nameOf(keyOf(row.device_id, row.module_id)), row]));
}

/** The job stands beside each key for the reason that `keepRecords` has. */
const namedAs = (job: string, keys: readonly IdentityKey[]) => sql`unnest(
  ${keys.map(() => job)}::text[], ${keys.map(({ deviceId }) => deviceId)}::text[],
  ${keys.map(({ moduleId }) => moduleId ?? '')}::text[]
) as named (job, device_id, module_id)`;

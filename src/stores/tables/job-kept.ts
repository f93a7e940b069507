/** The records of a job's devices are kept: those of one job, each named once. */
import { sql } from 'kysely';
import type { DeviceJob } from '../../core/jobs/types.ts';
import { directOf } from './engine.ts';
import { deviceStates } from './job-rows.ts';
import type { Transaction } from './schema.ts';

export async function keepRecords(tx: Transaction, job: string, records: readonly DeviceJob[]): Promise<void> {
  if (records.length === 0) return;
  if (directOf(tx) !== undefined) {
    for (const record of records) await keepRecord(tx, record);
    return;
  }
  const rows = records.map(rowOf);
  // The job is a column of what is joined, not a constant: of a job that has just been filled the database believes that it has a
  // row or two, and would read all of its rows to find these.
  await sql`
    update job_devices set state = kept.state, asks = kept.asks, start_time = kept.start_time, end_time = kept.end_time, result = kept.result
    from unnest(
      ${records.map(() => job)}::text[],
      ${records.map(({ key }) => key.deviceId)}::text[], ${records.map(({ key }) => key.moduleId ?? '')}::text[],
      ${rows.map(({ state }) => state)}::int[], ${rows.map(({ asks }) => asks)}::int[],
      ${rows.map((row) => row.start_time)}::bigint[], ${rows.map((row) => row.end_time)}::bigint[],
      ${rows.map(({ result }) => result)}::text[]
    ) as kept (job, device_id, module_id, state, asks, start_time, end_time, result)
    where job_devices.job = kept.job and job_devices.device_id = kept.device_id and job_devices.module_id = kept.module_id
  `.execute(tx);
}

function rowOf({ state, startTime, endTime, result, kind }: DeviceJob) {
  return {
    state: deviceStates.indexOf(state),
    asks: kind === 'scheduleDeviceMethod' && (state === 'waiting' || state === 'running') ? 1 : 0,
    start_time: startTime,
    end_time: endTime,
    result: result === undefined ? '' : JSON.stringify(result),
  };
}

async function keepRecord(tx: Transaction, record: DeviceJob): Promise<void> {
  const { key, jobId } = record;
  await tx
    .updateTable('job_devices')
    .set(rowOf(record))
    .where('job', '=', jobId)
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .execute();
}

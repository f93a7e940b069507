/** The rows of jobs, and what they say. */
import { deviceJobJson } from '../../core/jobs/device-job.ts';
import { type StoredStatus, statusAt } from '../../core/jobs/rules.ts';
import type { DeviceJob, DeviceResult, DeviceState, Job, JobCounts, JobKind, JobWork } from '../../core/jobs/types.ts';
import type { TwinEvent } from '../../core/twins/ports.ts';
import type { JobDeviceRow, JobRow } from './job-tables.ts';
import { keyOf } from './twin-events.ts';

/** As they are numbered in the rows. */
export const deviceStates: readonly DeviceState[] = [
  'waiting',
  'running',
  'completed',
  'failed',
  'cancelled',
  'unknown',
];
export const WAITING = 0;
export const RUNNING = 1;
export const COMPLETED = 2;
export const FAILED = 3;
export const UNKNOWN = 5;

export function jobOf(row: JobRow, now: number): Job {
  const startTime = Number(row.start_time);
  return {
    id: row.id,
    condition: row.condition,
    work: workOf(row),
    createdTime: Number(row.created_time),
    createdBy: row.created_by,
    startTime,
    maxExecutionMs: Number(row.max_execution_ms),
    status: statusAt(row.status as StoredStatus, startTime, now),
    startedTime: Number(row.started_time) || undefined,
    endedTime: Number(row.ended_time) || undefined,
    reason: row.reason,
    counts: {
      waiting: Number(row.waiting),
      running: Number(row.running),
      completed: Number(row.completed),
      failed: Number(row.failed),
      cancelled: Number(row.cancelled),
      unknown: Number(row.unknown),
    },
  };
}

export const workOf = ({ work }: Pick<JobRow, 'work'>): JobWork => JSON.parse(work) as JobWork;

export function deviceJobOf(row: JobDeviceRow, kind: JobKind): DeviceJob {
  return {
    key: keyOf(row.device_id, row.module_id),
    jobId: row.job,
    kind,
    state: deviceStates[Number(row.state)],
    createdTime: Number(row.created_time),
    startTime: Number(row.start_time),
    endTime: Number(row.end_time),
    result: row.result === '' ? undefined : (JSON.parse(row.result) as DeviceResult),
  };
}

/** What readers of events are told of a record that has ended. It is of no generation, and changes no twin. */
export function eventOf(record: DeviceJob, time: number): TwinEvent {
  const content = JSON.stringify(deviceJobJson(record));
  return { key: record.key, generationId: '', version: 0, time, kind: 'job', content };
}

export function countsOf(job: Readonly<Record<keyof JobCounts, number>>): Record<keyof JobCounts, number> {
  const { waiting, running, completed, failed, cancelled, unknown } = job;
  return {
    ...{ waiting: Number(waiting), running: Number(running), completed: Number(completed) },
    ...{ failed: Number(failed), cancelled: Number(cancelled), unknown: Number(unknown) },
  };
}

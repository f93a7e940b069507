/** Records of jobs as queries read them: `devices.jobs`, in the order of jobs, devices and modules. */
import { sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import { DeviceJobRow, partsOfPlace } from '../../core/jobs/device-job.ts';
import { isJobId } from '../../core/jobs/rules.ts';
import type { JobKind } from '../../core/jobs/types.ts';
import { fieldOf } from '../../core/query/fields.ts';
import type { FleetPlace, FleetReader, FleetSlice, PageRequest } from '../../core/query/ports.ts';
import type { Expression } from '../../core/query/syntax.ts';
import { deviceJobOf } from './job-rows.ts';
import type { JobDeviceRow } from './job-tables.ts';
import type { Transaction } from './schema.ts';

export function jobRecordReader(tables: Transaction, { query }: Pick<PageRequest, 'query'>): FleetReader {
  // A condition that names one job reads its records alone.
  const job = query.where && jobNamedIn(query.where);
  if (job !== undefined && !isJobId(job)) return { read: async () => ({ rows: [] }) };
  return {
    async read(after: FleetPlace | undefined): Promise<FleetSlice> {
      const [afterJob, afterDevice, afterModule] = after === undefined ? ['', '', ''] : partsOfPlace(after);
      const behind = sql`(record.job, record.device_id, record.module_id) > (${afterJob}, ${afterDevice}, ${afterModule})`;
      const { rows } = await sql<JobDeviceRow & { kind: string }>`select record.*, job.kind
        from job_devices as record join jobs as job on job.id = record.job
        where ${job === undefined ? sql`1 = 1` : sql`record.job = ${job}`} and ${behind}
        order by record.job, record.device_id, record.module_id limit ${limits.querySliceRows}`.execute(tables);
      const found = rows.map((row) => new DeviceJobRow(deviceJobOf(row, row.kind as JobKind)));
      const last = found.at(-1);
      return found.length < limits.querySliceRows || last === undefined
        ? { rows: found }
        : { rows: found, end: last.place };
    },
  };
}

/** The job whose id a part of the condition that must be true names. */
function jobNamedIn(condition: Expression): string | undefined {
  const parts = condition.kind === 'and' ? condition.operands : [condition];
  const isJobId = (part: Expression): boolean =>
    part.kind === 'path' && fieldOf(part.segments, 'devices.jobs')?.key === '["jobId"]';
  for (const part of parts) {
    if (part.kind !== 'compare' || part.operator !== '=') continue;
    const [name, value] = isJobId(part.left) ? [part.left, part.right] : [part.right, part.left];
    if (isJobId(name) && value.kind === 'literal' && typeof value.value === 'string') return value.value;
  }
  return undefined;
}

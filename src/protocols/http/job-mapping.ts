/** Jobs of core -> JSON of the REST API; bodies of requests -> what they want. */
import type { z } from 'zod';
import { type JobJson, jobRequestSchema } from '../../api/jobs.ts';
import { memberText } from '../../base/json-scan.ts';
import { limits } from '../../base/limits.ts';
import { utcTime } from '../../base/utc-time.ts';
import { HubError } from '../../core/errors.ts';
import type { JobRequest } from '../../core/jobs/room.ts';
import { deviceCount } from '../../core/jobs/rules.ts';
import type { Job, JobKind, JobStatus, JobWork } from '../../core/jobs/types.ts';
import type { RegistryJob } from '../../core/registry-jobs/types.ts';
import { readTwinChange } from '../../core/twins/rules.ts';
import { parseJson } from './json-body.ts';
import { invalidArgument } from './refusals.ts';
import { methodRequest } from './twin-mapping.ts';

const kinds: readonly JobKind[] = ['scheduleUpdateTwin', 'scheduleDeviceMethod'];
const statuses: readonly JobStatus[] = ['scheduled', 'queued', 'running', 'completed', 'failed', 'cancelled'];

/** @throws HubError ArgumentInvalid, ArgumentNull, IotHubFormatError … */
export function jobRequest(id: string, body: Buffer): JobRequest {
  const read = jobRequestSchema.safeParse(parseJson(body, { valuesMax: limits.methodValuesMax }));
  if (!read.success) throw invalidArgument(read.error, 'body');
  const { data } = read;
  if (data.jobId != null && data.jobId !== id) throw invalid('The job has another id in the body than in the address.');
  if (data.queryCondition == null) throw missing('queryCondition');
  const startTime = data.startTime == null ? undefined : utcTime(data.startTime);
  if (Number.isNaN(startTime)) throw invalid('startTime is a time as ISO 8601 writes it.');
  return {
    id,
    condition: data.queryCondition,
    work: workOf(data, body.toString('utf8')),
    ...(startTime !== undefined && { startTime }),
    ...(data.maxExecutionTimeInSeconds != null && { maxExecutionMs: data.maxExecutionTimeInSeconds * 1000 }),
  };
}

/** What is done stays the text that it is, as in a call for one device. */
function workOf(data: z.output<typeof jobRequestSchema>, text: string): JobWork {
  const kind = wordOf(data.type, kinds, 'type');
  if (kind === 'scheduleDeviceMethod') {
    if (data.cloudToDeviceMethod == null) throw missing('cloudToDeviceMethod');
    return { kind, method: methodRequest(Buffer.from(memberText(text, 'cloudToDeviceMethod') ?? '')) };
  }
  if (data.updateTwin == null) throw missing('updateTwin');
  const { etag } = data.updateTwin;
  // One twin's ETag is no other one's.
  if (etag != null && etag !== '' && etag !== '*') throw invalid('The etag of updateTwin can only be *.');
  const change = readTwinChange(Buffer.from(memberText(text, 'updateTwin') ?? ''), 'merge');
  if (change.kind !== 'merge') throw invalid('updateTwin is merged into twins.');
  // SDKs send whole twins; the version in one is that of one device.
  const { desiredVersion: _version, ...own } = change;
  return { kind, change: own };
}

/** A word of a list, in any case; one SDK writes names of its own enumeration. */
function wordOf<Word extends string>(text: string, words: readonly Word[], name: string): Word {
  const found = words.find((word) => word.toLowerCase() === text.toLowerCase());
  if (found === undefined) throw invalid(`${name} is one of ${words.join(', ')}.`);
  return found;
}

export const kindOf = (text: string): JobKind => wordOf(text, kinds, 'jobType');

/** `canceled` is the spelling of another list of the service. */
export const statusOf = (text: string): JobStatus =>
  wordOf(text.toLowerCase() === 'canceled' ? 'cancelled' : text, statuses, 'jobStatus');

const timeText = (time: number): string => new Date(time).toISOString();

/** Some SDKs refuse an answer that has names of records of devices as well (query reference 0.9). */
export function jobJson(job: Job): JobJson {
  const { work, counts, endedTime } = job;
  return {
    jobId: job.id,
    queryCondition: job.condition,
    createdTime: timeText(job.createdTime),
    startTime: timeText(job.startTime),
    ...(endedTime !== undefined && { endTime: timeText(endedTime) }),
    maxExecutionTimeInSeconds: job.maxExecutionMs / 1000,
    type: work.kind,
    status: job.status,
    ...(work.kind === 'scheduleUpdateTwin'
      ? { updateTwin: twinJson(work) }
      : { cloudToDeviceMethod: methodJson(work) }),
    ...(job.reason !== '' && { failureReason: job.reason }),
    deviceJobStatistics: {
      deviceCount: deviceCount(counts),
      failedCount: counts.failed + counts.unknown,
      succeededCount: counts.completed,
      runningCount: counts.running,
      pendingCount: counts.waiting,
      cancelledCount: counts.cancelled,
      unknownCount: counts.unknown,
    },
  };
}

/** An import or export, of which another address tells: a tool goes there when it reads this status, and fails at a 404 (query reference 0.10). */
export function otherJobJson({ id, plan, createdTime }: Pick<RegistryJob, 'id' | 'plan' | 'createdTime'>): JobJson {
  const none = { deviceCount: 0, failedCount: 0, succeededCount: 0, runningCount: 0, pendingCount: 0 };
  return {
    ...{ jobId: id, queryCondition: '', createdTime: timeText(createdTime), startTime: timeText(createdTime) },
    ...{ maxExecutionTimeInSeconds: 0, type: plan.kind, status: 'unknown' },
    deviceJobStatistics: { ...none, cancelledCount: 0, unknownCount: 0 },
  };
}

function twinJson({ change }: JobWork & { readonly kind: 'scheduleUpdateTwin' }) {
  return {
    ...{ deviceId: null, etag: '*', version: null },
    ...(change.tags !== undefined && { tags: change.tags }),
    ...(change.desired !== undefined && { properties: { desired: change.desired } }),
  };
}

function methodJson({ method }: JobWork & { readonly kind: 'scheduleDeviceMethod' }) {
  return {
    methodName: method.name,
    ...(method.payload !== undefined && { payload: JSON.parse(method.payload) as unknown }),
    responseTimeoutInSeconds: method.responseMs / 1000,
    connectTimeoutInSeconds: method.connectMs / 1000,
  };
}

const invalid = (message: string): HubError => new HubError('ArgumentInvalid', message);
const missing = (name: string): HubError => new HubError('ArgumentNull', `${name} is missing.`);

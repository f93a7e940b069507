/** What a job may be, what its statuses are, and what a method's end says of whether the device was asked. Pure. */
import { limits } from '../../base/limits.ts';
import { asHubError, HubError } from '../errors.ts';
import type { JobPlace, SettledDevice } from './ports.ts';
import type { JobRequest } from './room.ts';
import type { Job, JobCounts, JobError, JobStatus, NewJob } from './types.ts';

const idPattern = /^[A-Za-z0-9._:-]+$/;

/** Whether a job may be called so: of other names no store is asked, which may not take them. */
export const isJobId = (id: string): boolean => id.length <= limits.jobIdCharsMax && idPattern.test(id);

/** @throws HubError ArgumentInvalid, MessageTooLarge */
export function checkJob({ id, condition, work, startTime, maxExecutionMs }: JobRequest, now: number): void {
  if (!isJobId(id)) {
    throw invalid(`A job's id has 1 to ${limits.jobIdCharsMax} letters, digits and . _ : -`);
  }
  // `GET /jobs/v2/query` is the list.
  if (id.toLowerCase() === 'query') throw invalid('A job cannot be called query: that is the address of the list.');
  if (condition.length > limits.jobConditionCharsMax) {
    throw invalid(`A job's condition has at most ${limits.jobConditionCharsMax} characters.`);
  }
  const chars = JSON.stringify(work).length;
  if (chars > limits.jobWorkCharsMax) {
    const max = limits.jobWorkCharsMax;
    throw new HubError('MessageTooLarge', `What a job does has at most ${max} characters as JSON.`, {
      limit: { name: 'jobWorkCharsMax', scope: 'job', current: chars, max },
    });
  }
  if (startTime !== undefined && startTime > now + limits.jobStartAheadMsMax) {
    throw invalid(`A job begins within ${limits.jobStartAheadMsMax / 86_400_000} days.`);
  }
  const execution = maxExecutionMs ?? limits.jobExecutionMsDefault;
  if (!Number.isFinite(execution) || execution < 1000 || execution > limits.jobExecutionMsMax) {
    throw invalid(`maxExecutionTimeInSeconds lies between 1 and ${limits.jobExecutionMsMax / 1000}.`);
  }
}

export const noCounts: JobCounts = { waiting: 0, running: 0, completed: 0, failed: 0, cancelled: 0, unknown: 0 };

/** A job that has just been taken. The service's answer to its creation says `queued`, whenever it begins. */
export const freshJob = (job: NewJob): Job => ({
  ...job,
  status: 'queued',
  startedTime: undefined,
  endedTime: undefined,
  reason: '',
  counts: noCounts,
});

/** As the stores write it down: whether a job that has not begun is `scheduled` or `queued` is a matter of the time. */
export type StoredStatus = Exclude<JobStatus, 'scheduled'>;

export function statusAt(status: StoredStatus, startTime: number, now: number): JobStatus {
  return status === 'queued' && startTime > now ? 'scheduled' : status;
}

export const deviceCount = (counts: JobCounts): number =>
  counts.waiting + counts.running + counts.completed + counts.failed + counts.cancelled + counts.unknown;

/** Whether a job is over: when nothing of it is open any more. */
export const isSettled = ({ waiting, running }: JobCounts): boolean => waiting + running === 0;

/** The certain ones of a method's refusals: the device was not asked, and may be asked later. */
const notAsked: ReadonlySet<string> = new Set([
  'DeviceNotOnline',
  'DeviceMaximumInflightMethodExceeded',
  'ThrottlingException',
]);
/** Those that say what became of it: it does not exist, it was asked and did not answer, or not as it should. */
const known: ReadonlySet<string> = new Set([
  'DeviceNotFound',
  'ModuleNotFound',
  'ArgumentInvalid',
  'MessageTooLarge',
  'GatewayTimeout',
  'DeviceConnectionClosedRemotely',
  'BadDeviceResponse',
]);

/** What a call that was refused leaves behind. Whatever is not certain is unknown, and never tried again. */
export function afterRefusal(key: SettledDevice['key'], error: unknown): SettledDevice {
  const { code, message } = asHubError(error);
  if (notAsked.has(code)) return { key, state: 'waiting' };
  const result = { kind: 'error' as const, code, message: message.slice(0, limits.jobReasonCharsMax) };
  return { key, state: known.has(code) ? 'failed' : 'unknown', result };
}

/** Of devices that were being asked when the hub went, or when another one took the job over. */
export const outcomeUnknown: JobError = {
  code: 'ServiceUnavailable',
  message: 'The hub stopped while the device was being asked. Whether it carried out the method is not known.',
};

export const timeIsOver: JobError = {
  code: 'GatewayTimeout',
  message: "The job's time was over before it was this device's turn.",
};

/** Of a device that waited for its method until the job's time was over: in the service's words. */
export const neverOnline: JobError = {
  code: 'DeviceNotOnline',
  message: 'Timed out waiting for device to connect.',
};

export const wasCancelled: JobError = {
  code: 'JobRunPreconditionFailed',
  message: "The job was cancelled before it was this device's turn.",
};

export function jobContinuation({ createdTime, id }: JobPlace): string {
  return Buffer.from(JSON.stringify([createdTime, id])).toString('base64url');
}

/** @throws HubError ArgumentInvalid */
export function jobPlace(continuation: string): JobPlace {
  const read = continuation.length > limits.queryContinuationCharsMax ? undefined : parsed(continuation);
  if (Array.isArray(read) && read.length === 2) {
    const [createdTime, id] = read as readonly unknown[];
    if (Number.isSafeInteger(createdTime) && typeof id === 'string' && isJobId(id)) {
      return { createdTime: createdTime as number, id };
    }
  }
  throw invalid('The continuation token is not one that a list of jobs was answered with.');
}

function parsed(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    return undefined;
  }
}

function invalid(message: string): HubError {
  return new HubError('ArgumentInvalid', message);
}

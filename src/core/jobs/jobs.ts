/** Jobs as back ends ask for them: taken, shown, cancelled. What carries them on is `runner.ts`. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { Recorder } from '../monitoring/types.ts';
import { jobCalls } from './calls.ts';
import type { JobStore } from './ports.ts';
import type { Jobs } from './room.ts';
import { checkJob, freshJob, jobContinuation, jobPlace } from './rules.ts';
import type { Job, NewJob } from './types.ts';

export interface JobsParts {
  readonly guard: Guard;
  readonly store: JobStore;
  /** @throws HubError ArgumentInvalid, with the place in the condition */
  readonly checkCondition: (condition: string) => void;
  /** @throws HubError ArgumentInvalid, MessageTooLarge */
  readonly checkMethod: (method: (NewJob['work'] & { readonly kind: 'scheduleDeviceMethod' })['method']) => void;
  /** There may be something to carry on. */
  readonly wake: () => void;
  readonly recorder: Recorder;
  /** By which the store counts. */
  readonly clock: Pick<Clock, 'now'>;
}

export function createJobs(parts: JobsParts): Guarded<Jobs> {
  const { store, clock, recorder } = parts;

  async function known(id: string): Promise<Job> {
    const job = await store.find(id, clock.now());
    if (job === undefined) throw notFound(id);
    return job;
  }

  const room: Jobs = {
    async create(principal, request) {
      const now = clock.now();
      checkJob(request, now);
      parts.checkCondition(request.condition);
      if (request.work.kind === 'scheduleDeviceMethod') parts.checkMethod(request.work.method);
      const job: NewJob = {
        id: request.id,
        condition: request.condition,
        work: request.work,
        createdTime: now,
        createdBy: principal.kind === 'policy' ? principal.policyName : '',
        startTime: Math.max(now, request.startTime ?? now),
        maxExecutionMs: request.maxExecutionMs ?? limits.jobExecutionMsDefault,
      };
      const outcome = await store.create(job, limits.jobsOpenMax);
      if (outcome === 'exists') throw new HubError('JobAlreadyExists', `The job ${job.id} exists already.`);
      if (outcome === 'full') {
        const max = limits.jobsOpenMax;
        throw new HubError('ThrottlingMaxActiveJobCountExceeded', undefined, {
          limit: { name: 'jobsOpenMax', scope: 'hub', current: max, max },
        });
      }
      recorder.record({ type: 'jobCreated', job: job.id, jobType: job.work.kind, policyName: job.createdBy });
      parts.wake();
      return freshJob(job);
    },
    get: (_principal, id) => known(id),
    async cancel(_principal, id) {
      const outcome = await store.cancel(id, clock.now());
      if (outcome === 'missing') throw notFound(id);
      const job = await known(id);
      if (outcome === 'ended') {
        throw new HubError('JobRunPreconditionFailed', `The job ${id} has ended already: it is ${job.status}.`);
      }
      // One that had not begun is over by that; of the others the runner tells.
      if (job.startedTime === undefined) recorder.record(ended(job));
      parts.wake();
      return job;
    },
    async list(_principal, { kind, status, countMax, continuation }) {
      const wanted = countMax === undefined || countMax < 1 ? limits.jobPageDefault : countMax;
      const limit = Math.min(wanted, limits.jobPageMax);
      const of = {
        ...(kind !== undefined && { kind }),
        ...(status !== undefined && { status }),
        ...(continuation !== undefined && { after: jobPlace(continuation) }),
      };
      const { jobs, goesOn } = await store.list({ ...of, limit, charsMax: limits.jobPageCharsMax }, clock.now());
      const last = jobs.at(-1);
      return { jobs, ...(goesOn && last !== undefined && { continuation: jobContinuation(last) }) };
    },
  };
  return parts.guard.room(room, jobCalls);
}

/** What monitoring is told of a job that is over. */
export function ended({ id, work, status, counts }: Job) {
  const { completed, failed, cancelled, unknown } = counts;
  return {
    ...{ type: 'jobEnded' as const, job: id, jobType: work.kind, status },
    ...{ completed, failed, cancelled, unknown },
  };
}

const notFound = (id: string): HubError => new HubError('JobNotFound', `There is no job ${id}.`);

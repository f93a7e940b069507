/** Import and export of the registry: one job at a time in the hub, in the hands of one node by a lease. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type Random, uuid } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { IdentityStore } from '../identity/ports.ts';
import type { RegistryLimits } from '../identity/registry-writes.ts';
import type { Principal } from '../identity/types.ts';
import type { Recorder } from '../monitoring/types.ts';
import { registryJobCalls } from './calls.ts';
import type { ConfigurationLines } from './configuration-file.ts';
import { both, demandContainers, mayPass, reasonOf } from './containers.ts';
import type { ReadTwin } from './device-line.ts';
import { runExport, type TwinForms } from './export.ts';
import { runImport } from './import.ts';
import { type ImportTwinsParts, importTwins } from './import-twins.ts';
import type { JobContainer, OpenContainer, RegistryJobStore, RegistryPages } from './ports.ts';
import type { JobArea, RegistryJobs } from './room.ts';
import { freshCursor, type JobCounts, type JobPlan, type JobRequest, noCounts, type RegistryJob } from './types.ts';
import { type HeldJob, holdJob, JobFailed, JobStopped, objectErrorOf } from './work.ts';

export interface RegistryJobsParts {
  readonly guard: Guard;
  readonly records: RegistryJobStore;
  readonly pages: RegistryPages;
  readonly identities: IdentityStore;
  readonly twins: Omit<ImportTwinsParts, 'isAllowed'> & { readonly forms: TwinForms; readonly read: ReadTwin };
  readonly open: OpenContainer;
  /** Whether a container can be reached by another node alone, as long as that one may come. Default: none. */
  readonly isElsewhere?: (uri: string) => boolean;
  /** Absent = a hub without configurations. */
  readonly configurations?: ConfigurationLines;
  /** Makes a container of the hub's own. @throws HubError DefaultStorageEndpointNotConfigured */
  makeArea(lifeMs: number): JobArea;
  readonly limits: RegistryLimits;
  /** As of `RegistryJobStore.claim`. */
  readonly holder: string;
  /** As of `holdJob`. */
  readonly mayWork?: () => boolean;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Resolves when everything else has had its turn. */
  turn(): Promise<void>;
}

export interface JobTotals {
  /** Lines and identities that were dealt with, and those of them that could not be taken, since the start. */
  readonly done: number;
  readonly failed: number;
  readonly running: 'import' | 'export' | undefined;
}

export interface RegistryJobsRoom {
  readonly jobs: Guarded<RegistryJobs>;
  readonly totals: JobTotals;
  /** Works on the job that waits, if there is one, to its end or until `signal`. One call at a time. */
  work(signal: AbortSignal): Promise<void>;
  /** Tells that a job may wait. */
  watch(listener: () => void): () => void;
  sweep(): Promise<void>;
}

/** Tries at one place of a job whose container or whose store is away for a while, and the first pause (each is twice the last). */
const TRIES_MAX = 6;
const PAUSE_MS = 500;

export function createRegistryJobs(parts: RegistryJobsParts): RegistryJobsRoom {
  const { records, clock, random, log, holder } = parts;
  const listeners = new Set<() => void>();
  const totals = { done: 0, failed: 0, running: undefined as JobTotals['running'] };

  const isElsewhere = ({ inputUri, outputUri }: JobPlan): boolean =>
    [inputUri, outputUri].some((uri) => uri !== null && parts.isElsewhere?.(uri) === true);

  async function known(id: string): Promise<RegistryJob> {
    const job = await records.find(id);
    if (job === undefined) throw new HubError('JobNotFound', 'There is no such import or export job.');
    return job;
  }

  const jobs: RegistryJobs = {
    async create(principal, request) {
      const plan = planOf(principal, request, () => parts.makeArea(limits.registryJobAreaMs).uri);
      if (plan.configurationsName !== null && parts.configurations === undefined) {
        throw new HubError('OperationNotAvailable', 'This hub has no configurations.');
      }
      await demandContainers(plan, parts.open);
      const job: RegistryJob = {
        ...{ id: uuid(random), plan, state: 'enqueued', reason: '', counts: noCounts, cursor: freshCursor },
        ...{ createdTime: clock.now(), startedTime: undefined, endedTime: undefined },
      };
      if ((await records.create(job)) === 'busy') {
        throw new HubError('JobQuotaExceeded', undefined, {
          limit: { name: 'registryJobs', scope: 'hub', current: 1, max: 1 },
        });
      }
      parts.recorder.record({ type: 'registryJobStarted', job: job.id, kind: plan.kind, policyName: plan.createdBy });
      for (const listener of listeners) listener();
      return job;
    },
    get: (_principal, id) => known(id),
    glimpse: (_principal, id) => known(id),
    list: () => records.list(limits.registryJobsListedMax),
    async cancel(_principal, id) {
      const before = await records.cancel(id, clock.now());
      if (before === undefined) await known(id);
      if (before === 'enqueued' || before === 'running') tellEnd(await known(id), 'cancelled');
    },
    openArea: async (_principal, lifeMs) => parts.makeArea(lifeMs),
  };

  function tellEnd({ id, plan, counts }: RegistryJob, outcome: 'completed' | 'failed' | 'cancelled'): void {
    const { done, failed } = counts;
    parts.recorder.record({ type: 'registryJobEnded', job: id, kind: plan.kind, outcome, done, refused: failed });
  }

  async function run(held: HeldJob, signal: AbortSignal): Promise<void> {
    const { plan } = held.job;
    const opened: JobContainer[] = [];
    // A hub that stops waits for no container that is silent.
    const letGo = (): void => {
      for (const container of opened) void container.close();
    };
    signal.addEventListener('abort', letGo);
    const open = async (uri: string): Promise<JobContainer> => {
      const container = await parts.open(uri);
      opened.push(container);
      return container;
    };
    try {
      const output = await open(plan.outputUri);
      if (plan.kind === 'export') {
        return await runExport(held, output, {
          pages: parts.pages,
          total: async () => (await parts.identities.counts()).devices,
          twins: parts.twins.forms,
          configurations: parts.configurations,
        });
      }
      const input = plan.inputUri === plan.outputUri ? output : await open(plan.inputUri ?? '');
      return await runImport(held, both(input, output), {
        ...{ store: parts.identities, readTwin: parts.twins.read, records, limits: parts.limits, random },
        twins: importTwins({ ...parts.twins, isAllowed: plan.withTwins }),
        configurations: parts.configurations,
        now: () => clock.now(),
      });
    } finally {
      signal.removeEventListener('abort', letGo);
      for (const container of opened) await container.close();
    }
  }

  /** @returns what ends the job; undefined = it is not this node's any more */
  async function attempt(job: RegistryJob, signal: AbortSignal): Promise<Ended | 'stopped' | 'again'> {
    let last = job.counts;
    const kept = (counts: JobCounts): void => {
      totals.done += counts.done - last.done;
      totals.failed += counts.failed - last.failed;
      last = counts;
    };
    const held = holdJob(job, {
      store: records,
      holder,
      clock,
      signal,
      kept,
      mayWork: parts.mayWork,
      turn: () => parts.turn(),
    });
    try {
      await run(held, signal);
      return { state: 'completed', reason: '' };
    } catch (error) {
      if (error instanceof JobStopped || signal.aborted) return 'stopped';
      if (error instanceof JobFailed) return { state: 'failed', reason: error.message };
      if (mayPass(error)) {
        log.warn({ job: job.id, error }, 'an import or export waits for its container or for the tables');
        return 'again';
      }
      if (!(error instanceof HubError) && objectErrorOf(error) === undefined) {
        log.error({ job: job.id, error }, 'an import or export failed');
      }
      return { state: 'failed', reason: reasonOf(error) };
    }
  }

  return {
    jobs: parts.guard.room(jobs, registryJobCalls),
    totals,
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async work(signal) {
      if (parts.mayWork?.() === false) return;
      // A look that finds none writes nothing.
      if (!(await records.isOneOpen())) return;
      let reached = '';
      for (let nth = 1; ; nth++) {
        const job = signal.aborted ? undefined : await records.claim(holder, limits.registryJobLeaseMs, clock.now());
        if (job === undefined) return;
        if (isElsewhere(job.plan)) {
          // Its node takes it up again when it is back, and it ends with the time of its area.
          await records.release(job.id, holder);
          return;
        }
        // Only tries that bring it no further count: a long job meets many short breaks.
        const place = JSON.stringify([job.id, job.cursor]);
        if (place !== reached) [nth, reached] = [1, place];
        totals.running = job.plan.kind;
        const outcome = await attempt(job, signal).finally(() => {
          totals.running = undefined;
        });
        if (outcome === 'stopped') {
          if (signal.aborted) await records.release(job.id, holder);
          return;
        }
        const ended = outcome !== 'again' ? outcome : nth < TRIES_MAX ? undefined : givenUp;
        if (ended === undefined) await paused(PAUSE_MS * 2 ** (nth - 1), clock, signal);
        else {
          if (await records.end(job.id, holder, ended, clock.now())) tellEnd(await known(job.id), ended.state);
          return;
        }
      }
    },
    async sweep() {
      await records.sweep(clock.now() - limits.registryJobsKeptMs, limits.registryJobsListedMax);
    },
  };
}

interface Ended {
  readonly state: 'completed' | 'failed';
  readonly reason: string;
}

const givenUp: Ended = {
  state: 'failed',
  reason: 'The container, or the hub’s own store, could not be reached for too long; the log of the hub says more.',
};

function paused(ms: number, clock: Pick<Clock, 'after'>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, resolve);
    signal.addEventListener(
      'abort',
      () => {
        cancel();
        resolve();
      },
      { once: true },
    );
  });
}

function planOf(principal: Principal, request: JobRequest, makeArea: () => string): JobPlan {
  if (request.kind === 'import' && request.inputUri === null) {
    throw new HubError('ArgumentNull', 'inputBlobContainerUri is missing.');
  }
  const { configurationsName, inputName, outputName } = request;
  if (configurationsName !== null && configurationsName === (request.kind === 'import' ? inputName : outputName)) {
    throw new HubError('ArgumentInvalid', 'configurationsBlobName must name another file than that of the devices.');
  }
  const isPolicy = principal.kind === 'policy';
  return {
    ...request,
    outputUri: request.outputUri ?? (request.kind === 'import' ? (request.inputUri ?? '') : makeArea()),
    withTwins: isPolicy && principal.permissions.has('ServiceConnect'),
    createdBy: isPolicy ? principal.policyName : '',
  };
}

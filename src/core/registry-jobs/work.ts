import { limits } from '../../base/limits.ts';
import type { ObjectError } from '../files/object-store.ts';
import type { RegistryJobStore } from './ports.ts';
import type { JobCounts, JobCursor, RegistryJob } from './types.ts';

/** A job in the hands of this node: keeps how far it has come. */
export interface HeldJob {
  readonly job: RegistryJob;
  /** Milliseconds of a clock that nobody sets. */
  monotonic(): number;
  /** Lets everything else have its turn. @throws JobStopped when the hub stops */
  turn(): Promise<void>;
  /** Keeps a step, and prolongs the lease. @throws JobStopped */
  keep(cursor: JobCursor, counts: JobCounts, errors?: string): Promise<void>;
}

/** Nothing more is to be done: a back end has cancelled it, another node has it, or the hub stops. */
export class JobStopped extends Error {
  override readonly name = 'JobStopped';
}

/** It cannot be done. The message is for the back end that has asked for it. */
export class JobFailed extends Error {
  override readonly name = 'JobFailed';
}

export function holdJob(
  job: RegistryJob,
  parts: {
    readonly store: Pick<RegistryJobStore, 'advance'>;
    readonly holder: string;
    readonly clock: { now(): number; monotonic(): number };
    readonly signal: AbortSignal;
    /** Whether this node may go on now: another one may have the job. Absent = always. */
    readonly mayWork?: () => boolean;
    turn(): Promise<void>;
    kept(counts: JobCounts): void;
  },
): HeldJob {
  const { store, holder, clock, signal } = parts;
  return {
    job,
    monotonic: () => clock.monotonic(),
    async turn() {
      if (signal.aborted) throw new JobStopped('the hub stops');
      if (parts.mayWork?.() === false) throw new JobStopped('this node has no lease');
      await parts.turn();
    },
    async keep(cursor, counts, errors = '') {
      const step = { cursor, counts, errors };
      const outcome = await store.advance(job.id, holder, step, limits.registryJobLeaseMs, clock.now());
      if (outcome !== 'kept') throw new JobStopped(outcome);
      parts.kept(counts);
      if (signal.aborted) throw new JobStopped('the hub stops');
      await parts.turn();
    },
  };
}

/** What a container refuses, whichever room has made it: rooms know each other's types only. */
export function objectErrorOf(error: unknown): ObjectError | undefined {
  return error instanceof Error && error.name === 'ObjectError' ? (error as ObjectError) : undefined;
}

/** Of one length, and the same when a crash has made a block be written again. */
export function blockId(nth: number): string {
  return Buffer.from(`mooring-${String(nth).padStart(10, '0')}`).toString('base64');
}

/** As long as the others: only whether it can be written is asked. A job that is under way has none of this id. */
export const PROBE_BLOCK = Buffer.from('mooring-probe-----').toString('base64');

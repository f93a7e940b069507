import type { IdentityKey } from '../identity/types.ts';
import type { ExportRow, JobCounts, JobCursor, RegistryJob } from './types.ts';

/**
 * What the hub remembers of registry jobs. Every operation is one atomic, durable step at the time `now` (UTC milliseconds of the
 * store's own clock). One contract suite (`stores/contract/registry-jobs.ts`) runs over every implementation.
 */
export interface RegistryJobStore {
  /** `busy`: another one is enqueued or running. */
  create(job: RegistryJob): Promise<'created' | 'busy'>;
  find(id: string): Promise<RegistryJob | undefined>;
  /** Whether one is enqueued or running; asked again and again. */
  isOneOpen(): Promise<boolean>;
  /** Newest first, at most `limit`. */
  list(limit: number): Promise<readonly RegistryJob[]>;
  /**
   * Gives the job that is enqueued or running to `holder`, until `now + leaseMs`, unless another holder has it and its time is not over.
   * What another process of the holder's node (`processOf`) has is free at once.
   * One that was enqueued runs from now on. Undefined = there is none.
   */
  claim(holder: string, leaseMs: number, now: number): Promise<RegistryJob | undefined>;
  /**
   * Keeps how far it has come, with lines of errors, and prolongs the lease. `cancelled`: a back end has ended it; `lost`: another
   * holder has it, or it is gone. Nothing is kept then.
   */
  advance(
    id: string,
    holder: string,
    step: JobStep,
    leaseMs: number,
    now: number,
  ): Promise<'kept' | 'cancelled' | 'lost'>;
  /** Ends it, if `holder` still has it. False: it has not. */
  end(id: string, holder: string, end: JobEnd, now: number): Promise<boolean>;
  /** A back end ends it; undefined = there is no such job, else its state before. */
  cancel(id: string, now: number): Promise<RegistryJob['state'] | undefined>;
  /** Gives the lease back, so that another holder need not wait for its end. */
  release(id: string, holder: string): Promise<void>;
  /** The errors that were kept, in their order, at most `limit` entries behind `after`. */
  errors(id: string, after: number, limit: number): Promise<readonly KeptErrors[]>;
  /** Drops jobs that ended before `before`, and all errors of jobs that ended; the number of jobs. */
  sweep(before: number, count: number): Promise<number>;
}

export interface JobStep {
  readonly cursor: JobCursor;
  readonly counts: JobCounts;
  /** Lines of `importErrors.log`, each with its line feed; '' = none. */
  readonly errors: string;
}

export interface JobEnd {
  readonly state: 'completed' | 'failed';
  readonly reason: string;
}

export interface KeptErrors {
  readonly position: number;
  readonly text: string;
}

/** Identities with their keys and twins, in the order of their ids, modules behind their device. */
export interface RegistryPages {
  page(after: IdentityKey | undefined, limit: number): Promise<readonly ExportRow[]>;
}

/** A container of files: an area of the hub's own store, or one elsewhere. Errors are `ObjectError`. */
export interface JobContainer {
  /** Undefined = there is no such file. */
  head(name: string): Promise<{ readonly bytes: number; readonly etag: string } | undefined>;
  /** The bytes from `start` on; undefined = there is no such file. */
  read(name: string, start: number): Promise<JobFile | undefined>;
  /** Keeps a block for a later `commit`; one of the same id is replaced. */
  stage(name: string, blockId: string, bytes: Uint8Array): Promise<void>;
  /** Makes the file of its blocks, in this order. @param bytes of them together @throws ObjectError unknownBlock */
  commit(name: string, blockIds: readonly string[], bytes: number): Promise<void>;
  /** Lets go of connections. */
  close(): Promise<void>;
}

export interface JobFile {
  readonly bytes: number;
  readonly etag: string;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Opens a container by its address. @throws HubError BlobContainerValidationError: the address is none, or not allowed here */
export type OpenContainer = (uri: string) => Promise<JobContainer>;

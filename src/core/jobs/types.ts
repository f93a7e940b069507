/** Jobs: one change, or one method, for all devices that a condition is true of. Plain data, no behaviour. */
import type { ErrorCode } from '../errors.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { MethodRequest } from '../methods/types.ts';
import type { TwinChange } from '../twins/types.ts';

/** In the words of the emulated service. */
export type JobKind = 'scheduleUpdateTwin' | 'scheduleDeviceMethod';

/** What is done to each device. */
export type JobWork =
  | { readonly kind: 'scheduleUpdateTwin'; readonly change: TwinChange & { readonly kind: 'merge' } }
  | { readonly kind: 'scheduleDeviceMethod'; readonly method: MethodRequest };

/**
 * `scheduled`: it begins later. `queued`: it may begin, and waits for a place. The last three are final: `completed` when every device has
 * its record, whatever became of it; `failed` when the job as a whole could not be carried out.
 */
export type JobStatus = 'scheduled' | 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

/**
 * What became of one device. `waiting`: nothing was done. `running`: the device is being asked, or was when the hub was killed. `unknown`: it
 * may have been asked, and what it did nobody knows; it is not asked again.
 */
export type DeviceState = 'waiting' | 'running' | 'completed' | 'failed' | 'cancelled' | 'unknown';

export type JobCounts = Readonly<Record<DeviceState, number>>;

export interface NewJob {
  readonly id: string;
  /** As the caller wrote it: a condition, `*`, or `FROM devices.modules WHERE …`. */
  readonly condition: string;
  readonly work: JobWork;
  /** UTC milliseconds, as all times here. */
  readonly createdTime: number;
  /** The policy that asked for it. */
  readonly createdBy: string;
  readonly startTime: number;
  /** Counted from when it really began. */
  readonly maxExecutionMs: number;
}

export interface Job extends NewJob {
  readonly status: JobStatus;
  /** Undefined = it has not begun. */
  readonly startedTime: number | undefined;
  readonly endedTime: number | undefined;
  /** Why it has failed, for people; empty = it has not. */
  readonly reason: string;
  readonly counts: JobCounts;
}

/** A refusal as a record keeps it. */
export interface JobError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** What became of one device of a job. */
export interface DeviceJob {
  readonly key: IdentityKey;
  readonly jobId: string;
  readonly kind: JobKind;
  readonly state: DeviceState;
  /** When it was selected. */
  readonly createdTime: number;
  /** 0 = not yet. */
  readonly startTime: number;
  readonly endTime: number;
  readonly result: DeviceResult | undefined;
}

/** Absent where there is none: an updated twin says nothing of itself. */
export type DeviceResult =
  | { readonly kind: 'answer'; readonly status: number; readonly payload: string }
  | ({ readonly kind: 'error' } & JobError);

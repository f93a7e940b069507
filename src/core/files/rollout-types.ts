import type { IdentityKey } from '../identity/types.ts';

/**
 * One file that goes to many devices in waves: each device of a wave is granted the file and told of it by a command; the
 * next wave begins when this one is over, after a pause, unless too many have failed.
 */
export interface Rollout {
  /** A UUID. */
  readonly id: string;
  /** The file, in the hub's part. */
  readonly name: string;
  readonly createdTime: number;
  /** The policy that asked for it. */
  readonly createdBy: string;
  readonly plan: RolloutPlan;
  readonly state: RolloutState;
  /** Why it was stopped, for people; empty = it was not. */
  readonly reason: string;
  /** UTC milliseconds before which no further wave begins. */
  readonly notBefore: number;
  /** Of the wave that began last, from 1 on; 0 = none has. */
  readonly wave: number;
  readonly counts: Readonly<Record<TargetState, number>>;
}

export interface RolloutPlan {
  /** Devices of one wave. */
  readonly waveSize: number;
  /** Between the end of a wave and the begin of the next. */
  readonly pauseMs: number;
  /** A device that has not fetched the file so long after it was told has failed. */
  readonly fetchMs: number;
  /** Share of those that are over from which no further wave begins: above 0, at most 1. */
  readonly failedShareMax: number;
}

export type RolloutState = 'running' | 'finished' | 'stopped';

/** `told`: the file is granted and the command is in the device's queue. */
export type TargetState = 'waiting' | 'told' | 'fetched' | 'failed';

export interface RolloutTarget {
  /** Its place among the devices that were named, from 0 on. */
  readonly position: number;
  readonly key: IdentityKey;
  readonly state: TargetState;
  /** Empty = none. */
  readonly grantId: string;
  /** UTC milliseconds of its last change; 0 = none yet. */
  readonly time: number;
  /** Why it has failed, for people. */
  readonly reason: string;
}

/** What a target has come to. */
export type TargetChange = Omit<RolloutTarget, 'key'>;

/** As `FileRecords`: atomic, durable, at the caller's time. */
export interface RolloutRecords {
  create(
    rollout: Omit<Rollout, 'counts'>,
    keys: readonly IdentityKey[],
    runningMax: number,
  ): Promise<'created' | 'full'>;
  find(id: string): Promise<Rollout | undefined>;
  /** Newest first. */
  list(page: { readonly after?: string; readonly limit: number }): Promise<readonly Rollout[]>;
  /** Those that run. */
  running(): Promise<readonly Rollout[]>;
  /** In order of position, behind `after`. */
  targets(
    id: string,
    of: { readonly state?: TargetState; readonly after?: number; readonly limit: number },
  ): Promise<readonly RolloutTarget[]>;
  /** Writes what became of targets. */
  settle(id: string, changes: readonly TargetChange[]): Promise<void>;
  /** Changes the rollout itself while it runs. False: it does not. */
  advance(id: string, change: Partial<Pick<Rollout, 'state' | 'reason' | 'notBefore' | 'wave'>>): Promise<boolean>;
  /** Removes what ended and was created before `before`, at most `count`. */
  sweep(before: number, count: number): Promise<number>;
}

/** Changes of many devices: the hub carries them out, and pages look at how far it has come. */
import { api } from './api.ts';

export type BulkAction = 'enable' | 'disable' | 'delete' | 'tag' | 'create';

/** What is to be done, to all devices of a condition (`*` for all), or to those named; everything else of them stays as it is. */
export interface BulkChange {
  readonly action: BulkAction;
  readonly condition?: string;
  readonly ids?: readonly string[];
  readonly tags?: object;
  /** Of enable and disable; absent = each device keeps the one it has. */
  readonly statusReason?: string;
}

export interface BulkProgress {
  readonly id: string;
  readonly action: BulkAction;
  /** Absent = the devices were named. */
  readonly condition?: string;
  readonly policyName: string;
  readonly status: 'running' | 'completed' | 'cancelled' | 'failed' | 'interrupted';
  readonly startTime: string;
  readonly endTime?: string;
  readonly total: number;
  readonly done: number;
  readonly failed: number;
  /** The first ones. */
  readonly failures: readonly { readonly deviceId: string; readonly message: string }[];
  /** Why it has failed as a whole. */
  readonly message?: string;
}

/** At most so many devices are named by one change. */
export const NAMED_MAX = 10_000;

const PLACE = '/mooring/v1/bulk-changes';
const LOOK_MS = 500;

export const startChange = async (change: BulkChange): Promise<BulkProgress> =>
  (await api<BulkProgress>('POST', PLACE, { body: change })).data;

export const listChanges = async (signal?: AbortSignal): Promise<readonly BulkProgress[]> =>
  (await api<readonly BulkProgress[]>('GET', PLACE, { ...(signal && { signal }) })).data;

/** Stops it, or goes on with it. */
export const ask = async (what: 'cancel' | 'resume', id: string): Promise<BulkProgress> =>
  (await api<BulkProgress>('POST', `${PLACE}/${id}/${what}`)).data;

/** Tells how far a change has come until it has ended, or nobody looks any more. @throws Refusal */
export async function followChange(
  id: string,
  signal: AbortSignal,
  hear: (progress: BulkProgress) => void,
): Promise<void> {
  for (;;) {
    const { data } = await api<BulkProgress>('GET', `${PLACE}/${id}`, { signal });
    if (signal.aborted) return;
    hear(data);
    if (data.status !== 'running') return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

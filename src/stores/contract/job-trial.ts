import assert from 'node:assert/strict';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { ClaimTerms, HeldJob, JobStore, SettledDevice } from '../../core/jobs/ports.ts';
import type { JobWork, NewJob } from '../../core/jobs/types.ts';
import type { FleetStore } from '../../core/query/ports.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { exampleIdentity } from './identities.ts';

export interface JobTrial {
  readonly store: JobStore;
  readonly identities: IdentityStore;
  readonly twins: TwinStore;
  readonly fleet: FleetStore;
  /** The same jobs after a restart; absent where nothing outlives the store. */
  reopen?(): Promise<JobStore>;
  readonly close: () => Promise<void>;
}

export const patch: JobWork = {
  kind: 'scheduleUpdateTwin',
  change: { kind: 'merge', tags: { a: 1 }, desired: { interval: 5 } },
};
export const method: JobWork = {
  kind: 'scheduleDeviceMethod',
  method: { name: 'reboot', payload: '{"a":1.0}', responseMs: 5000, connectMs: 0 },
};
export const newJob = (id: string, change: Partial<NewJob> = {}): NewJob => ({
  ...{ id, condition: '*', work: patch, createdTime: 1000, createdBy: 'service', startTime: 1000 },
  ...{ maxExecutionMs: 60_000, ...change },
});
export const terms = (node: string, change: Partial<ClaimTerms> = {}): ClaimTerms => ({
  ...{ node, isFirst: false, now: 2000, leaseMs: 10_000, runningMax: 10, withEvents: false },
  ...change,
});
export const keys = (...ids: readonly string[]): readonly IdentityKey[] => ids.map((deviceId) => ({ deviceId }));
export const records = { now: 2500, withEvents: false };
export const batch = { ...records, countMax: 100, msMax: 1000, withTwinEvents: false };
export const answered = (deviceId: string): SettledDevice => ({
  ...{ key: { deviceId }, state: 'completed' },
  result: { kind: 'answer', status: 200, payload: '{"b":2.0}' },
});

export async function create(identities: IdentityStore, ...ids: readonly string[]): Promise<void> {
  const writes = ids.map((deviceId) => {
    const identity = exampleIdentity({ deviceId }, { generationId: 'g1' });
    return { kind: 'create' as const, identity, countMax: 10_000 };
  });
  for (const { kind } of await identities.write(writes)) assert.equal(kind, 'done');
}

/** Takes and begins the one job that there is. */
export async function taken(store: JobStore, node = 'n1', change: Partial<ClaimTerms> = {}): Promise<HeldJob> {
  const [held] = await store.claim(terms(node, change));
  assert.ok(held !== undefined, 'there is a job to take');
  return held;
}

export async function countsOf(store: JobStore, id: string): Promise<string> {
  const job = await store.find(id, 3000);
  assert.ok(job !== undefined);
  return Object.entries(job.counts)
    .filter(([, count]) => count !== 0)
    .map(([state, count]) => `${state} ${count}`)
    .join(', ');
}

export const never = new AbortController().signal;
export const plenty = { jobsMax: 100, recordsMax: 1000 };

/** One trial of a contract, with a store of its own. */
export type RunTrial = (title: string, body: (parts: JobTrial) => Promise<void>) => void;

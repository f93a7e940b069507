import type { IdentityKey } from '../../core/identity/types.ts';
import { deviceJobJson } from '../../core/jobs/device-job.ts';
import type { Hold, JobPlace, JobStore } from '../../core/jobs/ports.ts';
import { noCounts, outcomeUnknown, type StoredStatus, statusAt } from '../../core/jobs/rules.ts';
import type { DeviceJob, DeviceResult, DeviceState, Job, JobCounts, JobStatus, NewJob } from '../../core/jobs/types.ts';
import { isOtherProcess } from '../../core/nodes/processes.ts';
import type { MemoryTwinStore } from './twins.ts';

interface Kept {
  readonly job: NewJob;
  status: StoredStatus;
  isOpen: boolean;
  startedTime: number | undefined;
  endedTime: number | undefined;
  reason: string;
  selection: string | undefined;
  /** In the order of devices and modules. */
  records: DeviceJob[];
  node: string | undefined;
  fence: number;
  heldUntil: number;
}

/** Jobs in memory, whose records queries read as well. */
export interface MemoryJobStore extends JobStore {
  /** Behind that record, in order of jobs, devices and modules. */
  records(after: readonly [job: string, device: string, module: string], countMax: number): readonly DeviceJob[];
}

/** @param twins Those that jobs update */
export function createMemoryJobStore(twins: Pick<MemoryTwinStore, 'change' | 'keepEvent'>): MemoryJobStore {
  const jobs = new Map<string, Kept>();

  const shown = (kept: Kept, now: number): Job => {
    const { job, status, startedTime, endedTime, reason, records } = kept;
    const counts: Record<keyof JobCounts, number> = { ...noCounts };
    for (const { state } of records) counts[state] += 1;
    return { ...job, status: statusAt(status, job.startTime, now), startedTime, endedTime, reason, counts };
  };
  const byAge = (): Kept[] => [...jobs.values()].sort((a, b) => (isBehind(placeOf(a.job), placeOf(b.job)) ? -1 : 1));
  const held = ({ id, node, fence, leaseMs }: Hold, now: number): Kept | undefined => {
    const kept = jobs.get(id);
    if (kept === undefined || !kept.isOpen || kept.node !== node || kept.fence !== fence) return undefined;
    kept.heldUntil = now + leaseMs;
    return kept;
  };
  const put = (
    kept: Kept,
    key: IdentityKey,
    change: { state: DeviceState; startTime?: number; endTime: number; result?: DeviceResult },
  ): DeviceJob => {
    const at = kept.records.findIndex((record) => sameKey(record.key, key));
    const record = { ...kept.records[at], result: undefined, ...change };
    kept.records[at] = record;
    return record;
  };
  const tell = (record: DeviceJob, time: number): void => {
    const content = JSON.stringify(deviceJobJson(record));
    twins.keepEvent({ key: record.key, generationId: '', version: 0, time, kind: 'job', content });
  };
  const waitingOf = (kept: Kept): readonly DeviceJob[] => kept.records.filter(({ state }) => state === 'waiting');

  return {
    async create(job, openMax) {
      if (jobs.has(job.id)) return 'exists';
      if ([...jobs.values()].filter(({ isOpen }) => isOpen).length >= openMax) return 'full';
      jobs.set(job.id, {
        ...{ job, status: 'queued', isOpen: true, startedTime: undefined, endedTime: undefined, reason: '' },
        ...{ selection: '', records: [], node: undefined, fence: 0, heldUntil: 0 },
      });
      return 'created';
    },
    async find(id, now) {
      const kept = jobs.get(id);
      return kept && shown(kept, now);
    },
    async list({ kind, status, after, limit, charsMax }, now) {
      const found = byAge()
        .map((kept) => shown(kept, now))
        .filter((job) => kind === undefined || job.work.kind === kind)
        .filter((job) => status === undefined || job.status === status)
        .filter((job) => after === undefined || isBehind(after, job));
      let chars = 0;
      const fits = found.slice(0, limit).filter(({ work, condition }, at) => {
        chars += JSON.stringify(work).length + condition.length;
        return at === 0 || chars <= charsMax;
      });
      return { jobs: fits, goesOn: found.length > fits.length };
    },
    async cancel(id, now) {
      const kept = jobs.get(id);
      if (kept === undefined) return 'missing';
      if (kept.status !== 'queued' && kept.status !== 'running') return 'ended';
      if (kept.status === 'queued') kept.isOpen = false;
      kept.status = 'cancelled';
      kept.endedTime = now;
      return 'cancelled';
    },
    async claim({ node, isFirst, now, leaseMs, runningMax, withEvents }) {
      const open = [...jobs.values()].filter(({ isOpen }) => isOpen).sort((a, b) => a.job.startTime - b.job.startTime);
      const running = open.filter(({ status }) => status !== 'queued');
      const free = runningMax - running.filter(({ status }) => status === 'running').length;
      const due = open
        .filter(({ status, job }) => status === 'queued' && job.startTime <= now)
        .slice(0, Math.max(0, free));
      return [...running, ...due].flatMap((kept) => {
        const isOwn = kept.node === node;
        const isFree = kept.node === undefined || isOwn || isOtherProcess(node, kept.node);
        if (!isFree && kept.heldUntil > now) return [];
        let lost = 0;
        if (!isOwn || isFirst) {
          kept.fence += 1;
          for (const { key, state, startTime } of kept.records) {
            if (state !== 'running') continue;
            const result = { kind: 'error', ...outcomeUnknown } as const;
            const record = put(kept, key, { state: 'unknown', startTime, endTime: now, result });
            if (withEvents) tell(record, now);
            lost += 1;
          }
        }
        kept.node = node;
        kept.heldUntil = now + leaseMs;
        if (kept.status === 'queued') {
          kept.status = 'running';
          kept.startedTime = now;
        }
        const hold = { id: kept.job.id, node, fence: kept.fence, leaseMs };
        return [{ hold, job: shown(kept, now), lost, selection: kept.selection }];
      });
    },
    async select(hold, { keys, next }, now) {
      const kept = held(hold, now);
      if (kept?.status !== 'running') return false;
      const { id: jobId, work } = kept.job;
      for (const key of keys) {
        if (kept.records.some((record) => sameKey(record.key, key))) continue;
        kept.records.push({
          ...{ key, jobId, kind: work.kind, state: 'waiting', createdTime: now, startTime: 0, endTime: 0 },
          result: undefined,
        });
      }
      kept.records.sort(inOrder);
      kept.selection = next;
      return true;
    },
    async updateTwins(hold, { now, countMax, withTwinEvents, withEvents }) {
      const kept = held(hold, now);
      if (kept?.status !== 'running' || kept.job.work.kind !== 'scheduleUpdateTwin') return undefined;
      const { change } = kept.job.work;
      const waiting = waitingOf(kept);
      let failed = 0;
      for (const { key } of waiting.slice(0, countMax)) {
        const outcome = await twins.change(key, change, { ifMatch: '*', time: now, withEvents: withTwinEvents });
        const error =
          outcome.kind === 'refused'
            ? { code: outcome.code, message: outcome.message }
            : outcome.kind === 'gone'
              ? ({
                  code: key.moduleId === undefined ? 'DeviceNotFound' : 'ModuleNotFound',
                  message: 'it does not exist',
                } as const)
              : undefined;
        if (error !== undefined) failed += 1;
        const record = put(kept, key, {
          ...{ state: error === undefined ? 'completed' : 'failed', startTime: now, endTime: now },
          ...(error && { result: { kind: 'error', ...error } }),
        });
        if (withEvents) tell(record, now);
      }
      const done = Math.min(waiting.length, countMax);
      return { completed: done - failed, failed, goesOn: waiting.length > countMax };
    },
    async waiting(id, after, countMax) {
      const kept = jobs.get(id);
      const keys = kept === undefined ? [] : waitingOf(kept).map(({ key }) => key);
      return keys.filter((key) => after === undefined || compareKeys(key, after) > 0).slice(0, countMax);
    },
    async begin(hold, keys, now) {
      const kept = held(hold, now);
      if (kept?.status !== 'running') return undefined;
      return keys.filter((key) => {
        const record = kept.records.find((each) => sameKey(each.key, key));
        if (record?.state !== 'waiting') return false;
        put(kept, key, { state: 'running', startTime: now, endTime: 0 });
        return true;
      });
    },
    async settle(hold, results, { now, withEvents }) {
      const kept = held(hold, now);
      if (kept === undefined) return false;
      for (const { key, state, result } of results) {
        if (kept.records.find((each) => sameKey(each.key, key))?.state !== 'running') continue;
        const isAgain = state === 'waiting';
        const record = put(kept, key, {
          ...{ state, endTime: isAgain ? 0 : now, ...(isAgain && { startTime: 0 }) },
          ...(result && { result }),
        });
        if (withEvents && !isAgain) tell(record, now);
      }
      return true;
    },
    async dismiss(hold, state, error, { now, withEvents, countMax }) {
      const kept = held(hold, now);
      if (kept === undefined) return undefined;
      const some = waitingOf(kept).slice(0, countMax);
      for (const { key } of some) {
        const record = put(kept, key, { state, endTime: now, result: { kind: 'error', ...error } });
        if (withEvents) tell(record, now);
      }
      return some.length;
    },
    async end(hold, status, reason, now) {
      const kept = held(hold, now);
      if (kept === undefined) return false;
      kept.isOpen = false;
      kept.node = undefined;
      if (kept.status === 'cancelled') return true;
      kept.status = status;
      kept.reason = reason;
      kept.endedTime = now;
      return true;
    },
    async sweep(before, countMax, { jobsMax, recordsMax }) {
      let removed = 0;
      const all = [...jobs].sort(([, a], [, b]) => a.job.createdTime - b.job.createdTime);
      const records = all.reduce((sum, [, kept]) => sum + kept.records.length, 0);
      const isTooMuch = all.length > jobsMax || records > recordsMax;
      const isOver = ({ isOpen, job, endedTime }: Kept): boolean =>
        !isOpen && (isTooMuch || (job.createdTime < before && (endedTime ?? before) < before));
      for (const [id, kept] of all
        .filter(([, each]) => isOver(each))
        .slice(0, isTooMuch ? Math.max(1, all.length - jobsMax) : all.length)) {
        const some = kept.records.splice(0, countMax - removed).length;
        removed += some;
        if (removed >= countMax) return removed;
        jobs.delete(id);
        removed += 1;
      }
      return removed;
    },
    async totals(now) {
      const found: Record<JobStatus, number> = {
        scheduled: 0,
        queued: 0,
        running: 0,
        completed: 0,
        failed: 0,
        cancelled: 0,
      };
      for (const kept of jobs.values()) found[shown(kept, now).status] += 1;
      return { jobs: found };
    },
    records([job, device, module], countMax) {
      const found: DeviceJob[] = [];
      for (const id of [...jobs.keys()].sort()) {
        if (id < job) continue;
        const after = { deviceId: device, ...(module !== '' && { moduleId: module }) };
        for (const record of jobs.get(id)?.records ?? []) {
          if (id > job || compareKeys(record.key, after) > 0) found.push(record);
        }
        if (found.length >= countMax) break;
      }
      return found.slice(0, countMax);
    },
  };
}

const placeOf = ({ createdTime, id }: JobPlace): JobPlace => ({ createdTime, id });

/** Whether `job` comes after `place` in a list, newest first. */
const isBehind = (place: JobPlace, job: JobPlace): boolean =>
  job.createdTime < place.createdTime || (job.createdTime === place.createdTime && job.id < place.id);

const sameKey = (a: IdentityKey, b: IdentityKey): boolean => a.deviceId === b.deviceId && a.moduleId === b.moduleId;

const inOrder = (a: DeviceJob, b: DeviceJob): number => compareKeys(a.key, b.key);

function compareKeys(a: IdentityKey, b: IdentityKey): number {
  const [left, right] = [`${a.deviceId}/${a.moduleId ?? ''}`, `${b.deviceId}/${b.moduleId ?? ''}`];
  if (a.deviceId !== b.deviceId) return a.deviceId < b.deviceId ? -1 : 1;
  return left === right ? 0 : left < right ? -1 : 1;
}

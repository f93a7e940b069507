/**
 * Changes of many devices that the hub carries out by itself: a page of devices after the other, while whoever asked looks on, or has
 * gone. They belong to this process: one that it did not end is `interrupted` after its next start, and goes on when it is asked to.
 */
import type { BulkChange, BulkFailure, BulkProgress } from '../../api/bulk-change.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { Shares } from '../../base/shares.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import { shareName } from '../../core/identity/share-name.ts';
import type { PolicyPrincipal } from '../../core/identity/types.ts';
import type { BulkChangesControl } from '../../protocols/shared/bulk-changes-control.ts';
import type { KeptChange, KeptChanges } from './kept-changes.ts';
import { type BulkHub, changePage, countOf, idPages, tagsOf } from './pages.ts';
import { patiently } from './patience.ts';

export interface BulkChangesParts {
  readonly hub: BulkHub;
  /** Absent = nothing is kept beyond the process. */
  readonly kept?: KeptChanges;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Known extends KeptChange {
  progress: BulkProgress;
  change: BulkChange | undefined;
  /** Another one goes on with it: it is asked for already. */
  isTaken?: true;
  /** While it runs. */
  run?: { readonly abort: AbortController; readonly over: Promise<void> };
}

export interface BulkChanges extends BulkChangesControl {
  /** Ends with the page that is under way; what is left is interrupted. */
  close(): Promise<void>;
}

/** What a step that was done already, and not kept, is refused for when it is done again. */
const doneAlready: Readonly<Partial<Record<BulkChange['action'], string>>> = {
  delete: 'DeviceNotFound',
  create: 'DeviceAlreadyExists',
};

export function createBulkChanges({ hub, kept, clock, random, log }: BulkChangesParts): BulkChanges {
  const changes = new Map<string, Known>();
  const timeText = (): string => new Date(clock.now()).toISOString();
  const places = new Shares({ max: limits.bulkChangesMax, perKeyMax: limits.bulkChangesPerPolicyMax });
  let isClosed = false;
  for (const { change, progress } of kept?.load() ?? []) {
    const isOpen = progress.status === 'running';
    const known = { change, progress: isOpen ? { ...progress, status: 'interrupted' as const } : progress };
    changes.set(progress.id, known);
    if (isOpen) kept?.end(known);
  }
  drop();

  function drop(): void {
    const ended = [...changes.values()].filter(({ run }) => run === undefined).sort(oldestFirst);
    for (const { progress } of ended.slice(0, Math.max(0, ended.length - limits.bulkChangesKeptMax))) {
      changes.delete(progress.id);
      kept?.remove(progress.id);
    }
  }

  function known(id: string): Known {
    const found = changes.get(id);
    if (found === undefined) throw new HubError('JobNotFound', `There is no change ${id} of many devices.`);
    return found;
  }

  function tooMany(share: string): HubError {
    const isOfPolicy = places.isFull(share);
    const name = isOfPolicy ? 'bulkChangesPerPolicyMax' : 'bulkChangesMax';
    const current = isOfPolicy ? places.heldBy(share) : places.used;
    const limit = { name, scope: isOfPolicy ? share : 'hub', current, max: limits[name] };
    return new HubError('ThrottlingException', `${current} such changes are under way already.`, { limit });
  }

  /** @param from how many of the devices that it names are behind it */
  async function begin(principal: PolicyPrincipal, change: BulkChange, from: number): Promise<BulkProgress> {
    if (isClosed) throw new HubError('ServiceUnavailable', 'The hub is stopping.');
    if (change.action === 'tag') tagsOf(change);
    const share = shareName(principal);
    if (!places.take(share)) throw tooMany(share);
    // The proof was good when it began: what is asked for by a token of an hour may take longer.
    const asked = { ...principal, expiresAt: Number.POSITIVE_INFINITY };
    const abort = new AbortController();
    const ids = change.ids && [...new Set(change.ids)].slice(from);
    const wanted: BulkChange = { ...change, ...(ids !== undefined && { ids }) };
    let total = ids?.length;
    try {
      total ??= await countOf(hub, asked, change.condition ?? '*', abort.signal);
    } catch (error) {
      places.give(share);
      throw error;
    }
    const progress: BulkProgress = {
      ...{ id: random.bytes(8).toString('hex'), action: change.action, policyName: principal.policyName },
      ...(change.condition !== undefined && { condition: change.condition }),
      ...(change.tags !== undefined && { tags: change.tags }),
      ...{ status: 'running', startTime: timeText(), total, done: 0, failed: 0, failures: [] },
    };
    const entry: Known = { change: wanted, progress };
    changes.set(progress.id, entry);
    kept?.begin(wanted, progress);
    const over = carryOut(entry, asked, wanted, from > 0, abort.signal).finally(() => places.give(share));
    entry.run = { abort, over };
    return progress;
  }

  const patientHub = (signal: AbortSignal): Pick<BulkHub, 'queries'> => ({
    queries: { ...hub.queries, page: (...asked) => patiently(clock, signal, () => hub.queries.page(...asked)) },
  });

  async function carryOut(
    entry: Known,
    principal: PolicyPrincipal,
    change: BulkChange,
    isResumed: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    let end: Pick<BulkProgress, 'status' | 'code' | 'message'> = { status: 'completed' };
    let isFirst = true;
    try {
      for await (const ids of idPages(patientHub(signal), principal, change, signal)) {
        if (signal.aborted) break;
        let mayBeDone = isResumed && isFirst;
        const told = await patiently(clock, signal, (isAgain) => {
          mayBeDone ||= isAgain;
          return changePage(hub, principal, change, ids);
        });
        // The step before the hub was killed, or the database went, may be done and not be known of.
        const failures = mayBeDone ? told.filter(({ code }) => code !== doneAlready[change.action]) : told;
        isFirst = false;
        const named = entry.progress.failures.length;
        entry.progress = withPage(entry.progress, ids.length, failures);
        const { id, done, failed } = entry.progress;
        kept?.step(id, { done, failed, failures: entry.progress.failures.slice(named) });
      }
      if (signal.aborted) end = { status: isClosed ? 'interrupted' : 'cancelled' };
    } catch (error) {
      const { code, message } = asHubError(error);
      end = signal.aborted ? { status: isClosed ? 'interrupted' : 'cancelled' } : { status: 'failed', code, message };
      if (!signal.aborted)
        log.warn({ change: entry.progress.id, error }, 'a change of many devices has stopped before its end');
    }
    entry.progress = { ...entry.progress, ...end, endTime: timeText() };
    if (end.status === 'completed') entry.change = undefined;
    entry.run = undefined;
    kept?.end(entry);
    drop();
  }

  return {
    start: (principal, change) => begin(principal, change, 0),
    list: () =>
      [...changes.values()]
        .sort(oldestFirst)
        .reverse()
        .map(({ progress }) => progress),
    get: (id) => known(id).progress,
    async cancel(id) {
      const entry = known(id);
      if (entry.run === undefined) throw hasEnded(entry, 'has ended already');
      entry.run.abort.abort(new HubError('OperationNotAvailable', 'The change was cancelled.'));
      await entry.run.over;
      return entry.progress;
    },
    async resume(principal, id) {
      const entry = known(id);
      const { change, progress, run, isTaken } = entry;
      if (run !== undefined || isTaken || change === undefined) throw hasEnded(entry, 'cannot be gone on with');
      const behind = change.ids === undefined ? 0 : Math.min(change.ids.length, progress.done + progress.failed);
      if (change.ids?.length === behind && behind > 0) throw hasEnded({ progress }, 'has nothing left to be done');
      entry.isTaken = true;
      const next = await begin(principal, change, behind).finally(() => delete entry.isTaken);
      changes.delete(id);
      kept?.remove(id);
      return next;
    },
    async close() {
      isClosed = true;
      const running = [...changes.values()].flatMap(({ run }) => (run === undefined ? [] : [run]));
      for (const { abort } of running) abort.abort(new HubError('ServiceUnavailable', 'The hub is stopping.'));
      await Promise.all(running.map(({ over }) => over));
    },
  };
}

const oldestFirst = (a: Known, b: Known): number => Date.parse(a.progress.startTime) - Date.parse(b.progress.startTime);

function withPage(progress: BulkProgress, count: number, failures: readonly BulkFailure[]): BulkProgress {
  return {
    ...progress,
    done: progress.done + count - failures.length,
    failed: progress.failed + failures.length,
    failures: [...progress.failures, ...failures].slice(0, limits.bulkChangeFailuresMax),
  };
}

const hasEnded = ({ progress: { id, status } }: Pick<Known, 'progress'>, why: string): HubError =>
  new HubError('JobRunPreconditionFailed', `The change ${id} ${why}: it is ${status}.`);

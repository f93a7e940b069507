/**
 * Carries jobs on: looks which are this node's, and does a bounded piece of each in turn. What was done is durable with it, so that a
 * crash repeats nothing: a twin is updated in the transaction that says so, and that a device is about to be asked is durable before it is.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Recorder } from '../monitoring/types.ts';
import { ended } from './jobs.ts';
import { MethodCalls, type MethodMeans } from './method-calls.ts';
import { createPace } from './pace.ts';
import type { HeldJob, JobStore, SelectionPlace } from './ports.ts';
import { isSettled, neverOnline, timeIsOver, wasCancelled } from './rules.ts';
import type { Job } from './types.ts';

export interface RunnerParts extends MethodMeans {
  readonly store: JobStore;
  /** A piece of the devices that a condition is true of, behind `place`; undefined = from the beginning. */
  readonly select: (condition: string, place: SelectionPlace | undefined, signal: AbortSignal) => Promise<SelectedKeys>;
  /** As `ClaimTerms.node`. */
  readonly node: string;
  /** Whether this node may carry jobs on now; absent = always. */
  readonly mayWork?: () => boolean;
  readonly withTwinEvents: boolean;
  readonly withJobEvents: boolean;
  readonly recorder: Recorder;
  /** By which the store counts. */
  readonly clock: Clock;
  readonly log: Log;
}

export interface SelectedKeys {
  readonly keys: readonly IdentityKey[];
  readonly next: SelectionPlace | undefined;
}

export interface JobTally {
  readonly completed: number;
  readonly failed: number;
}

export interface JobRunner {
  /** Looks for jobs from now on. */
  start(): void;
  /** There may be something to do. */
  wake(): void;
  /** That device is connected now. */
  connected(key: IdentityKey): void;
  /** Begins nothing more, and keeps what becomes of what is under way. */
  close(): Promise<void>;
  /** Devices whose part of a job has ended, on this node since its start. */
  readonly ended: Readonly<Record<'completed' | 'failed' | 'unknown' | 'cancelled', number>>;
  /** Methods of jobs that are under way. */
  readonly underWay: number;
}

/** What one turn of a job has come to: go on at once, wait for something, or leave it to the node that holds it now. */
type Turn = 'again' | 'waits' | 'gone';

interface Running extends HeldJob {
  /** Changes with each piece that was selected. */
  selection: SelectionPlace | undefined;
  /** The piece that is being looked for: a query may take long, and other jobs go on meanwhile. */
  piece: Piece | undefined;
  /** Monotonic; before then it is left alone, because something has failed. */
  restsUntil: number;
  readonly calls: MethodCalls | undefined;
}

interface Piece {
  found?: SelectedKeys;
  failure?: unknown;
}

export function createJobRunner(parts: RunnerParts): JobRunner {
  const { store, clock, log, recorder } = parts;
  const stopped = new AbortController();
  /** What this node holds, as its last claim said. */
  const held = new Map<string, Running>();
  const totals = { completed: 0, failed: 0, unknown: 0, cancelled: 0 };
  let isFirst = true;
  /** There may be jobs that this node does not know of, or that are not what they were. */
  let mustLook = true;
  let lookedAt = clock.monotonic();
  let isWoken = false;
  let wakeUp: (() => void) | undefined;
  let loop: Promise<void> | undefined;
  let sweptAt = clock.monotonic();
  const twinPace = createPace(limits.jobTwinsPerSecond, clock);
  const methodPace = createPace(limits.jobMethodsPerSecond, clock);

  const goOn = (): void => {
    isWoken = true;
    wakeUp?.();
  };
  const wake = (): void => {
    mustLook = true;
    goOn();
  };

  function idle(ms: number): Promise<void> {
    if (isWoken || stopped.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel: Cancel = clock.after(ms, () => wakeUp?.());
      wakeUp = () => {
        cancel();
        wakeUp = undefined;
        resolve();
      };
    });
  }

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      isWoken = false;
      let isBusy = false;
      if (parts.mayWork?.() === false) {
        // Others may have its jobs by the time that it may again.
        mustLook = true;
        await idle(limits.jobClaimMs);
        continue;
      }
      try {
        if (mustLook || clock.monotonic() >= lookedAt + limits.jobClaimMs) {
          mustLook = false;
          // Also of a look that fails: the next one is not at once.
          lookedAt = clock.monotonic();
          await claim();
          lookedAt = clock.monotonic();
          await sweep();
        }
        isBusy = await turnOfEach();
      } catch (error) {
        if (stopped.signal.aborted) return;
        log.error({ error }, 'jobs could not be carried on; it is tried again');
        isWoken = false;
      }
      if (!isBusy && !mustLook) await idle(restMs());
    }
  }

  /** Until there may be something to do without that anything happens. */
  function restMs(): number {
    const look = Math.max(0, lookedAt + limits.jobClaimMs - clock.monotonic());
    const paces = [...held.values()].map(({ calls, selection }) => {
      if (calls !== undefined) return methodPace.waitMs();
      return selection === undefined ? twinPace.waitMs() : 0;
    });
    return Math.min(look, ...paces.filter((ms) => ms > 0));
  }

  /** Whoever has had a piece of what all share comes after the others. */
  function letOthersGoFirst(running: Running): void {
    const { id } = running.hold;
    if (held.get(id) !== running) return;
    held.delete(id);
    held.set(id, running);
  }

  /** How many devices a job may begin to ask: all have their places together, and one is left for each job that has none. */
  function placesFor(own: MethodCalls): number {
    let free = limits.jobMethodsAtOnceMax;
    for (const { calls } of held.values()) {
      if (calls !== undefined) free -= calls === own ? calls.underWay : Math.max(1, calls.underWay);
    }
    return Math.max(0, free);
  }

  async function claim(): Promise<void> {
    const { node } = parts;
    const jobs = await store.claim({
      ...{ node, isFirst, now: clock.now(), withEvents: parts.withJobEvents },
      ...{ leaseMs: limits.jobLeaseMs, runningMax: limits.jobsRunningMax },
    });
    isFirst = false;
    for (const { lost } of jobs) totals.unknown += lost;
    const mine = new Map(jobs.map((each) => [each.hold.id, each]));
    for (const [id, running] of held) {
      const now = mine.get(id);
      if (now !== undefined && now.hold.fence === running.hold.fence) continue;
      // Another node has taken it meanwhile: what this one has asked is that one's to judge.
      running.calls?.abandon();
      held.delete(id);
    }
    for (const [id, each] of mine) {
      const known = held.get(id);
      const isOfMethods = each.job.work.kind === 'scheduleDeviceMethod';
      const calls = known?.calls ?? (isOfMethods ? new MethodCalls(each.job, parts, goOn) : undefined);
      held.set(id, { ...each, piece: known?.piece, restsUntil: known?.restsUntil ?? 0, calls });
    }
  }

  /** @returns whether a job has more to do right now */
  async function turnOfEach(): Promise<boolean> {
    let isBusy = false;
    for (const [id, running] of [...held]) {
      if (stopped.signal.aborted) return false;
      if (running.restsUntil > clock.monotonic()) continue;
      try {
        const turn = await turnOf(running);
        if (turn === 'again') isBusy = true;
        // Ended, cancelled, or another node's: the next look says which.
        if (turn === 'gone') {
          mustLook = true;
          if ((running.calls?.underWay ?? 0) === 0) held.delete(id);
        }
      } catch (error) {
        if (stopped.signal.aborted) return false;
        running.restsUntil = clock.monotonic() + limits.jobClaimMs;
        log.error({ job: id, error }, 'a job could not be carried on; it is tried again');
      }
    }
    return isBusy;
  }

  async function turnOf(running: Running): Promise<Turn> {
    const { job, hold, calls } = running;
    if (calls !== undefined && !(await settle(running))) return 'gone';
    const now = clock.now();
    const isOver = now >= (job.startedTime ?? now) + job.maxExecutionMs;
    if (job.status === 'cancelled' || isOver) return dismiss(running, isOver);
    if (running.selection !== undefined) return select(running);
    if (calls === undefined) {
      if (twinPace.waitMs() > 0) return 'waits';
      const batch = await store.updateTwins(hold, {
        ...{ countMax: limits.jobBatchTwins, msMax: limits.jobBatchMs, now: clock.now() },
        ...{ withTwinEvents: parts.withTwinEvents, withEvents: parts.withJobEvents },
      });
      if (batch === undefined) return 'gone';
      totals.completed += batch.completed;
      totals.failed += batch.failed;
      twinPace.take(batch.completed + batch.failed);
      letOthersGoFirst(running);
      return batch.goesOn ? 'again' : end(running, 'completed', '');
    }
    const before = calls.underWay;
    const turn = await calls.begin(store, hold, methodPace, placesFor(calls));
    if (calls.underWay > before) letOthersGoFirst(running);
    return turn === 'settled' ? end(running, 'completed', '') : turn;
  }

  /** Keeps how the methods ended that have. @returns false = the hold is lost */
  async function settle({ calls, hold }: Running): Promise<boolean> {
    const results = calls?.ended ?? [];
    if (results.length === 0) return true;
    // When it fails they stay what is to be kept: a record that was kept already is left as it is.
    const isHeld = await store.settle(hold, results, { now: clock.now(), withEvents: parts.withJobEvents });
    calls?.settled(results.length);
    if (isHeld) for (const { state } of results) if (state !== 'waiting') totals[state] += 1;
    return isHeld;
  }

  async function select(running: Running): Promise<Turn> {
    const { job, hold, selection, piece } = running;
    if (piece === undefined) {
      running.piece = pieceOf(job.condition, selection);
      return 'waits';
    }
    if (piece.found === undefined && piece.failure === undefined) return 'waits';
    running.piece = undefined;
    if (piece.found === undefined) throw piece.failure;
    const { keys, next } = piece.found;
    if (!(await store.select(hold, { keys, next }, clock.now()))) return 'gone';
    running.selection = next;
    if (next === undefined) return 'again';
    running.piece = pieceOf(job.condition, next);
    return 'waits';
  }

  /** Wakes the runner when it is there. */
  function pieceOf(condition: string, place: SelectionPlace | undefined): Piece {
    const piece: Piece = {};
    parts
      .select(condition, place === '' ? undefined : place, stopped.signal)
      .then(
        (found) => {
          piece.found = found;
        },
        (error) => {
          piece.failure = error ?? new Error('a selection failed');
        },
      )
      .finally(goOn);
    return piece;
  }

  /** Ends what waits; what is under way keeps its own time, unless the job was cancelled or is over. */
  async function dismiss(running: Running, isOver: boolean): Promise<Turn> {
    const { job, hold, calls } = running;
    if (isOver && job.status === 'running' && running.selection !== undefined) {
      return end(running, 'failed', "The job's time was over before all devices were selected.");
    }
    const isCancelled = job.status === 'cancelled';
    calls?.stop(isCancelled ? 'The job was cancelled' : "The job's time was over");
    const error = isCancelled ? wasCancelled : calls === undefined ? timeIsOver : neverOnline;
    const state = isCancelled ? 'cancelled' : 'failed';
    const terms = { now: clock.now(), withEvents: parts.withJobEvents, countMax: limits.jobSelectRows };
    const count = await store.dismiss(hold, state, error, terms);
    if (count === undefined) return 'gone';
    totals[state] += count;
    if (count > 0) return 'again';
    if (calls !== undefined && calls.underWay > 0) return 'waits';
    return end(running, 'completed', '');
  }

  async function end({ job, hold }: Running, status: 'completed' | 'failed', reason: string): Promise<Turn> {
    const found = await store.find(job.id, clock.now());
    // Methods that have just ended, or devices that were added by a step that was not answered.
    if (found !== undefined && !isSettled(found.counts) && status === 'completed') return 'waits';
    if (await store.end(hold, status, reason, clock.now())) {
      const over: Job | undefined = await store.find(job.id, clock.now());
      if (over !== undefined) recorder.record(ended(over));
    }
    return 'gone';
  }

  async function sweep(): Promise<void> {
    if (clock.monotonic() < sweptAt) return;
    const rows = await store.sweep(clock.now() - limits.jobsKeptMs, limits.jobSweepRows, {
      ...{ jobsMax: limits.jobsKeptMax, recordsMax: limits.jobRecordsKeptMax },
    });
    sweptAt = clock.monotonic() + (rows > 0 ? limits.jobClaimMs : limits.jobSweepMs);
  }

  return {
    start() {
      loop ??= run();
    },
    wake,
    connected(key) {
      for (const { calls } of held.values()) calls?.connected(key);
    },
    async close() {
      stopped.abort(new Error('the hub is stopping'));
      wakeUp?.();
      await loop;
      await Promise.all([...held.values()].map(({ calls }) => calls?.finish(limits.jobStopMs)));
      for (const running of held.values()) {
        await settle(running).catch((error) =>
          log.error({ job: running.job.id, error }, 'methods of a job are not kept'),
        );
      }
    },
    ended: totals,
    get underWay() {
      let count = 0;
      for (const { calls } of held.values()) count += calls?.underWay ?? 0;
      return count;
    },
  };
}

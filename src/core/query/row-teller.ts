/**
 * Tells other nodes which rows this one has changed. They ask, each from the number on that it has come to, so that nothing is kept for each
 * of them, and an answer that is lost is asked for again. While nobody asks nothing is remembered.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { ChangeLog } from './change-log.ts';
import { rowName } from './live-set.ts';
import { rowParts } from './parts.ts';
import type { RowChange, RowChanges } from './row-changes.ts';

export interface RowTellerParts {
  readonly changes: RowChanges;
  /** As `QueriesParts.settlePresence`, of this node. */
  readonly settlePresence?: () => Promise<void>;
  readonly clock: Clock;
}

export interface ToldRows {
  /** Number of the last change that is told: where to go on from. */
  readonly through: number;
  /** Each row once; absent = not all are remembered, or none were asked for. */
  readonly changes?: readonly RowChange[];
}

export class RowTeller {
  readonly #parts: RowTellerParts;
  readonly #log = new ChangeLog(limits.liveQueryChangesKept);
  readonly #waiting = new Set<() => void>();
  #unwatch: (() => void) | undefined;
  #idle: Cancel = () => {};

  constructor(parts: RowTellerParts) {
    this.#parts = parts;
  }

  /**
   * What has changed behind number `after`, at most `nodeRowsToldMax` changes; waits for the first one for `nodeRowsWaitMs`, and none is an
   * answer. @param after Undefined = changes are remembered from the answer's number on
   */
  async since(after: number | undefined, signal: AbortSignal): Promise<ToldRows> {
    this.#begin();
    if (after === undefined) return { through: this.#log.last };
    if (this.#log.last === after) await this.#wait(limits.nodeRowsWaitMs, signal, this.#waiting);
    const news = this.#log.last - after;
    if (news > 0 && news < limits.nodeRowsToldMax) await this.#wait(limits.nodeRowsGatherMs, signal);
    const all = this.#log.since(after);
    if (all === undefined) return { through: this.#log.last };
    const told = all.slice(0, limits.nodeRowsToldMax);
    if (told.some(({ parts }) => (parts & rowParts.presence) !== 0)) await this.#parts.settlePresence?.();
    return { through: after + told.length, changes: merged(told) };
  }

  /** Others are to look at all rows again: more has changed than can be said. */
  forget(): void {
    this.#log.clear();
    this.#wake();
  }

  close(): void {
    this.#idle();
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.forget();
  }

  #begin(): void {
    this.#unwatch ??= this.#parts.changes.watch((change) => {
      this.#log.add(change);
      this.#wake();
    });
    this.#idle();
    this.#idle = this.#parts.clock.after(limits.nodeRowsIdleMs, () => this.close());
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #wait(ms: number, signal: AbortSignal, among?: Set<() => void>): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        among?.delete(done);
        resolve();
      };
      const cancel = this.#parts.clock.after(ms, done);
      signal.addEventListener('abort', done);
      among?.add(done);
    });
  }
}

function merged(changes: readonly RowChange[]): readonly RowChange[] {
  const byName = new Map<string, RowChange>();
  for (const { place, parts } of changes) {
    const name = rowName(place);
    byName.set(name, { place, parts: parts | (byName.get(name)?.parts ?? 0) });
  }
  return [...byName.values()];
}

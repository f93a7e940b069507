/**
 * Which rows of the fleet other nodes have changed. This node asks each of them again and again, and only while somebody follows a query
 * here. What a node that dies had not told, or one that cannot be reached does not tell, counts as missed.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { asHubError } from '../../core/errors.ts';
import type { RowTeller, ToldRows } from '../../core/query/row-teller.ts';
import type { ElsewhereListener, Following, RowsElsewhere } from '../../core/query/rows-elsewhere.ts';
import type { EveryCall } from '../threads/calls.ts';
import type { Membership } from './membership.ts';

/** What a node serves to the others. */
export interface RowCalls {
  /** As `RowTeller.since`. */
  since(after: number | undefined, signal: AbortSignal): Promise<ToldRows>;
  /** Resolves when the store holds who is connected at that node. */
  settle(): Promise<void>;
}

export const rowCalls: EveryCall<RowCalls> = { since: true, settle: true };

/** @param settle As `RowCalls.settle`, of this node */
export const rowsOf = (teller: RowTeller, settle: () => Promise<void>): RowCalls => ({
  since: (after, signal) => teller.since(after, signal),
  settle,
});

/** Another node, as far as its rows are asked for. */
interface RowPeer {
  /** Over the link that is open, or opens within so long; undefined = there is none. */
  rows(withinMs: number): Promise<RowCalls | undefined>;
}

export interface NodeRowsParts {
  readonly membership: Pick<Membership, 'others' | 'watch'>;
  /** Undefined = it has gone. */
  peer(id: string): RowPeer | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class NodeRows implements RowsElsewhere {
  readonly #parts: NodeRowsParts;
  #listener: ElsewhereListener | undefined;
  /** Who follows reads rows: what a node has changed before its first answer may be missing from them. */
  #hasBegun = false;
  /** Ends what is asked of each node. */
  readonly #asking = new Map<string, AbortController>();
  #lookAgain: Cancel = () => {};
  /** Nodes of an older program, which know nothing of this. */
  readonly #older = new Set<string>();

  constructor(parts: NodeRowsParts) {
    this.#parts = parts;
    parts.membership.watch({
      joined: ({ id }) => void this.#ask(id),
      left: ({ id }) => this.#left(id),
      // What was changed meanwhile by a node that it did not know.
      regained: () => this.missed(),
    });
  }

  follow(listener: ElsewhereListener): Following {
    this.#listener = listener;
    this.#hasBegun = false;
    const first = Promise.all(this.#parts.membership.others().map(({ id }) => this.#ask(id)));
    const begun = this.#within(limits.nodeRowsBeginMs, first).then(() => {
      this.#hasBegun = true;
    });
    return { begun, end: () => this.#end() };
  }

  async settle(): Promise<void> {
    const settled = this.#parts.membership.others().map(async ({ id }) => {
      await (await this.#parts.peer(id)?.rows(0))?.settle();
    });
    await this.#within(limits.nodeRowsBeginMs, Promise.allSettled(settled));
  }

  /** Who follows queries here is to look again. */
  missed(): void {
    this.#listener?.missed();
  }

  #end(): void {
    this.#listener = undefined;
    this.#lookAgain();
    for (const asking of this.#asking.values()) asking.abort();
    this.#asking.clear();
  }

  #left(id: string): void {
    this.#asking.get(id)?.abort();
    this.#asking.delete(id);
    this.#older.delete(id);
    this.missed();
    // The database may still carry out what the node had asked it for.
    this.#lookAgain();
    this.#lookAgain = this.#parts.clock.after(limits.postgresStatementMs, () => this.missed());
  }

  /** Asks that node until it has gone or nobody follows. Resolves when it tells its changes from now on, or has not answered. */
  #ask(id: string): Promise<void> {
    if (this.#listener === undefined || this.#asking.has(id)) return Promise.resolve();
    const asking = new AbortController();
    this.#asking.set(id, asking);
    return new Promise((begun) => void this.#askOn(id, asking.signal, begun));
  }

  async #askOn(id: string, signal: AbortSignal, begun: () => void): Promise<void> {
    const { clock } = this.#parts;
    let through: number | undefined;
    let heardAt = clock.monotonic();
    while (!signal.aborted) {
      const told = await this.#since(id, through, signal);
      if (signal.aborted) break;
      const isSilent = told === undefined && clock.monotonic() - heardAt >= limits.nodeRowsSilentMs;
      // Numbers that it does not remember, or the first ones, while there are rows that were read before.
      const isBroken = told !== undefined && told.changes === undefined && (through !== undefined || this.#hasBegun);
      if (isSilent || isBroken) this.missed();
      if (told?.changes !== undefined && told.changes.length > 0) this.#listener?.changed(told.changes);
      if (told !== undefined || isSilent) heardAt = clock.monotonic();
      through = told?.through ?? through;
      if (told !== undefined) begun();
    }
    begun();
  }

  /** Undefined = that node has not answered. */
  async #since(id: string, after: number | undefined, signal: AbortSignal): Promise<ToldRows | undefined> {
    const { clock } = this.#parts;
    const late = new AbortController();
    const cancel = clock.after(limits.nodeRowsSilentMs, () => late.abort());
    try {
      const rows = await this.#parts.peer(id)?.rows(limits.nodeDialAgainMs);
      if (rows !== undefined) return await rows.since(after, AbortSignal.any([signal, late.signal]));
    } catch (error) {
      // The link has closed, or it is silent: it is asked again from there on.
      this.#sayOlder(id, error);
    } finally {
      cancel();
    }
    await new Promise<void>((resolve) => void clock.after(limits.nodeDialAgainMs, resolve));
    return undefined;
  }

  #sayOlder(id: string, error: unknown): void {
    const { code, reason } = asHubError(error);
    if (code !== 'OperationNotAvailable' || this.#older.has(id)) return;
    this.#older.add(id);
    const sentence =
      'a node of an older program does not tell which rows it changes: who follows queries here looks again each few seconds';
    this.#parts.log.warn({ id, reason }, sentence);
  }

  async #within(ms: number, work: Promise<unknown>): Promise<void> {
    let cancel: Cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#parts.clock.after(ms, resolve);
    });
    await Promise.race([work, late]);
    cancel();
  }
}

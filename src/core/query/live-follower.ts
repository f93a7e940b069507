/** One client of a live query: what it is told, as fast as it takes it. */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type ErrorCode, HubError } from '../errors.ts';
import type { Follower, LiveRounds } from './live-rounds.ts';
import type { LiveSet } from './live-set.ts';
import type { LiveBatch, LiveEvent, ResetReason } from './room.ts';

export interface LiveFollowerParts {
  readonly name: string;
  /** Whose it is (`shareName`), and what it follows. */
  readonly share: string;
  readonly text: string;
  readonly set: LiveSet;
  readonly rounds: LiveRounds;
  /** Before that no rows are read. */
  readonly begun: Promise<void>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Number of the last change before it. */
  readonly at: number;
  /** Why its rows come anew; undefined = it goes on. */
  readonly begins: ResetReason | undefined;
  /** UTC milliseconds. */
  readonly expiresAt: number;
  readonly counts: { told: number; behind: number };
  /** Called once. @param mayComeBack What the set holds is what the client was told */
  ended(mayComeBack: boolean): void;
}

export class LiveFollower implements Follower, AsyncIterable<LiveBatch> {
  readonly set: LiveSet;
  readonly #parts: LiveFollowerParts;
  #at: number;
  #end: (LiveEvent & { readonly kind: 'end' }) | undefined;
  #hasLeft = false;
  #hasEnded = false;
  #wake: (() => void) | undefined;
  readonly #cancels: Cancel[] = [];

  constructor(parts: LiveFollowerParts) {
    const { set, clock, signal, expiresAt, at } = parts;
    this.set = set;
    this.#parts = parts;
    this.#at = at;
    this.#cancels.push(
      clock.after(expiresAt - clock.now(), () => {
        this.end('IotHubUnauthorized', 'The token has ended: come back with another one.');
      }),
    );
    const gone = (): void => this.leave();
    signal.addEventListener('abort', gone, { once: true });
    this.#cancels.push(() => signal.removeEventListener('abort', gone));
  }

  told(through: number): void {
    this.#at = Math.max(this.#at, through);
    if (this.set.hasWaiting || this.set.isBehind || this.set.isFull) this.#wake?.();
  }

  isOf(share: string, text: string): boolean {
    return this.#parts.share === share && this.#parts.text === text;
  }

  /** Tells the client that nothing comes any more. */
  end(code: ErrorCode, message: string): void {
    this.#end ??= { kind: 'end', code, message };
    this.#wake?.();
  }

  /** Changes may have been missed: what the client holds is compared with all rows. */
  doubt(): void {
    this.set.doubt();
    this.#wake?.();
  }

  /** The client has gone, or has come back elsewhere. */
  leave(): void {
    this.#hasLeft = true;
    this.#finish();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LiveBatch, void, undefined> {
    const { set, begins, counts } = this.#parts;
    let why = begins;
    try {
      await this.#parts.begun;
      for (;;) {
        if (why !== undefined) set.begin(why);
        while (!set.isReady && !set.isBehind && !this.#isOver) {
          if (set.hasWaiting) yield this.#take();
          else await this.#parts.rounds.readPiece(set);
          if (set.isFull) this.#refuse();
        }
        while (!set.isBehind && !this.#isOver) {
          if (set.hasWaiting) yield this.#take();
          else if (set.isInDoubt) await this.#look();
          else if (await this.#isQuiet()) yield this.#take();
          if (set.isFull) this.#refuse();
        }
        if (this.#isOver) break;
        counts.behind++;
        why = 'behind';
      }
    } catch (error) {
      const { code, message } = error instanceof HubError ? error : new HubError('ServerError');
      this.end(code, message);
    } finally {
      this.#finish();
    }
    if (this.#end !== undefined && !this.#hasLeft) yield { events: [this.#end] };
  }

  get #isOver(): boolean {
    return this.#hasLeft || this.#end !== undefined;
  }

  #take(): LiveBatch {
    const { set, counts, name } = this.#parts;
    const events = set.take();
    counts.told += events.length;
    // What a look has found is no change that who comes back is told of.
    return { events, ...(set.isReady && !set.isInDoubt && { id: `${name}.${this.#at}` }) };
  }

  /** Waits for something to tell. True = nothing has come for as long as a client waits for a sign of life. */
  async #isQuiet(): Promise<boolean> {
    const isQuiet = await this.#wait(limits.liveQueryHeartbeatMs);
    if (isQuiet) this.#hasHeardAll();
    return isQuiet;
  }

  /** Reads on what is in doubt; where it cannot be read, a moment later. */
  async #look(): Promise<void> {
    const { set, rounds } = this.#parts;
    try {
      await rounds.readPiece(set);
      if (!set.isInDoubt) this.#hasHeardAll();
    } catch (error) {
      if (error instanceof HubError && error.code === 'ThrottlingException') throw error;
      await this.#wait(limits.liveQueryRetryMs);
    }
  }

  #hasHeardAll(): void {
    this.#at = Math.max(this.#at, this.#parts.rounds.through ?? 0);
  }

  /** False = it was woken before. */
  async #wait(ms: number): Promise<boolean> {
    let cancel: Cancel = () => {};
    const isOver = await new Promise<boolean>((resolve) => {
      cancel = this.#parts.clock.after(ms, () => resolve(true));
      this.#wake = () => resolve(false);
    });
    cancel();
    this.#wake = undefined;
    return isOver;
  }

  #refuse(): void {
    this.end(
      'ThrottlingException',
      `The query has more rows than a live query may have (liveQueryRowsMax ${limits.liveQueryRowsMax}, of one policy ` +
        `liveQueriesRowsPerPolicyMax ${limits.liveQueriesRowsPerPolicyMax}, of all together liveQueriesRowsMax ` +
        `${limits.liveQueriesRowsMax}): narrow it down by a condition.`,
    );
  }

  #finish(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const cancel of this.#cancels) cancel();
    const { set, rounds, ended } = this.#parts;
    rounds.remove(this);
    ended(set.isReady && !set.isFull && !set.isInDoubt);
  }
}

/**
 * Reads rows that have changed and says to live sets what they are now: many changes at a time, each row once for all sets. What is read
 * is read one after the other, so that no set hears of a row what is older than what it has heard before.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type LiveSet, rowName } from './live-set.ts';
import { rowParts } from './parts.ts';
import type { FleetMatcher, FleetPlace, RowAsk, RowMatch } from './ports.ts';
import type { RowChange } from './row-changes.ts';

export interface Follower {
  readonly set: LiveSet;
  /** The set has been told of all changes up to that number. */
  told(through: number): void;
}

export interface LiveRoundsParts {
  readonly matcher: FleetMatcher;
  /** As `QueriesParts.settlePresence`, of this node: what others tell of they have settled. */
  readonly settlePresence?: () => Promise<void>;
  /** Of all nodes. */
  readonly settleEverywhere?: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Changed {
  readonly ask: RowAsk;
  /** Number of the first change that is meant. */
  readonly first: number;
}

interface Beginning {
  readonly set: LiveSet;
  resolve(): void;
  reject(error: unknown): void;
}

export class LiveRounds {
  readonly #parts: LiveRoundsParts;
  readonly #followers = new Set<Follower>();
  /** In the order of their first changes. */
  #changed = new Map<string, Changed>();
  #last = 0;
  #beginnings: Beginning[] = [];
  #timer: Cancel | undefined;
  #isRunning = false;

  constructor(parts: LiveRoundsParts) {
    this.#parts = parts;
  }

  add(follower: Follower): void {
    this.#followers.add(follower);
  }

  remove(follower: Follower): void {
    this.#followers.delete(follower);
    if (this.#followers.size === 0) this.#changed.clear();
  }

  /** A row has changed. @param number Of the change: each is one more than the one before */
  changed({ place, parts }: RowChange, number: number): void {
    this.#last = number;
    if (!this.#isOfConcern(place, parts)) return;
    const name = rowName(place);
    const before = this.#changed.get(name);
    const all = before === undefined ? parts : parts | before.ask.parts;
    this.#changed.set(name, { ask: { place, parts: all }, first: before?.first ?? number });
    if (this.#changed.size > limits.liveQueryChangedMax) this.#giveUp();
    else this.#soon(limits.liveQueryRoundMs);
  }

  /** Changes get other numbers from here on. */
  renumber(last: number): void {
    this.#last = last;
  }

  /** Number of the last change, where all followers have been told of all; undefined = some wait. */
  get through(): number | undefined {
    return this.#changed.size === 0 && !this.#isRunning ? this.#last : undefined;
  }

  /** Reads the next piece of a set's beginning, or of a look at what is in doubt. @throws HubError */
  readPiece(set: LiveSet): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#beginnings.push({ set, resolve, reject });
      void this.#run();
    });
  }

  #isOfConcern(place: RowChange['place'], parts: number): boolean {
    for (const { set } of this.#followers) if (set.concerns(place, parts)) return true;
    return false;
  }

  #soon(ms: number): void {
    if (this.#isRunning) return;
    this.#timer ??= this.#parts.clock.after(ms, () => {
      this.#timer = undefined;
      void this.#run();
    });
  }

  /** Rounds and pieces in turn, so that neither waits for many of the other. */
  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#timer?.();
    this.#timer = undefined;
    let isRead: boolean;
    do {
      isRead = await this.#round();
      await this.#piece();
    } while (this.#beginnings.length > 0 || (isRead && this.#changed.size >= limits.liveQueryRoundRowsMax));
    this.#isRunning = false;
    if (this.#changed.size > 0) this.#soon(isRead ? limits.liveQueryRoundMs : limits.liveQueryRetryMs);
  }

  /** False = the rows could not be read, and wait. */
  async #round(): Promise<boolean> {
    const { matcher, settlePresence, log } = this.#parts;
    // Not those that come meanwhile: they were not asked for.
    const followers = [...this.#followers];
    const taken = [...this.#changed].slice(0, limits.liveQueryRoundRowsMax);
    for (const [name] of taken) this.#changed.delete(name);
    const [next] = this.#changed.values();
    const through = next === undefined ? this.#last : next.first - 1;
    if (taken.length > 0) {
      const asks = taken.map(([, { ask }]) => ask);
      try {
        if (asks.some(({ parts }) => (parts & rowParts.presence) !== 0)) await settlePresence?.();
        // Where the rows are long they come in several answers.
        for (let done = 0; done < asks.length; ) {
          const matches = await matcher.match(asks.slice(done));
          this.#tell(followers, asks.slice(done, done + matches.length), matches);
          done += matches.length;
        }
      } catch (error) {
        log.error({ error, rows: asks.length }, 'rows of live queries could not be read');
        this.#changed = mergedOf(taken, this.#changed);
        return false;
      }
    }
    for (const follower of followers) if (this.#followers.has(follower)) follower.told(through);
    return true;
  }

  #tell(followers: readonly Follower[], asks: readonly RowAsk[], matches: readonly (readonly RowMatch[])[]): void {
    const byQuery = matches.map((each) => new Map(each.map((match) => [match.query, match])));
    const names = asks.map(({ place }) => rowName(place));
    for (const follower of followers) {
      if (!this.#followers.has(follower)) continue;
      const { set } = follower;
      for (const [at, { place, parts }] of asks.entries()) {
        if (set.concerns(place, parts)) set.see(place, names[at], byQuery[at].get(set.query));
      }
    }
  }

  async #piece(): Promise<void> {
    const beginning = this.#beginnings.shift();
    if (beginning === undefined) return;
    const { set } = beginning;
    const { matcher, settleEverywhere } = this.#parts;
    // Its client has gone, or is behind: nothing is read for nobody.
    if (set.isBehind) return beginning.resolve();
    const after = set.nextPiece();
    const all = [beginning, ...this.#takeSame(set.query, after)];
    try {
      if (set.hangsOn(rowParts.presence)) await settleEverywhere?.();
      const piece = await matcher.piece(set.query, after);
      for (const each of all) {
        each.set.read(piece);
        each.resolve();
      }
    } catch (error) {
      for (const each of all) each.reject(error);
    }
  }

  /** Others that wait for the same piece of the same query: it is read once for so many. */
  #takeSame(query: number, after: FleetPlace | undefined): readonly Beginning[] {
    const same: Beginning[] = [];
    const others: Beginning[] = [];
    for (const each of this.#beginnings) {
      const { set } = each;
      const isSame = same.length < limits.liveQueryPieceSetsMax - 1 && set.query === query && !set.isBehind;
      (isSame && isSamePlace(set.nextPiece(), after) ? same : others).push(each);
    }
    this.#beginnings = others;
    return same;
  }

  /** More has changed than is remembered: all get their rows anew. */
  #giveUp(): void {
    this.#changed.clear();
    for (const follower of this.#followers) {
      follower.set.fallBehind();
      follower.told(this.#last);
    }
  }
}

const isSamePlace = (one: FleetPlace | undefined, other: FleetPlace | undefined): boolean =>
  one?.deviceId === other?.deviceId && one?.moduleId === other?.moduleId;

/** What was taken stands in front again. */
function mergedOf(
  taken: readonly (readonly [string, Changed])[],
  since: ReadonlyMap<string, Changed>,
): Map<string, Changed> {
  const merged = new Map(taken);
  for (const [name, changed] of since) {
    const before = merged.get(name);
    const parts = changed.ask.parts | (before?.ask.parts ?? 0);
    merged.set(name, { ask: { place: changed.ask.place, parts }, first: before?.first ?? changed.first });
  }
  return merged;
}

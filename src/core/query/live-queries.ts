/**
 * Live queries: clients that follow what becomes of a query's rows. Each has a set of its own (`live-set.ts`); rows are read once for all
 * (`live-rounds.ts`). A client that comes back within a minute goes on where it was; else its rows come anew.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type Random, uuid } from '../../base/random.ts';
import { Shares } from '../../base/shares.ts';
import { HubError } from '../errors.ts';
import { shareName } from '../identity/share-name.ts';
import type { Principal } from '../identity/types.ts';
import { ChangeLog } from './change-log.ts';
import { LiveFollower } from './live-follower.ts';
import { LiveRounds } from './live-rounds.ts';
import { LiveSet, type LiveSums } from './live-set.ts';
import { checkLive } from './live-statement.ts';
import { partsOf } from './parts.ts';
import type { FleetMatcher, FleetPlace } from './ports.ts';
import type { LiveBatch, LiveOptions } from './room.ts';
import type { RowChange, RowChanges } from './row-changes.ts';
import type { RowsElsewhere } from './rows-elsewhere.ts';
import type { Query } from './syntax.ts';

export interface LiveQueriesParts {
  readonly matcher: FleetMatcher;
  readonly changes: RowChanges;
  /** Absent = nobody else changes rows. */
  readonly elsewhere?: RowsElsewhere;
  /** As `QueriesParts.settlePresence`: of this node, and of all. */
  readonly settlePresence?: () => Promise<void>;
  readonly settleEverywhere?: () => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Counts, for metrics. */
export interface LiveTotals {
  /** Clients that follow now, and rows that they and those who may come back hold. */
  readonly followers: number;
  readonly rows: number;
  /** Events that were told, and clients that fell behind. */
  readonly told: number;
  readonly behind: number;
  /** How often all rows were looked at again. */
  readonly looks: number;
}

/** One that has gone and may come back. */
interface Lingering {
  readonly set: LiveSet;
  readonly text: string;
  readonly share: string;
  forget(): void;
}

export class LiveQueries {
  readonly #parts: LiveQueriesParts;
  readonly #rounds: LiveRounds;
  readonly #log = new ChangeLog(limits.liveQueryChangesKept);
  readonly #sums: LiveSums = {
    rows: new Shares({ max: limits.liveQueriesRowsMax, perKeyMax: limits.liveQueriesRowsPerPolicyMax }),
    chars: 0,
  };
  readonly #places = new Shares({ max: limits.liveQueriesMax, perKeyMax: limits.liveQueriesPerPolicyMax });
  /** By their names; and those that have gone. */
  readonly #followers = new Map<string, LiveFollower>();
  readonly #lingering = new Map<string, Lingering>();
  /** Numbers at the matcher, by text. */
  readonly #queries = new Map<string, { readonly id: number; users: number }>();
  readonly #counts = { told: 0, behind: 0, looks: 0 };
  #unwatch: (() => void) | undefined;
  /** When the first client begins: all changes behind that are heard of. */
  #begun: Promise<void> = Promise.resolve();
  /** Monotonic, and the next one. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  #look: Cancel | undefined;
  #isClosed = false;

  constructor(parts: LiveQueriesParts) {
    this.#parts = parts;
    this.#rounds = new LiveRounds(parts);
  }

  /** As `Queries.live`, of a query that was parsed from `text`. */
  follow(
    principal: Principal,
    text: string,
    query: Query,
    { after }: LiveOptions,
    signal: AbortSignal,
  ): AsyncIterable<LiveBatch> {
    checkLive(text, query);
    // Nothing tells of it again.
    signal.throwIfAborted();
    const { clock, random } = this.#parts;
    const share = shareName(principal);
    if (this.#isClosed) throw new HubError('ServiceUnavailable', 'The hub is stopping.');
    const [name, number] = namesIn(after);
    // The client has come back before its end was noticed. Another caller, or another query, ends nothing.
    const before = this.#followers.get(name);
    if (before?.isOf(share, text)) before.leave();
    if (!this.#places.take(share)) throw this.#tooMany(share);
    this.#begin();
    const known = this.#lingering.get(name);
    const since = known?.text === text && known.share === share ? this.#log.since(number) : undefined;
    const from = since && known;
    if (from !== undefined) this.#lingering.delete(name);
    const set =
      from?.set ?? new LiveSet(this.#use(text, query), share, { from: query.from, parts: partsOf(query) }, this.#sums);
    // It keeps its name: the client may be lost again before it hears of another one.
    const own = from === undefined ? uuid(random) : name;
    const follower = new LiveFollower({
      ...{ set, clock, signal },
      name: own,
      ...{ share, text },
      rounds: this.#rounds,
      begun: this.#begun,
      at: this.#log.last,
      begins: from !== undefined ? undefined : after === undefined ? 'new' : 'forgotten',
      expiresAt: principal.expiresAt,
      counts: this.#counts,
      ended: (mayComeBack) => {
        this.#followers.delete(own);
        this.#places.give(share);
        if (mayComeBack && !this.#isClosed) this.#linger(own, { set, text, share });
        else this.#forget(set, text);
      },
    });
    this.#followers.set(own, follower);
    if (from !== undefined) {
      from.forget();
      const changed = new Map<string, FleetPlace>();
      for (const { place, parts } of since ?? []) {
        if (set.concerns(place, parts)) changed.set(`${place.deviceId}/${place.moduleId}`, place);
      }
      set.resume(changed.values());
    }
    this.#rounds.add(follower);
    // All that may be new to the client is read again: the other listeners find nothing new.
    for (const { place, parts } of since ?? []) this.#rounds.changed({ place, parts }, this.#log.last);
    return follower;
  }

  get totals(): LiveTotals {
    return { followers: this.#followers.size, rows: this.#sums.rows.used, ...this.#counts };
  }

  /** The hub stops: tells all, and takes no more. */
  close(): void {
    this.#isClosed = true;
    for (const follower of [...this.#followers.values()]) follower.end('ServiceUnavailable', 'The hub is stopping.');
    for (const each of [...this.#lingering.values()]) this.#drop(each);
  }

  #tooMany(share: string): HubError {
    const current = this.#places.heldBy(share);
    const isOwn = current >= limits.liveQueriesPerPolicyMax;
    return new HubError('ThrottlingException', 'Too many live queries are followed: end one of them first.', {
      limit: isOwn
        ? { name: 'liveQueriesPerPolicyMax', scope: share, current, max: limits.liveQueriesPerPolicyMax }
        : { name: 'liveQueriesMax', scope: 'hub', current: this.#places.used, max: limits.liveQueriesMax },
    });
  }

  /** Changes are heard of while there is a client, or one that may come back. */
  #begin(): void {
    if (this.#unwatch !== undefined) return;
    const hear = (change: RowChange): void => {
      this.#log.add(change);
      this.#rounds.changed(change, this.#log.last);
    };
    const unwatch = this.#parts.changes.watch(hear);
    const following = this.#parts.elsewhere?.follow({
      changed: (changes) => changes.forEach(hear),
      missed: () => this.missed(),
    });
    this.#begun = following?.begun ?? Promise.resolve();
    this.#unwatch = () => {
      unwatch();
      following?.end();
      this.#look?.();
      this.#look = undefined;
    };
  }

  /** Changes may have been missed. All rows are looked at, at once, but not again and again: a look reads all that clients follow. */
  missed(): void {
    if (this.#unwatch === undefined) return;
    const { clock } = this.#parts;
    const waitMs = Math.max(0, this.#lookedAt + limits.liveQueryLookAgainMs - clock.monotonic());
    this.#look ??= clock.after(waitMs, () => {
      this.#look = undefined;
      this.#lookedAt = clock.monotonic();
      this.#lookAgain();
    });
  }

  #lookAgain(): void {
    this.#counts.looks++;
    // Who comes back cannot be told what may have been missed, and gets its rows anew.
    this.#log.clear();
    this.#rounds.renumber(this.#log.last);
    for (const follower of this.#followers.values()) follower.doubt();
    for (const each of [...this.#lingering.values()]) this.#drop(each);
  }

  #endIfIdle(): void {
    if (this.#followers.size > 0 || this.#lingering.size > 0) return;
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#log.clear();
  }

  #use(text: string, query: Query): number {
    const known = this.#queries.get(text) ?? { id: this.#parts.matcher.add(query), users: 0 };
    known.users++;
    this.#queries.set(text, known);
    return known.id;
  }

  #linger(name: string, { set, text, share }: Omit<Lingering, 'forget'>): void {
    const [oldest] = this.#lingering.values();
    if (this.#lingering.size >= limits.liveQueriesLingeringMax) this.#drop(oldest);
    const cancel = this.#parts.clock.after(limits.liveQueryLingerMs, () => this.#drop(this.#lingering.get(name)));
    this.#lingering.set(name, { set, text, share, forget: cancel });
  }

  #drop(lingering: Lingering | undefined): void {
    if (lingering === undefined) return;
    lingering.forget();
    for (const [name, each] of this.#lingering) if (each === lingering) this.#lingering.delete(name);
    this.#forget(lingering.set, lingering.text);
  }

  #forget(set: LiveSet, text: string): void {
    set.end();
    const known = this.#queries.get(text);
    if (known !== undefined && --known.users === 0) {
      this.#queries.delete(text);
      this.#parts.matcher.remove(known.id);
    }
    this.#endIfIdle();
  }
}

/** What `LiveFollower` has put into an id: whose it is, and the number of the last change. */
function namesIn(id: string | undefined): readonly [name: string, number: number] {
  const [, name = '', number = ''] = /^([0-9a-f-]{36})\.(\d{1,15})$/.exec(id ?? '') ?? [];
  return [name, name === '' ? -1 : Number(number)];
}

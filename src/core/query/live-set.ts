/** What one client of a live query was told: which rows it holds, and what waits for it. */
import { limits } from '../../base/limits.ts';
import type { Shares } from '../../base/shares.ts';
import type { FleetPlace, MatchedPiece, RowMatch } from './ports.ts';
import type { LiveEvent, ResetReason } from './room.ts';
import type { Collection } from './syntax.ts';

const placeNamed = (name: string): FleetPlace => {
  const slash = name.indexOf('/');
  return { deviceId: name.slice(0, slash), moduleId: name.slice(slash + 1) };
};

/** What all sets together hold. */
export interface LiveSums {
  /** By whose they are (`shareName`). */
  readonly rows: Shares;
  chars: number;
}

/** Neither id holds a slash. */
export const rowName = ({ deviceId, moduleId }: FleetPlace): string => `${deviceId}/${moduleId}`;

export class LiveSet {
  /** The query's number at the matcher. */
  readonly query: number;
  readonly #from: Collection;
  readonly #parts: number;
  readonly #share: string;
  readonly #sums: LiveSums;
  /** Digests of the rows that the client holds, by name. */
  readonly #told = new Map<string, string>();
  /** Rows of which it is not known what the client holds: it is told of them whatever they are. */
  readonly #unsure = new Set<string>();
  #waiting: LiveEvent[] = [];
  #chars = 0;
  /** Up to where the rows of a beginning were read; `all` = it has begun. */
  #readTo: FleetPlace | undefined | 'all';
  #isBehind = false;
  #isFull = false;
  /** Changes of its rows may have been missed: they are looked at again, from the first one on. */
  #isInDoubt = false;
  /** Rows that the client holds and the look that is under way has not found yet; undefined = none is. */
  #unfound: Set<string> | undefined;
  #lookedTo: FleetPlace | undefined;

  /** @param share whose it is */
  constructor(
    query: number,
    share: string,
    { from, parts }: { readonly from: Collection; readonly parts: number },
    sums: LiveSums,
  ) {
    this.query = query;
    this.#share = share;
    this.#from = from;
    this.#parts = parts;
    this.#sums = sums;
  }

  get isReady(): boolean {
    return this.#readTo === 'all' && !this.#isBehind;
  }

  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** It holds more rows than a set may. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get rows(): number {
    return this.#told.size;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Its rows are to be looked at again. */
  get isInDoubt(): boolean {
    return this.#isInDoubt;
  }

  /** Changes may have been missed: what the client holds is compared with all rows, piece by piece, and it is told the difference. */
  doubt(): void {
    if (this.#isBehind) return;
    this.#isInDoubt = true;
    // A piece that is on its way may be of before.
    this.#unfound = undefined;
    this.#lookedTo = undefined;
  }

  /** Where the next piece, of a beginning or a look, is to be read from: `read` gets it next. */
  nextPiece(): FleetPlace | undefined {
    if (this.#readTo !== 'all') return this.#readTo;
    this.#unfound ??= new Set(this.#told.keys());
    return this.#lookedTo;
  }

  /** Whether a change of a row can concern it. */
  concerns({ moduleId }: FleetPlace, parts: number): boolean {
    return (this.#parts & parts) !== 0 && (moduleId === '') === (this.#from === 'devices');
  }

  hangsOn(parts: number): boolean {
    return (this.#parts & parts) !== 0;
  }

  /** All rows come anew. */
  begin(why: ResetReason): void {
    this.#forget();
    this.#isBehind = false;
    this.#readTo = undefined;
    this.#push({ kind: 'reset', why });
  }

  /** The next piece, in the order of the fleet. */
  read(piece: MatchedPiece): void {
    if (this.#isBehind) return;
    if (this.#readTo === 'all') this.#look(piece);
    else this.#beginWith(piece);
  }

  #beginWith({ rows, end }: MatchedPiece): void {
    for (const { place, text, digest } of rows) {
      this.#hold(rowName(place), digest);
      this.#push({ kind: 'enter', place, text });
    }
    this.#readTo = end ?? 'all';
    if (end === undefined) this.#push({ kind: 'ready', count: this.#told.size });
  }

  #look({ rows, end }: MatchedPiece): void {
    const unfound = this.#unfound;
    if (unfound === undefined) return;
    for (const { place, ...match } of rows) this.see(place, rowName(place), { query: this.query, ...match });
    this.#lookedTo = end;
    if (end !== undefined || this.#isBehind) return;
    for (const name of [...unfound]) this.see(placeNamed(name), name, undefined);
    this.#unfound = undefined;
    this.#isInDoubt = false;
  }

  /** It goes on behind what the client has: of these rows it is told, whatever they are. */
  resume(changed: Iterable<FleetPlace>): void {
    this.#drop();
    for (const place of changed) this.#unsure.add(rowName(place));
  }

  /** A row was read: `match` is what it is for the query, undefined = it does not pass. */
  see(place: FleetPlace, name: string, match: RowMatch | undefined): void {
    // Of what is not read yet a piece will tell.
    if (this.#isBehind || !this.#isRead(place)) return;
    if (match?.isLeftOut) {
      this.fallBehind();
      return;
    }
    this.#unfound?.delete(name);
    const isUnsure = this.#unsure.delete(name);
    const before = this.#told.get(name);
    if (match === undefined) {
      if (before === undefined && !isUnsure) return;
      if (this.#told.delete(name)) this.#sums.rows.give(this.#share);
      this.#push({ kind: 'leave', place });
    } else if (isUnsure || before !== match.digest) {
      this.#hold(name, match.digest);
      this.#push({ kind: before === undefined || isUnsure ? 'enter' : 'change', place, text: match.text });
    }
    // Where all together hold too much, those give way that hold more than their part: who reads fast enough is not disturbed.
    const max = this.#sums.chars > limits.liveQueriesCharsMax ? FAIR_CHARS : limits.liveQueryCharsMax;
    const isSlow = this.#chars > max;
    if (isSlow) this.fallBehind();
  }

  /** The client cannot be told of what has happened: it gets its rows anew. */
  fallBehind(): void {
    this.#forget();
    this.#isBehind = true;
  }

  /** What waits, for the client. */
  take(): readonly LiveEvent[] {
    const events = this.#waiting;
    this.#drop();
    return events;
  }

  /** Gives back what it holds; what is still on its way to it counts for nothing. */
  end(): void {
    this.fallBehind();
  }

  #isRead({ deviceId, moduleId }: FleetPlace): boolean {
    const to = this.#readTo;
    if (to === 'all') return true;
    if (to === undefined) return false;
    return deviceId < to.deviceId || (deviceId === to.deviceId && moduleId <= to.moduleId);
  }

  #hold(name: string, digest: string): void {
    const isNew = !this.#told.has(name);
    if (isNew && (this.#told.size >= limits.liveQueryRowsMax || !this.#sums.rows.take(this.#share))) {
      // It is refused, whatever comes next.
      this.#isFull = true;
      return;
    }
    this.#told.set(name, digest);
  }

  #push(event: LiveEvent): void {
    this.#waiting.push(event);
    const chars = EVENT_CHARS + ('text' in event ? event.text.length : 0);
    this.#chars += chars;
    this.#sums.chars += chars;
  }

  #drop(): void {
    this.#sums.chars -= this.#chars;
    this.#chars = 0;
    this.#waiting = [];
  }

  #forget(): void {
    this.#drop();
    if (this.#told.size > 0) this.#sums.rows.give(this.#share, this.#told.size);
    this.#told.clear();
    this.#unsure.clear();
    this.#isFull = false;
    this.#isInDoubt = false;
    this.#unfound = undefined;
    this.#lookedTo = undefined;
  }
}

const FAIR_CHARS = limits.liveQueriesCharsMax / limits.liveQueriesMax;

/** What an event takes beside its row. */
const EVENT_CHARS = 200;

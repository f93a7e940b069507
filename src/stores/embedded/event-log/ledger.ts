/**
 * What is known of an event log outside its folder, so that a folder, or a newest segment, that is gone is not taken for a new
 * log: then its sequence numbers would be given a second time.
 */
import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';

export interface LedgerEntry {
  /** Position of the newest segment that holds an acknowledged batch; -1 = none has held one yet. */
  readonly newest: number;
  /** Per partition: no sequence number from here on has been given. A loss that is accepted goes on here. */
  readonly ceilings: readonly number[];
}

/** Where the entry is kept: beside the log, not in it. */
export interface Ledger {
  /** As it was at the start; undefined for a log that is new, or older than ledgers. */
  readonly kept: LedgerEntry | undefined;
  /**
   * Resolves when the entry is durable; where it fails, it may be durable or not. Calls may overlap; the last one holds, and
   * its entry has what those before it had.
   */
  keep(entry: LedgerEntry): Promise<void>;
  /** Numbers by which a ceiling goes up at a time; absent = `limits.sequenceStep`. */
  readonly step?: number;
}

/** An event log whose newest segment is gone, or the whole log. */
export class EventLogLoss extends Error {
  override readonly name = 'EventLogLoss';
}

/** Keeps the entry ahead of what the journal does: raised in large steps, and early, so that batches do not wait for it. */
export class LedgerKeeper {
  readonly #ledger: Ledger | undefined;
  readonly #step: number;
  /** What was asked to be kept last, whether or not it has come to the disk. */
  #asked: LedgerEntry;
  /** What is durable for certain. */
  #newest: number;
  #ceilings: readonly number[];
  /** A newest segment that was asked to be kept, of which it is not known whether it came to the disk. */
  #doubtful: number | undefined;
  #raising: Promise<void> | undefined;

  /** @param nextSequences what the log goes on with, per partition */
  constructor(ledger: Ledger | undefined, nextSequences: readonly number[]) {
    this.#ledger = ledger;
    this.#step = ledger?.step ?? limits.sequenceStep;
    this.#newest = ledger?.kept?.newest ?? -1;
    this.#ceilings = [...(ledger?.kept?.ceilings ?? nextSequences)];
    this.#asked = { newest: this.#newest, ceilings: this.#ceilings };
  }

  /** Resolves when the numbers of the batch are below the ceilings; undefined = they are, which is nearly always so. */
  admit(nextSequences: readonly number[], counts: ArrayLike<number>): Promise<void> | undefined {
    if (this.#ledger === undefined) return undefined;
    let isLow = false;
    for (let partition = 0; partition < counts.length; partition++) {
      const behind = nextSequences[partition] + counts[partition];
      if (counts[partition] === 0) continue;
      if (behind > this.#ceilings[partition]) return this.#reach(nextSequences, counts);
      isLow ||= behind > this.#ceilings[partition] - this.#step / 2;
    }
    // What fails here is tried again, and waited for, when the ceiling is reached.
    if (isLow) this.#raise(nextSequences, counts).catch(() => {});
    return undefined;
  }

  /** Resolves when it is known that the segment holds a batch: to be called before the first of them is acknowledged. */
  holds(position: number): Promise<void> | undefined {
    if (this.#ledger === undefined || position <= this.#newest) return undefined;
    this.#doubtful = position;
    return this.#keep({ newest: position });
  }

  /**
   * Resolves when nobody can be told any more that the segment holds a batch, as `holds` may have done although it failed: to be
   * called before the file of a segment goes, or is emptied, of which nothing was acknowledged.
   */
  async withdraw(position: number): Promise<void> {
    if (this.#doubtful === position) await this.#keep({ newest: this.#newest });
  }

  async #reach(nextSequences: readonly number[], counts: ArrayLike<number>): Promise<void> {
    await this.#raising?.catch(() => {});
    await this.#raise(nextSequences, counts);
    assert(
      nextSequences.every((sequence, partition) => sequence + counts[partition] <= this.#ceilings[partition]),
      'numbers are given only below the ceilings',
    );
  }

  #raise(nextSequences: readonly number[], counts: ArrayLike<number>): Promise<void> {
    this.#raising ??= this.#raiseNow(nextSequences, counts).finally(() => {
      this.#raising = undefined;
    });
    return this.#raising;
  }

  #raiseNow(nextSequences: readonly number[], counts: ArrayLike<number>): Promise<void> {
    const ceilings = nextSequences.map((sequence, partition) => {
      const [kept, behind] = [this.#ceilings[partition], sequence + counts[partition]];
      return behind > kept - this.#step / 2 ? behind + this.#step : kept;
    });
    return this.#keep({ ceilings });
  }

  async #keep(changes: Partial<LedgerEntry>): Promise<void> {
    const asked = { ...this.#asked, ...changes };
    this.#asked = asked;
    await (this.#ledger as Ledger).keep(asked);
    // Another one may have been asked for meanwhile, and says the rest.
    if (changes.newest !== undefined) [this.#newest, this.#doubtful] = [asked.newest, undefined];
    if (changes.ceilings !== undefined) this.#ceilings = asked.ceilings;
  }
}

/**
 * Whether the journal's files can be all that there were.
 * @param positions of the segments' files, ascending
 * @throws EventLogLoss
 */
export function refuseLoss(name: string, kept: LedgerEntry | undefined, positions: readonly number[]): void {
  const loss = lossOf(kept, positions);
  if (loss !== undefined) throw new EventLogLoss(`events/${name}: ${loss}`);
}

/** What is missing, in words; undefined = nothing. */
export function lossOf(kept: LedgerEntry | undefined, positions: readonly number[]): string | undefined {
  if (kept === undefined || kept.newest < 0) return undefined;
  const last = positions.at(-1);
  if (last === undefined) return 'the event log is gone';
  return last < kept.newest ? `its newest segment ${String(kept.newest).padStart(20, '0')}.journal is gone` : undefined;
}

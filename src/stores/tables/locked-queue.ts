/**
 * One identity's queue inside one transaction: its row is held first and for as long as the transaction lasts, so
 * whatever is decided here about the commands of that identity cannot be overtaken by another node.
 *
 * Invariants at `save`: `waiting` and `locked` count the open commands; nothing open is due before `nextDue`; every command
 * that has ended has the receipt that it asked for.
 */

import { sql } from 'kysely';
import { assert } from '../../base/assert.ts';
import { settleTime, wantsReceipt, withStep } from '../../core/commands/lifecycle.ts';
import type { EndedCommand } from '../../core/commands/ports.ts';
import type { CommandOutcome, TrailEntry } from '../../core/commands/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { changingColumns, dueOf, NEVER, type StoredCommand, toStored } from './command-rows.ts';
import { lockingRows } from './engine.ts';
import type { CommandQueueRow, Transaction } from './schema.ts';

/** Written out, because a partial index is used only where its condition stands in the text. */
export const isOpen = sql<boolean>`state <= 1`;
export const isWaiting = sql<boolean>`state = 0`;
export const isLocked = sql<boolean>`state = 1`;

export class LockedQueue {
  readonly #tx: Transaction;
  readonly #row: CommandQueueRow;
  /** The commands that ended in this transaction. */
  readonly ended: EndedCommand[] = [];
  waiting: number;
  locked: number;
  #nextDue: number;
  #changed = false;

  /** Undefined: nothing was ever sent to that identity; or, with `skip`, another transaction holds its queue. */
  static async hold(tx: Transaction, target: IdentityKey, skip = false): Promise<LockedQueue | undefined> {
    const query = tx
      .selectFrom('command_queues')
      .selectAll()
      .where('device_id', '=', target.deviceId)
      .where('module_id', '=', target.moduleId ?? '');
    const row = await lockingRows(tx, query, skip).executeTakeFirst();
    return row && new LockedQueue(tx, row);
  }

  private constructor(tx: Transaction, row: CommandQueueRow) {
    this.#tx = tx;
    this.#row = row;
    this.waiting = row.waiting;
    this.locked = row.locked;
    this.#nextDue = Number(row.next_due);
  }

  get depth(): number {
    return this.waiting + this.locked;
  }

  /** The commands of this identity that wait or are locked, in order; add conditions and a limit. */
  open() {
    return this.#tx
      .selectFrom('commands')
      .selectAll()
      .where('device_id', '=', this.#row.device_id)
      .where('module_id', '=', this.#row.module_id)
      .where(isOpen)
      .orderBy('sequence');
  }

  /** Does what time has done, to at most `count` commands. */
  async passTime(now: number, count?: number): Promise<void> {
    if (this.#nextDue > now) return;
    const due = this.open().where('due', '<=', now);
    const rows = await (count === undefined ? due : due.limit(count)).execute();
    for (const before of rows.map(toStored)) {
      const steps: readonly TrailEntry[] =
        before.state.kind === 'locked' ? [{ time: now, step: 'lock-ended', detail: '' }] : [];
      await this.replace(before, settleTime(before, now), steps);
    }
    const { first } = await this.#tx
      .selectFrom('commands')
      .select((build) => build.fn.min('due').as('first'))
      .where('device_id', '=', this.#row.device_id)
      .where('module_id', '=', this.#row.module_id)
      .where(isOpen)
      .executeTakeFirstOrThrow();
    this.#nextDue = first === null ? NEVER : Number(first);
    this.#changed = true;
  }

  /** Writes what has become of a command, with the steps that led there, and the receipt that its end asks for. */
  async replace(before: StoredCommand, changed: StoredCommand, steps: readonly TrailEntry[]): Promise<StoredCommand> {
    assert(before.state.kind !== 'ended', 'an ended command does not change');
    const { state } = changed;
    const all = state.kind === 'ended' ? [...steps, { time: state.endedTime, step: state.outcome, detail: '' }] : steps;
    const after = { ...changed, trail: all.reduce(withStep, before.trail) };
    await this.#tx
      .updateTable('commands')
      .set(changingColumns(after))
      .where('device_id', '=', this.#row.device_id)
      .where('module_id', '=', this.#row.module_id)
      .where('sequence', '=', after.sequence)
      .execute();
    this.#count(before, -1);
    this.#count(after, 1);
    this.#nextDue = Math.min(this.#nextDue, dueOf(after) ?? NEVER);
    if (state.kind === 'ended') {
      const { target, sequence, messageId } = after;
      this.ended.push({ target, sequence, messageId, outcome: state.outcome, endedTime: state.endedTime });
      if (wantsReceipt(after.ack, state.outcome)) await this.#addReceipt(after, state.outcome, state.endedTime);
    }
    return after;
  }

  /** Writes the row as it is now. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    await this.#tx
      .updateTable('command_queues')
      .set({ waiting: this.waiting, locked: this.locked, next_due: this.#nextDue })
      .where('device_id', '=', this.#row.device_id)
      .where('module_id', '=', this.#row.module_id)
      .execute();
  }

  #count({ state }: StoredCommand, difference: 1 | -1): void {
    if (state.kind === 'enqueued') this.waiting += difference;
    else if (state.kind === 'locked') this.locked += difference;
    this.#changed = true;
  }

  async #addReceipt(command: StoredCommand, outcome: CommandOutcome, endedTime: number): Promise<void> {
    await this.#tx
      .insertInto('command_receipts')
      .values({
        device_id: this.#row.device_id,
        module_id: this.#row.module_id,
        generation_id: command.generationId,
        command_sequence: command.sequence,
        message_id: command.messageId,
        outcome,
        enqueued_time: endedTime,
        lock_token: null,
        locked_until: 0,
      })
      .execute();
  }
}

/**
 * The life of one command as a pure state machine. Stores apply these functions inside their own transaction, so that
 * every store has the same rules; `docs/lifecycle.md` has the picture. They never look at the message, so that a store
 * need not read it.
 *
 *     enqueued ──hand over──▶ locked ──complete──▶ ended: completed
 *        ▲  │                   │  └───reject────▶ ended: rejected
 *        │  │                   ├──abandon: count + 1 ─▶ enqueued, or ended: deliveryCountExceeded
 *        │  │                   └──lock ends, connection lost ─▶ enqueued, count as it was
 *        │  ├──time-to-live over──▶ ended: expired
 *        │  └──purge (also when locked) ──▶ ended: purged
 *        └── from locked, see above
 *
 * Invariants: an ended command never changes again; the delivery count only grows, by explicit abandons; a command that
 * is locked does not expire until its lock ends, so a device that completes within its lock is always believed.
 */
import { limits as bounds } from '../../base/limits.ts';
import type { CommandHead, CommandLimits, CommandOutcome, PutBack, ReceiptWish, TrailEntry } from './types.ts';

/** What a device says about a command that it holds under a lock. */
export type Settlement = 'complete' | 'reject' | 'abandon';

/** The command as it is at `now`: a lock that has run out is gone, a time-to-live that is over has ended it. */
export function settleTime<Kept extends CommandHead>(command: Kept, now: number): Kept {
  let current = command;
  if (current.state.kind === 'locked' && current.state.lockedUntil <= now) {
    current = { ...current, state: { kind: 'enqueued' } };
  }
  // A lock that ran out after the time-to-live: the command has expired, not been lost in between.
  if (current.state.kind === 'enqueued' && current.expiresAt <= now) return end(current, 'expired', now);
  return current;
}

/** Hands an enqueued command to a connection. The caller has called `settleTime` and seen it `enqueued`. */
export function handOver<Kept extends CommandHead>(
  command: Kept,
  lock: { readonly token: string; readonly holder: string; readonly lockMs: number },
  now: number,
): Kept {
  return {
    ...command,
    handedOver: command.handedOver + 1,
    state: { kind: 'locked', lockToken: lock.token, lockedUntil: now + lock.lockMs, holder: lock.holder },
  };
}

/**
 * A device settles a command under its lock. Undefined: the lock is not (or no longer) the one that holds it, and
 * nothing has changed but what time has done.
 */
export function settle<Kept extends CommandHead>(
  command: Kept,
  lockToken: string,
  settlement: Settlement,
  limits: CommandLimits,
  now: number,
): Kept | undefined {
  const current = settleTime(command, now);
  if (current.state.kind !== 'locked' || current.state.lockToken !== lockToken) return undefined;
  switch (settlement) {
    case 'complete':
      return end(current, 'completed', now);
    case 'reject':
      return end(current, 'rejected', now);
    case 'abandon': {
      const abandoned: Kept = { ...current, deliveryCount: current.deliveryCount + 1, state: { kind: 'enqueued' } };
      if (abandoned.deliveryCount >= limits.deliveryCountMax) return end(abandoned, 'deliveryCountExceeded', now);
      return settleTime(abandoned, now);
    }
  }
}

/** The connection that holds the lock is gone: back to the queue, and no failed attempt is counted. */
export function releaseLock<Kept extends CommandHead>(command: Kept, now: number): Kept {
  return command.state.kind === 'locked' ? settleTime({ ...command, state: { kind: 'enqueued' } }, now) : command;
}

/** Whether the lock is one that `putsBack` means, when `holder` takes. */
export function isLeftOver({ state }: CommandHead, holder: string, putsBack: PutBack): boolean {
  if (state.kind !== 'locked' || state.holder === '') return false;
  return state.holder === holder ? !putsBack.but.includes(state.lockToken) : putsBack.others;
}

/** Ends a command that has not ended. */
export function end<Kept extends CommandHead>(command: Kept, outcome: CommandOutcome, now: number): Kept {
  return { ...command, state: { kind: 'ended', outcome, endedTime: now } };
}

/** Steps that come again and again; how a command began and ended comes once. */
const repeated: ReadonlySet<TrailEntry['step']> = new Set([
  'handed-over',
  'lock-ended',
  'connection-lost',
  'abandoned',
  'receipt-handed-over',
  'sent-again',
]);

/** The trail with one more step. A full one loses the oldest of those steps that come again and again. */
export function withStep(trail: readonly TrailEntry[], step: TrailEntry): readonly TrailEntry[] {
  if (trail.length < bounds.commandTrailEntriesMax) return [...trail, step];
  return [
    ...trail.toSpliced(
      Math.max(
        1,
        trail.findIndex((each) => repeated.has(each.step)),
      ),
      1,
    ),
    step,
  ];
}

/** What the trail says of a handing over: to which connection, and which delivery it is behind the first. */
export function handOverDetail({ handedOver }: Pick<CommandHead, 'handedOver'>, holder: string): string {
  return [holder, handedOver > 1 ? `delivery ${handedOver}` : ''].filter((text) => text !== '').join(', ');
}

/** What the two trails of a dead letter that is sent again say of each other. */
export function sentAgainSteps(dead: number, again: number): { readonly dead: string; readonly again: string } {
  return { dead: `as command ${again}`, again: `command ${dead} again` };
}

/** Whether the back end asked for a receipt of this outcome (service reference 4.1). */
export function wantsReceipt(wish: ReceiptWish, outcome: CommandOutcome): boolean {
  if (wish === 'full') return true;
  return wish === (outcome === 'completed' ? 'positive' : 'negative');
}

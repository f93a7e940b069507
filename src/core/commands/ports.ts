import type { IdentityKey } from '../identity/types.ts';
import type { Settlement } from './lifecycle.ts';
import type {
  Command,
  CommandLimits,
  CommandMessage,
  CommandOutcome,
  PutBack,
  ReceiptBatch,
  ReceiptWish,
  TrailEntry,
} from './types.ts';

/**
 * Where commands wait, and their receipts. Every operation is one atomic, durable step; it applies the rules of
 * `lifecycle.ts` to what is stored, at the time `now`: UTC milliseconds of the store's own clock (`Storage.clock`), which the caller
 * reads there, so that nodes with different clocks agree on when a lock is over. Ending a command and
 * writing the receipt that it asks for are the same step. One contract suite (`stores/contract/command-queue.ts`) runs
 * over every implementation.
 */
export interface CommandQueue {
  /**
   * Puts a command at the end of its identity's queue, unless `queueDepthMax` wait there already, or that generation of
   * the identity is not there any more: a deletion and an enqueue exclude each other, so none is left without an owner.
   */
  enqueue(command: NewCommand, limits: CommandLimits, now: number): Promise<EnqueueOutcome>;
  /**
   * Locks the waiting commands with the lowest sequence numbers, at most one for each token, and returns them in order. Only
   * those of `generationId`. Ends what has expired on the way.
   */
  lockNext(target: IdentityKey, generationId: string, lock: LockWish, now: number): Promise<readonly Command[]>;
  /** `lockLost`: that token holds nothing any more. */
  settle(
    target: IdentityKey,
    lockToken: string,
    settlement: Settlement,
    limits: CommandLimits,
    now: number,
  ): Promise<SettleOutcome>;
  /** Puts back whatever the connection `holder` still holds; the number of commands put back. */
  releaseHolder(target: IdentityKey, holder: string, now: number): Promise<number>;
  /** Ends every waiting or locked command of the identity as `purged`; the number of them. */
  purge(target: IdentityKey, now: number): Promise<number>;
  /** The identity is gone: its commands, dead letters, trails and pending receipts too (service reference 4.3). */
  forget(target: IdentityKey): Promise<void>;
  /** Commands that wait or are locked. */
  depth(target: IdentityKey, now: number): Promise<number>;
  depths(targets: readonly IdentityKey[], now: number): Promise<readonly number[]>;
  /**
   * Does what time has done, for at most `count` commands whose lock or time-to-live is over, and tells which identities
   * have something to deliver again. `nextDue` = UTC milliseconds of the next such moment, if there is one.
   */
  sweep(now: number, count: number): Promise<SweepOutcome>;

  /**
   * Locks up to `count` receipts, oldest first. With fewer than `count` waiting, only if the oldest has waited since
   * `notAfter` (UTC milliseconds) or longer. Receipts of `endedBefore` or earlier are not handed out: their own
   * time-to-live is over. Puts `receipt-handed-over` into the trails of their commands.
   */
  lockReceipts(request: ReceiptRequest, now: number): Promise<ReceiptBatch | undefined>;
  /**
   * Completing removes them, and puts `receipt-read` into the trails of their commands; abandoning makes them available
   * again at once. False: the lock is gone.
   */
  settleReceipts(lockToken: string, settlement: 'complete' | 'abandon', now: number): Promise<boolean>;
  /** Removes receipts of `endedBefore` or earlier that nobody holds, at most `count`; the number of them. */
  dropReceipts(endedBefore: number, count: number, now: number): Promise<number>;

  /** Ended commands that were not completed, newest first, and kept for a set time. */
  deadLetters(target: IdentityKey, limit: number): Promise<readonly Command[]>;
  /** Removes ended commands and trails that ended before `before`; the number of commands. */
  removeEnded(before: number, count: number): Promise<number>;
  /** The commands that are meant, ended ones included, newest first, at most `commandsFoundMax` and one. */
  find(target: IdentityKey, by: CommandChoice): Promise<readonly Command[]>;
  trail(target: IdentityKey, sequence: number): Promise<readonly TrailEntry[]>;
  /**
   * Calls `listener` with the commands that have ended, each once, by whichever call of this node found it out: a settlement, a
   * purge, or time that any call has let pass. It is called when that is durable, and before the call resolves; not for
   * commands that are forgotten. The returned function ends it.
   */
  watch(listener: (ended: readonly EndedCommand[]) => void): () => void;
  /** For metrics and health: what is open in the hub as of the last sweep; outcomes that this node has seen since it opened the queue. */
  totals(now: number): Promise<CommandTotals>;
}

/** Lock tokens, one for each command that may be handed over, and who holds them for how long. */
export interface LockWish {
  readonly tokens: readonly string[];
  readonly holder: string;
  readonly lockMs: number;
  /** What is left over from others, or from an earlier call, is put back first, in the same step. */
  readonly putsBack?: PutBack;
}

/** Commands of one identity: those of a message id, the one with a sequence number, or so many of the newest. */
export type CommandChoice =
  | { readonly messageId: string }
  | { readonly sequence: number }
  | { readonly newest: number };

export interface NewCommand {
  readonly target: IdentityKey;
  readonly generationId: string;
  readonly message: CommandMessage & { readonly ack: ReceiptWish };
  readonly expiresAt: number;
  /** The dead letter of the same identity that is sent again: the trails of both say so. */
  readonly sentAgain?: number;
}

/** `gone`: there is no such generation of the identity. */
export type EnqueueOutcome =
  | { readonly kind: 'enqueued'; readonly sequence: number }
  | { readonly kind: 'full'; readonly depth: number }
  | { readonly kind: 'gone' };

/** A command that has ended, without what was sent. */
export interface EndedCommand {
  readonly target: IdentityKey;
  readonly sequence: number;
  readonly messageId: string | null;
  readonly outcome: CommandOutcome;
  /** UTC milliseconds. */
  readonly endedTime: number;
}

/** `again`: the command went back to the queue (abandoned) and can be delivered again. */
export type SettleOutcome =
  | { readonly kind: 'ended'; readonly outcome: CommandOutcome }
  | { readonly kind: 'again' }
  | { readonly kind: 'lockLost' };

export interface SweepOutcome {
  /** How many commands ended; `watch` tells which. */
  readonly ended: number;
  readonly deliverable: readonly IdentityKey[];
  readonly nextDue?: number;
}

export interface ReceiptRequest {
  readonly lockToken: string;
  /** Who asks, for the trails: for people, no secret. */
  readonly reader: string;
  readonly count: number;
  readonly lockMs: number;
  readonly notAfter: number;
  readonly endedBefore: number;
}

export interface CommandTotals {
  readonly waiting: number;
  readonly locked: number;
  /** UTC milliseconds at which the oldest waiting command was enqueued. */
  readonly oldestEnqueuedTime?: number;
  readonly receipts: number;
  readonly outcomes: Readonly<Record<CommandOutcome, number>>;
}

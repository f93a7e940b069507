import type { IdentityKey, Principal } from '../identity/types.ts';
import type { Settlement } from './lifecycle.ts';
import type { CommandChoice, CommandTotals } from './ports.ts';
import type { Command, CommandMessage, PutBack, ReceiptBatch, TrailEntry } from './types.ts';

/** Commands to devices and their receipts, as doors see them. */
export interface Commands {
  /**
   * Accepts a command for a device or module. It is stored when the promise resolves.
   * @throws HubError DeviceNotFound, ModuleNotFound, DeviceDisabled, DeviceMaximumQueueDepthExceeded, MessageTooLarge,
   *   InvalidMessageExpiryTime, ArgumentInvalid, IotHubUnauthorizedAccess
   */
  send(principal: Principal, target: IdentityKey, message: CommandMessage): Promise<{ readonly sequence: number }>;
  /** Ends all that waits for the identity as `purged`; how many that were. */
  purge(principal: Principal, target: IdentityKey): Promise<number>;

  /**
   * The device's end of its queue for one connection. `holder` names the connection (empty for HTTP): what it holds is
   * put back by `close`.
   */
  openInbox(principal: Principal, key: IdentityKey, holder: string): Inbox;

  /**
   * Hands receipts to a back end under a lock: as soon as a full batch waits, or the oldest has waited for
   * `receiptBatchMs`. Undefined: nothing to hand out now; `watchReceipts` tells when to ask again.
   */
  takeReceipts(principal: Principal): Promise<ReceiptBatch | undefined>;
  settleReceipts(principal: Principal, lockToken: string, settlement: 'complete' | 'abandon'): Promise<boolean>;
  /** Calls `listener` when receipts may have become available. The returned function ends it. */
  watchReceipts(listener: () => void): () => void;

  /** Commands that ended otherwise than completed, newest first. */
  deadLetters(principal: Principal, target: IdentityKey): Promise<readonly Command[]>;
  /** Sends a dead letter again, as a new command with a new time-to-live and the same message. */
  sendAgain(principal: Principal, target: IdentityKey, sequence: number): Promise<{ readonly sequence: number }>;
  /** Commands of that message id (or sequence number), or the newest ones, with every step they took; newest first. */
  trail(
    principal: Principal,
    target: IdentityKey,
    by: CommandChoice,
  ): Promise<readonly { readonly command: Command; readonly trail: readonly TrailEntry[] }[]>;
}

/** What the hub itself asks of commands; no client reaches it. */
export interface CommandKeeping {
  /** Commands that wait or are locked, per identity: `cloudToDeviceMessageCount`. */
  depths(targets: readonly IdentityKey[]): Promise<readonly number[]>;
  totals(): Promise<CommandTotals>;
  /**
   * Does what time has done: locks and lives that are over, ended commands that nobody needs any more. Called by the
   * server; the answer is the UTC time in milliseconds at which it is worth calling again, or undefined for "when
   * something changes".
   */
  sweep(): Promise<number | undefined>;
}

export interface TakeOptions {
  /** The lock's length, up to the limit's `lockMs`, which is the default. */
  readonly lockMs?: number;
  /** As `LockWish.putsBack`. */
  readonly putsBack?: PutBack;
}

/** One connection's view of its own queue. */
export interface Inbox {
  /** Locks and returns up to `count` of the commands that wait, in order. */
  take(count: number, how?: TakeOptions): Promise<readonly Command[]>;
  /** @throws HubError DeviceMessageLockLost */
  settle(lockToken: string, settlement: Settlement): Promise<void>;
  /** Puts back what this connection still holds. */
  close(): Promise<void>;
}

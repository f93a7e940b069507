import type { IdTypes } from '../../base/id-type.ts';
import type { IdentityKey } from '../identity/types.ts';

/** Commands (cloud-to-device messages) and their receipts. Plain data, no behaviour. */

/** Which outcomes the back end wants a receipt for: the `iothub-ack` property (service reference 4.1). */
export type ReceiptWish = 'none' | 'positive' | 'negative' | 'full';

/** A command as a back end hands it over. Absent = not set. */
export interface CommandMessage {
  readonly messageId?: string;
  readonly correlationId?: string;
  /** Of ids that came as something else than text, which AMQP alone can say. */
  readonly idTypes?: IdTypes;
  readonly userId?: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  /** UTC milliseconds at which the back end wants it to expire; absent = the hub's default time-to-live. */
  readonly expiry?: number;
  readonly ack: ReceiptWish;
  /** Application properties in the order sent. */
  readonly properties: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

/**
 * How a command ends; exactly one of these, once. `purged` covers the removal by a back end and the deletion of the
 * identity.
 */
export type CommandOutcome = 'completed' | 'rejected' | 'expired' | 'deliveryCountExceeded' | 'purged';

/** Waiting, held by one connection under a lock, or ended. */
export type CommandState =
  | { readonly kind: 'enqueued' }
  | {
      readonly kind: 'locked';
      readonly lockToken: string;
      /** UTC milliseconds at which the lock ends by itself. */
      readonly lockedUntil: number;
      /** Presence's id of the connection that holds it; '' for HTTP, which has none. */
      readonly holder: string;
    }
  | { readonly kind: 'ended'; readonly outcome: CommandOutcome; readonly endedTime: number };

/** A command in the queue of one identity. */
export interface Command {
  readonly target: IdentityKey;
  /** The target's generation when it was sent: a re-created identity does not inherit it. */
  readonly generationId: string;
  /** Its place in the identity's queue, from 1 on, never used again. */
  readonly sequence: number;
  readonly message: CommandMessage;
  /** UTC milliseconds. */
  readonly enqueuedTime: number;
  /** UTC milliseconds. A locked command does not expire before its lock ends. */
  readonly expiresAt: number;
  /** Explicit abandons so far; a lock that ran out or a lost connection does not count (service reference 4.2). */
  readonly deliveryCount: number;
  /** How often it was handed to a device: over 0 means a further delivery is a repeated one (MQTT's DUP). */
  readonly handedOver: number;
  readonly state: CommandState;
}

/** A command without what was sent: all that its lifecycle needs. */
export type CommandHead = Omit<Command, 'message'>;

/** What a back end learns of a command that has ended (service reference 4.3). */
export interface Receipt {
  /** Place in the hub's receipt queue. */
  readonly sequence: number;
  /** Null when the command carried no message id. */
  readonly originalMessageId: string | null;
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly deviceGenerationId: string;
  /** UTC milliseconds at which the command ended. */
  readonly enqueuedTime: number;
  readonly outcome: CommandOutcome;
}

/** Receipts handed to one back end under a lock. */
export interface ReceiptBatch {
  readonly lockToken: string;
  readonly lockedUntil: number;
  readonly receipts: readonly Receipt[];
}

/** One line of a command's trail. */
export interface TrailEntry {
  /** UTC milliseconds. */
  readonly time: number;
  readonly step:
    | 'enqueued'
    | 'handed-over'
    | 'lock-ended'
    | 'connection-lost'
    | 'abandoned'
    | CommandOutcome
    | 'receipt-handed-over'
    | 'receipt-read'
    | 'sent-again';
  /** To which connection, by which protocol, which lock: for people, no secrets. */
  readonly detail: string;
}

/** The bounds that the lifecycle obeys, each for one identity's queue; limits of `base/limits/commands.ts`. */
export interface CommandLimits {
  readonly queueDepthMax: number;
  readonly lockMs: number;
  readonly deliveryCountMax: number;
  readonly timeToLiveMsDefault: number;
  readonly timeToLiveMsMax: number;
  /** Receipts in one batch, how long the first of a batch waits for others, and how long a back end may hold it. */
  readonly receiptBatchMax: number;
  readonly receiptBatchMs: number;
  readonly receiptLockMs: number;
  readonly receiptTimeToLiveMs: number;
  /** How long ended commands stay readable, with their trails. */
  readonly deadLetterMs: number;
}

/** Which locks of an identity nobody can settle any more. Those of requests (without a `holder`) are never meant. */
export interface PutBack {
  /** Those of every other holder: they were connections that the taker's has displaced, or that are gone with their node. */
  readonly others: boolean;
  /** Of the taker's own, all but those of these tokens: the answer that would have told of the others was lost. */
  readonly but: readonly string[];
}

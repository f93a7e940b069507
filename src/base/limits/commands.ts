/** Commands and their receipts. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, SECOND_MS } from './units.ts';

export const commandsLimits = {
  /** Service: the same for a command (cloud-to-device message). */
  commandBytesMax: 64 * KiB,
  /** Service: commands that wait for one device. */
  commandQueueDepthMax: 50,
  /** Service: how long a device may take to settle a command. */
  commandLockMs: 60 * SECOND_MS,
  /** Service: abandons after which a command is given up. */
  commandDeliveryCountMax: 10,
  /** Service: time-to-live of a command that names none, and the longest that one may name. */
  commandTimeToLiveMsDefault: HOUR_MS,
  commandTimeToLiveMsMax: 48 * HOUR_MS,
  /** Commands that one connection may hold unsettled at a time. */
  commandsInflightMax: 50,
  /** Commands that a connection takes at a time: so many are in memory while its device does not read. */
  commandsTakeMax: 8,
  /** Time between two attempts to take commands when the store refuses. */
  commandsRetryMs: 5 * SECOND_MS,
  /** Service: receipts in one feedback message, and how long the first of them waits for others. */
  receiptBatchMax: 64,
  receiptBatchMs: 15 * SECOND_MS,
  /** Service: how long a back end may take to settle a feedback message; how long receipts are kept. */
  receiptLockMs: 60 * SECOND_MS,
  receiptTimeToLiveMs: HOUR_MS,
  /** How long ended commands stay readable as dead letters and in trails. */
  deadLetterMs: 48 * HOUR_MS,
  /** Commands that one sweep settles: 20 ms of the store's thread, measured, so that it does not hold up the rest. */
  sweepCommandsMax: 200,
  /** Shortest and longest time between two sweeps: an expiry is told this much late at most, whatever the clock does. */
  sweepMsMin: 100,
  sweepMsMax: 30 * SECOND_MS,
  /** Steps of one command's trail: a device that connects and leaves every second would else write without end. */
  commandTrailEntriesMax: 64,
  /** Commands of one identity that share a message id, shown at once. */
  commandsFoundMax: 100,
} as const;

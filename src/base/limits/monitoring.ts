/** Monitoring, traces and health. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const monitoringLimits = {
  /** Devices whose last event number the monitor remembers; a device that it has forgotten goes on with a gap. */
  monitoringNumbersMax: 200_000,
  /** Alike failures of one source within this time are one event. */
  monitoringWindowMs: 10 * SECOND_MS,
  /** Devices that are told apart under one address while its failures are summed; an attack tries thousands. */
  monitoringSourcesPerAddressMax: 16,
  /** Addresses that are told apart at a time: with the line above, this bounds the table of sums. */
  monitoringAddressesMax: 4096,
  /** Monitoring events that wait while their log takes none; more are counted as missed. */
  monitoringPendingMax: 10_000,
  /** Slowed senders are told of once in this time, and as many are told apart on one listener thread. */
  monitoringSlowedMs: 1 * SECOND_MS,
  monitoringSlowedMax: 4096,
  /** Time between two attempts to write waiting monitoring events. */
  monitoringRetryMs: 1 * SECOND_MS,
  /** Traced messages that are on their way to the disk; further ones are not traced. */
  tracesPendingMax: 10_000,
  /** Bytes that are read at a time to find where traced messages were stored. */
  traceReadBytesMax: 256 * KiB,
  /** Devices that connect or are connected and whose connection a trace can name. */
  traceConnectionsMax: 200_000,
  /** Traced messages whose spans are not complete, or whose readers may still come. */
  spanTracesOpenMax: 10_000,
  /** Commands that have ended and whose trails are to be read for their spans, and how many are read at a time. */
  spanTrailsPendingMax: 10_000,
  spanTrailsReadMax: 16,
  /** Locks of commands, and batches of receipts, whose settlement can be told as a span. */
  spanLocksMax: 100_000,
  spanReceiptBatchesMax: 1000,
  /** Spans that wait for the collector, about 1 KiB each; further ones are dropped and counted. */
  spansPendingMax: 8192,
  /** Spans of one request, and how long the first of them waits for others. */
  spansPerRequestMax: 512,
  spansWaitMs: 1 * SECOND_MS,
  /** How long the collector may take to answer, how much of its answer is read, how often a batch is tried. */
  collectorAnswerMs: 10 * SECOND_MS,
  collectorAnswerBytesMax: 64 * KiB,
  collectorAttemptsMax: 5,
  /** Wait before a batch is tried again, doubled each time up to the longest; also the longest that a collector may ask for. */
  collectorRetryMsMin: 1 * SECOND_MS,
  collectorRetryMsMax: 30 * SECOND_MS,
  /** How long a stop waits for the collector to take what is left. */
  collectorStopMs: 3 * SECOND_MS,
  /** How often the hub looks at its own health when no caller asks, and how long a caller waits at most. */
  healthEveryMs: 30 * SECOND_MS,
  healthWaitMs: 1 * SECOND_MS,
  /** How long a check may be silent before that is what is wrong: longer than a busy disk takes. */
  healthSilenceMs: 5 * SECOND_MS,
  /** How long the result of a check that writes to the disk is good. */
  healthProbeKeptMs: 2 * SECOND_MS,
  /** How exactly stalls of the loop are measured, and for how long the longest one is shown (and up to twice that). */
  stallResolutionMs: 10,
  stallWindowMs: 60 * SECOND_MS,
  /** How often the loop is looked at for the log, and the stall from which the log tells of it. */
  stallLookMs: 50,
  stallToldMs: 500,
  /** The stall from which health warns. */
  stallWarnMs: 5 * SECOND_MS,
  /** Devices or addresses that each kind of detection keeps counts of. */
  detectionSubjectsMax: 50_000,
  /** Characters of a text from outside (an id, a reason) in a monitoring event. */
  monitoringTextCharsMax: 256,
  /** Clients of `/events` on the admin port, and bytes that one may leave unread before it is dropped. */
  eventStreamClientsMax: 16,
  eventStreamBytesMax: 1 * MiB,
  /** How long a client of `/events` that was dropped may take to read why. */
  eventStreamLingerMs: 2 * SECOND_MS,
} as const;

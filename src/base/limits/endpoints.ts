/** Places outside the hub that events are delivered to. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const endpointsLimits = {
  /** A webhook has so long to answer; what Event Grid gives its own. */
  webhookAnswerMs: 30 * SECOND_MS,
  /** What is read of its answer: a reason for the operator, never more. */
  webhookAnswerBytesMax: 4 * KiB,
  /** Bytes of one request's body; one event of the largest size always fits, base64 and names included. */
  webhookBatchBytesMax: 1 * MiB,
  /** A webhook that asks for more time (`Retry-After`) gets at most so much at once. */
  webhookRetryAfterMsMax: 3600 * SECOND_MS,
  /** Connections that are kept to one webhook. */
  webhookConnectionsMax: 16,
  /** Connections to the database of one endpoint. */
  tableConnectionsMax: 4,
  /** A statement of rows may take so long. */
  tableStatementMs: 30 * SECOND_MS,
} as const;

/** Gateways. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const gatewayLimits = {
  /** Bytes of one batch of a gateway when it is inflated: some of the largest telemetry messages. */
  gatewayBatchBytesMax: 1 * MiB,
  /** Messages of one batch of a gateway: each costs the hub a record of some hundred bytes, however short its body. */
  gatewayBatchMessagesMax: 2000,
  /** The same as it is sent: one message of the largest kind that cannot be compressed, and some more. */
  gatewayTransferBytesMax: 512 * KiB,
  /** Batches of one gateway link that are not durable yet. */
  gatewayBatchesInflightMax: 8,
  /** How long a gateway's link waits at most before it looks again whether a device of its batch is still over its rate. */
  gatewayLookMs: 1 * SECOND_MS,
  /** Devices that one gateway link has ready; more are looked at anew when they send. */
  gatewaySendersMax: 20_000,
  /**
   * Of a gateway out of the hub's process (`gateway/remote`). A group of its writes waits so long for more, so that a trickle of messages
   * does not cost a sync each.
   */
  gatewayCommitMs: 5,
  /** Bytes of messages that wait for the gateway's disk: devices are slowed, then refused. */
  gatewayPendingBytesHigh: 1 * MiB,
  gatewayPendingBytesMax: 8 * MiB,
  /** One row of its queue, which is what a batch is made of. */
  gatewayBlockBytesMax: 8 * KiB,
  gatewayBlockMessagesMax: 100,
  /** Message ids by which it knows what devices send again. */
  gatewayRecentMessagesMax: 10_000,
  /** Bytes that a gateway sends ahead of the hub's answers: what its link carries in this time, between these bounds. */
  gatewayWindowMs: 2 * SECOND_MS,
  gatewayWindowBytesMin: 8 * KiB,
  gatewayWindowBytesMax: 1 * MiB,
  /** Bytes of a batch as it is sent. */
  gatewaySentBatchBytesMax: 128 * KiB,
  /** Bytes of messages whose devices wait for the hub's own answer. */
  gatewayDirectBytesMax: 16 * MiB,
} as const;

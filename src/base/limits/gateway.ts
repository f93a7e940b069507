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
} as const;

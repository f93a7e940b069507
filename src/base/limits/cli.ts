/** The command line. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, SECOND_MS } from './units.ts';

export const cliLimits = {
  /** Bytes of a TLS ClientHello that are kept until its handshake is done, to tell what a refused client offered. */
  clientHelloBytesMax: 2 * KiB,
  /** CLI: batches of receipts that a look at them holds under locks, 64 receipts each. */
  cliReceiptBatchesHeldMax: 100,
  /** CLI: how long the admin port may take to tell of the hub's health. */
  cliHealthMs: 10 * SECOND_MS,
  /** CLI: events that a live view has asked for and not shown yet, over all partitions. */
  cliEventsWaitingMax: 1024,
  /** CLI: devices that one `simulate` plays; each costs a TLS connection, about 90 KiB here (measured with 2,000). */
  cliSimulatedDevicesMax: 100_000,
  /** CLI: connections that `simulate` opens at the same time: a TLS handshake costs 2 to 3 ms of CPU. */
  cliConnectsAtOnceMax: 256,
} as const;

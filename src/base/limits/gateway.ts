/** Gateways. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

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
  /** Until the hub has let a gateway in; for an answer of its nodes; for the end of a connection. */
  gatewayOpenMs: 60 * SECOND_MS,
  gatewayAnswerMs: 60 * SECOND_MS,
  gatewayCloseMs: 2 * SECOND_MS,
  /** Without an answer to any of the batches that are under way the gateway begins a new connection. A hub whose brokers are away holds them for a minute. */
  gatewayBatchAnswerMs: 240 * SECOND_MS,
  /** What the slowest link carries: the largest batch under way has so much longer. */
  gatewaySlowestBytesPerSecond: 250,
  /** Silence after which the gateway takes its connection for lost: the hub sends an empty frame in each quarter of it. */
  gatewayIdleMs: 240 * SECOND_MS,
  /** Life of the token that a gateway makes of its policy's key. */
  gatewayTokenMs: HOUR_MS,
  /** Devices whose links share an AMQP session. */
  gatewayDevicesPerSession: 16,
  /** Outcomes of commands that a gateway remembers, and how long on its disk where the hub could not be told: as long as commands live. */
  gatewayRecentOutcomesMax: 10_000,
  gatewayOutcomeMs: 48 * HOUR_MS,
  /** Devices whose reported properties wait for the hub on a gateway's disk, and the bytes of one patch: a section of a twin. */
  gatewayReportsMax: 20_000,
  gatewayReportBytesMax: 32 * KiB,
  /** Proofs of devices that a gateway remembers for the time that the hub is away. */
  gatewayProofsMax: 50_000,
  /** Life of the token that a gateway makes of a key which a device has shown, to have it judged. */
  gatewayProofTokenMs: 10 * 60 * SECOND_MS,
  /** Times of messages beyond this, in either direction, are no times: the last one that a text of a date has. */
  gatewayCreatedMsMax: 8.64e15,
  /** Pauses of a gateway between two attempts to reach its hub: they double from the first to the longest. */
  gatewayPauseMsMin: 1 * SECOND_MS,
  gatewayPauseMsMax: 60 * SECOND_MS,
  /** Messages of a gateway that wait on its disk, unless the operator says otherwise: three days of a thousand devices once a minute. */
  gatewayQueueBytesDefault: 1024 * MiB,
  /** Links of devices on a gateway's connection: the hub has room for `amqpLinksMax`, and some are the gateway's own. */
  gatewayLinksMax: 8000,
  /** Devices whose links are opened at a time. */
  gatewayAttachesAtOnce: 16,
  /** Devices that a gateway makes on sight, unless the operator says otherwise. */
  gatewayCreatedMax: 1000,
  /** Requests about files that a gateway has under way at the hub; more wait. */
  gatewayFileRequestsMax: 8,
  /** How often a gateway says how far its backlog is; how long its adapter may take to finish what it does. */
  gatewayProgressMs: 10 * SECOND_MS,
  gatewayStopMs: 10 * SECOND_MS,
  /** Shared keys of devices that a gateway keeps in memory, and how long one counts while the hub is reached. */
  gatewaySharedKeysMax: 10_000,
  gatewaySharedKeyMs: 60 * SECOND_MS,
  /** A hub that answers within this time is not waited for by the gateway's own disk first. */
  gatewayNearMsMax: 250,
  gatewayDirectBytesHigh: 4 * MiB,
} as const;

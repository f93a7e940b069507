/** Events: the log, and who reads it. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

export const eventsLimits = {
  /** Service: body, system values, application names and values of one telemetry message. */
  telemetryBytesMax: 256 * KiB,
  /** Application properties of one message; the service bounds them only by the message's size. */
  messagePropertiesMax: 100,
  /** Partitions of an event hub, fixed when the data folder is made. */
  partitionsDefault: 4,
  partitionsMax: 32,
  /** Service: one day by default, seven at most; ours may be longer. */
  retentionMsDefault: 24 * HOUR_MS,
  /** A segment is what retention deletes at a time; also closed by age (retention / 24). */
  segmentBytesDefault: 128 * MiB,
  /** Least bound on the bytes of an event hub: it holds some of the largest batches of devices. */
  retentionBytesMin: 1 * MiB,
  /**
   * Share of the bytes that an event log has and its disk has free, which it may take where no bound is set: the rest is for
   * tables, files, and what else is on the disk. Monitoring has a stream of its own, and less to say.
   */
  retentionDiskShare: 0.75,
  monitoringDiskShare: 0.1,
  /** Segments that a log bounded by size has at least, so that what is deleted at a time is a small part of it. */
  segmentsPerRetentionMin: 8,
  segmentBytesMin: 64 * KiB,
  /** Bytes of records that wait for the disk before doors stop reading their sockets. */
  writerBytesMax: 16 * MiB,
  /** Bytes of one batch on disk; a batch is what one sync makes durable. */
  batchBytesMax: 8 * MiB,
  /**
   * The disk rests so long after a commit while fewer bytes wait, so that a trickle of messages does not cost a sync each
   * (`docs/performance.md`). More than the bound waits under load, where every commit carries many messages anyway.
   */
  commitRestMs: 1,
  commitRestBytesMax: 12 * KiB,
  /** Journal between two entries of the sparse index, which is what a reader that is behind takes from the disk at once. */
  journalExtentBytes: 256 * KiB,
  /** Shortest age at which a segment is closed; else every restart of a short retention would make many. */
  segmentAgeMsMin: 60 * SECOND_MS,
  /**
   * Sequence numbers by which a partition's ceiling goes up at a time, which costs a sync: at half a million events a second
   * every half minute.
   */
  sequenceStep: 2 ** 24,
  /**
   * Events age in the time that the hub has seen pass (`running-time.ts`). From such a step on the clock has jumped: more than
   * clocks drift, or are slewed, between two looks.
   */
  clockJumpMs: 10 * SECOND_MS,
  clockLookMs: 10 * SECOND_MS,
  /** For so long a clock has to go without a jump before it is believed how long the hub did not run: NTP is done by then. */
  clockFirmMs: HOUR_MS,
  /** How long after a jump the health shows it. */
  clockJumpShownMs: HOUR_MS,
  /** Time between two checks of retention. */
  retentionCheckMs: 60 * SECOND_MS,
  /** Time between two attempts to take records again after the disk has failed. */
  journalRetryMs: 1 * SECOND_MS,
  /** Bytes of the newest batches kept for readers that follow the end of the log. */
  tailCacheBytesMax: 16 * MiB,
  /** Bytes of extents kept for readers that are behind, shared by all of them. */
  extentCacheBytesMax: 32 * MiB,
  /** Least bytes of a piece of memory for events that is used again (`base/buffer-pool.ts`). */
  runMemoryBytesMin: 16 * KiB,
  /** Bytes of memory for events that nobody looks at and that waits to be used again, of one event hub. */
  runMemoryFreeBytesMax: 8 * MiB,
  /** The same of buffers for deliveries, on one thread. */
  deliveryBufferBytesMin: 4 * KiB,
  deliveryBuffersFreeBytesMax: 4 * MiB,
  /** Bytes of frames kept for other readers at the same place, on one thread. */
  deliveryPiecesBytesMax: 8 * MiB,
  /**
   * Time of a thread for readers of events: so many times what all else in it has taken meanwhile, between these bounds
   * (`protocols/amqp/back-ends/delivery-turns.ts`).
   */
  deliveryShareMax: 0.5,
  deliveryTurnMsMin: 0.25,
  deliveryTurnMsMax: 10,
  /** Extents that one read looks into: a partition with little traffic is spread thin, and an answer must not take long. */
  extentsPerReadMax: 8,
  /** Extents read at the same time: commits need a thread of the four that do file work. */
  extentReadsMax: 2,
  /** Finished segments whose file is open, and whose index is in memory, for readers that are behind. */
  segmentsOpenMax: 16,
  /** Consumer groups of an event hub (service: 20). */
  consumerGroupsMax: 20,
  consumerGroupCharsMax: 50,
  /** Service: receivers without an epoch on one partition and consumer group. */
  receiversPerPartitionMax: 5,
  /** Bytes of events that one reader may have encoded and not yet taken by its socket. */
  readerBytesMax: 1 * MiB,
  /**
   * How far behind its last numbers a restored event log goes on: so many, for clocks that are wrong, and so many more for each
   * second since the backup, which is above what one partition can take. So a second restore of one backup goes on behind
   * all that a hub of the first one can have given.
   */
  restoredSequenceStep: 2 ** 40,
  restoredSequencesPerSecond: 2 ** 20,
  /** Numbers from here on are not given by a restore: those behind them last for longer than any hub does. */
  restoredSequenceMax: 2 ** 52,
} as const;

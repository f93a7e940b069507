import { KiB, MiB, SECOND_MS } from './units.ts';

export const kafkaLimits = {
  /** How long a broker may take for the connection, its TLS and its login together. */
  kafkaConnectMs: 10 * SECOND_MS,
  /** How long a leader waits for its replicas before it says that it does not know (error 7). */
  kafkaAcknowledgeMs: 5 * SECOND_MS,
  /** How long the hub waits for the answer to a request beyond what the broker itself may wait. */
  kafkaAnswerMs: 3 * SECOND_MS,
  /** Who has waited so long for an answer asks who leads now. */
  kafkaSlowMs: SECOND_MS / 2,
  /**
   * How long a batch may wait to be taken. A broker that dies costs seconds, until the others go on without it; the doors stop reading
   * meanwhile. What takes longer is refused, so that devices try elsewhere or later.
   */
  kafkaDeliveryMs: 60 * SECOND_MS,
  /** How long who reads waits for a broker that can answer: while brokers choose a new leader none does. */
  kafkaReadMs: 15 * SECOND_MS,
  /** An answer that says to be longer is not believed: the largest fetch, and a batch that is larger than was asked for. */
  kafkaAnswerBytesMax: 32 * MiB,
  /** Bytes of answers that were read and wait to be used again, of one connection. */
  kafkaAnswersFreeBytesMax: 4 * MiB,
  /** Of what is committed at a time, and so of a record batch, as topics must allow it. */
  kafkaBatchBytesMax: 4 * MiB,
  /** What a batch of another program may become when it is inflated, and about those of one answer; the hub's own are not compressed. */
  kafkaInflatedBytesMax: 64 * MiB,
  /** Of what an answer brings, as the log's records: short records of another program are twenty times as long then. The rest is read anew. */
  kafkaChunkLaidOutBytesMax: 64 * MiB,
  /** Bytes of one partition that a fetch asks for at least: a batch is fetched as a whole, however little a reader wants of it. */
  kafkaFetchBytesMin: 512 * KiB,
  /** Of all partitions in one answer, while news is waited for. */
  kafkaFollowBytesMax: 4 * MiB,
  /** How long a broker waits for news before it answers that there is none; who begins to watch meanwhile waits for that. */
  kafkaFollowMs: SECOND_MS / 2,
  /** Events of a log that are kept as they were read last, for further readers. */
  kafkaChunkBytesMax: 32 * MiB,
  /** Heads of records that are kept for the next one of the same device, each at a place that its id says. */
  kafkaHeadsMax: 16_384,
  /** Of the headers that such a head is kept for. */
  kafkaHeadBytesMax: 4 * KiB,
  /** Bytes of one message of a login; a server's first message of SCRAM has about 100. */
  kafkaLoginBytesMax: 4 * KiB,
  /** A server that asks for more rounds of SCRAM would keep the hub's processor busy; servers have 4,096 to 16,384 by default. */
  kafkaScramRoundsMax: 1_000_000,
  /** Numbers without events that one batch of `data export` takes up: it is 4 MB before it is compressed, which a broker inflates. */
  exportFillerRecords: 400_000,
  /** Of such numbers in a whole event hub: a broker takes some millions a second. Where there are more, events get new numbers. */
  exportFillersMax: 500_000_000,
  /** Of one partition that `data export` reads at a time. */
  exportReadBytes: MiB,
} as const;

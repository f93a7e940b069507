/** The tables, presence, listener threads, and the process as a whole. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

export const serverLimits = {
  /** Calls that wait for the answer of one connected device: each keeps its request until then. */
  deviceCallsMax: 32,
  /** Claims to places of one batch: a store's transaction with so many takes some milliseconds. */
  placeClaimsMax: 256,
  /** How long claims wait for the batch before theirs; then they go beside it, which costs a transaction of their own. */
  placeClaimPatienceMs: 50,
  /** Claims that are not answered, of all connections: a store that hangs is waited for by so many, each with its connection. */
  placeClaimsWaitingMax: 50_000,
  /** Batches of claims that are not answered: each is a connection to the store. */
  placeBatchesMax: 16,
  /** How soon places are freed again where that has failed, and of how many connections it is remembered; a node that leaves frees all. */
  placesFreeAgainMs: 5 * SECOND_MS,
  placesUnfreedMax: 50_000,
  /** Numbers of connections whose claims had no answer: the database can carry such a claim out for `postgresStatementMs`. */
  placesLostMax: 100_000,
  /** How long the start looks at the tables: after a stop that left them unfinished, and otherwise. */
  tablesLookUncleanMs: 60 * SECOND_MS,
  tablesLookMs: 2 * SECOND_MS,
  /**
   * Looks through the tables of a hub that runs: when the first one begins, how long one reads at most (the next goes on), how
   * long it rests for each millisecond of reading, and when one that hangs is ended.
   */
  tablesFirstLookMs: 60 * SECOND_MS,
  tablesBackgroundLookMs: 60 * SECOND_MS,
  tablesBackgroundRests: 4,
  tablesBackgroundEndMs: 30 * 60 * SECOND_MS,
  /** What counts of the time between two runs at most, so that a clock that is wrong for good costs no more than this. */
  offTimeMsMax: 12 * HOUR_MS,
  /** Time between two writes of the running time: what a crash forgets of it. A card of a small board bears it. */
  runningTimeKeptMs: 10 * 60 * SECOND_MS,
  /** Marks of age that are kept for an event log in one retention time, and in all. */
  ageMarksPerRetention: 48,
  ageMarksMax: 200,
  /** Room that the data folder keeps for a start on a full disk: tables and monitoring write less than this in a start. */
  diskReserveBytes: 4 * MiB,
  /** How often the hub looks whether the reserve has to be made again. */
  diskReserveLookMs: 60 * SECOND_MS,
  /** Identities without a connection whose last activity presence keeps in memory. */
  presenceMemoryMax: 200_000,
  /** Connections of one hub to PostgreSQL; measured, sixteen commit three times as often as one. */
  postgresConnectionsMax: 16,
  /** The same for queries alone, which may take seconds. */
  postgresQueryConnectionsMax: 2,
  /** Statements that have a name: each connection of the server keeps the parsed ones, some ten KB each. */
  postgresStatementNamesMax: 250,
  /** Questions of one kind, and releases of places, that go in one statement: some milliseconds of the server. */
  postgresBatchMax: 256,
  /** Such statements of one kind on their way at a time; what comes meanwhile is collected for the next. */
  postgresBatchesMax: 2,
  /** How often an operation is tried that PostgreSQL has taken back because two of them waited for each other. */
  postgresAttemptsMax: 5,
  postgresConnectMs: 10 * SECOND_MS,
  /** How long a statement may wait for others and run; a server that has said nothing for twice as long is given up. */
  postgresStatementMs: 30 * SECOND_MS,
  /** How long a transaction may stand still between two statements, with its locks; shorter than the lease of a node, whose devices others take over. */
  postgresIdleMs: 5 * SECOND_MS,
  /** How often a node asks the database for its time: its own monotonic clock is off by some milliseconds by then. */
  databaseClockMs: 30 * SECOND_MS,
  /** Table operations that wait for the store's thread before more are refused. */
  tableQueueMax: 10_000,
  /**
   * Calls of clients that are under way, each one or a few operations of the tables: of all (a quarter of them only for those who have
   * at most `callsReservedPerShare`), of one device with its modules, of the holders of one policy; and how many more of one wait.
   */
  callsMax: 8000,
  callsReservedPerShare: 16,
  callsPerDeviceMax: 64,
  callsPerPolicyMax: 1024,
  callsWaitingPerDeviceMax: 512,
  callsWaitingPerPolicyMax: 4096,
  /** Rows that the table operations of one commit touch, about: some milliseconds of the store's thread. */
  tableBatchRowsMax: 512,
  /** Calls of one commit that read or write a whole twin, and the time after which those of them that have not begun wait for the next. */
  tablePatientCallsMax: 16,
  tableBatchMs: 8,
  /** Durable MQTT sessions are kept this long after the device was last seen. */
  subscriptionIdleMs: 14 * 24 * HOUR_MS,
  /** Least share of `writerBytesMax` and `batchBytesMax` that a listener thread has: some of the largest messages. */
  threadWriterBytesMin: 1 * MiB,
  /** Batches of a listener thread on their way to the journal at the same time. */
  threadCommitsMax: 4,
  /** Bytes for which a listener thread sends a batch beside those on their way: less is not worth the hop. */
  threadCommitBytesMin: 256 * KiB,
  /** How late the main thread may hear how many connections a listener thread has. */
  threadCountsMs: 500,
  /** How late presence may hear that a connection of a listener thread is active. */
  presenceTouchMs: 1 * SECOND_MS,
  /** Listener threads: more than a machine for this program has cores. */
  threadsMax: 64,
  /** Time until a listener thread that has died is started again: doubled with each death in a row, up to the longest. */
  threadRestartMsMin: 100,
  threadRestartMsMax: 30 * SECOND_MS,
  /** A listener thread that has lived this long begins again with the shortest time. */
  threadStableMs: 60 * SECOND_MS,
  /** How long a change of an identity waits for a listener thread that does not say that it has heard of it. */
  threadToldMsMax: 2 * SECOND_MS,
  /** One packet between nodes: as much as a call carries at most, a batch of events among it. */
  memberFrameBytesMax: 16 * MiB,
  /** What waits for a node that does not read, before its link is given up. */
  memberUnsentBytesMax: 64 * MiB,
  /** How often a member is asked whether it runs, and after how many questions without an answer it is given up: ten to twelve seconds. */
  memberBeatMs: 2 * SECOND_MS,
  memberSilentBeatsMax: 5,
  /** How long a listener thread may take until its doors are open: a small board that is busy needs some seconds. */
  threadStartMs: 60 * SECOND_MS,
  /** How long a listener thread may take to end by itself before it is ended. */
  threadEndMs: 2 * SECOND_MS,
  /** Calls that wait for the answer of one member (a thread, a node); those that end a connection or ask whether it runs go beside. */
  threadCallsMax: 10_000,
  /** What the tables write to see whether there is room again: as much as the largest command. */
  tablesRoomBytes: 128 * KiB,
  /** Bytes that a backup copies between two syncs: a longer one would make the event log's own wait. */
  backupStepBytes: 4 * MiB,
  /** Share of the disk that should be free. */
  diskFreeShareMin: 0.05,
  /** Time before the end of a certificate from which it is told; one of ours is renewed long before. */
  certificateWarnMs: 14 * 24 * HOUR_MS,
  /** The same for the hub's own CA: devices must be told of its successor first. */
  authorityWarnMs: 90 * 24 * HOUR_MS,
  /** How long a change of presence waits for others before it is written; a crash within it forgets the change. */
  presenceFlushMs: 20,
  /** So long after a write of presence that failed it is tried again, with what has changed meanwhile. */
  presenceAgainMs: 2 * SECOND_MS,
  /** Rows of one write of presence; with it, how long the tables' thread is held. */
  presenceBatchMax: 500,
  /** How exact the stored last activity of a connected device is; exact while the hub runs and when it disconnects. */
  presenceActivityMs: 60 * SECOND_MS,
  /** How long the stop signal waits for connections to drain, and how long an operator may make that. */
  drainMs: 10 * SECOND_MS,
  drainMsMax: 300 * SECOND_MS,
} as const;

/** Files of devices. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

export const filesLimits = {
  /** Characters and segments of a file's name (service: 1,024 characters). */
  fileNameCharsMax: 1024,
  fileNameSegmentsMax: 64,
  /** Characters of a signed URL's query: ours has 200, with a block id and what libraries add 600. A stranger may send it. */
  fileQueryCharsMax: 2048,
  /** Service: largest file that a device uploads by the SDKs' defaults is far smaller; ours is a setting, and so are the next. */
  fileBytesMax: 4 * 1024 * MiB,
  filesBytesMax: 64 * 1024 * MiB,
  fileBytesPerDeviceMax: 16 * 1024 * MiB,
  /** Files of one device: each is an entry of one folder. */
  filesPerDeviceMax: 10_000,
  /** Service: uploads that one device may have open, and how long a signed URL for one is good. */
  fileUploadsOpenMax: 10,
  fileUploadMs: HOUR_MS,
  /** Uploads that one device may begin per second in the long run, and at once. */
  fileUploadsPerSecond: 10,
  fileUploadsAtOnceMax: 200,
  /** Service: how long back ends may take to fetch and to settle a notification of an upload, and how often one comes back. */
  fileNotificationTtlMs: HOUR_MS,
  fileNotificationLockMs: 60 * SECOND_MS,
  fileNotificationDeliveryCountMax: 100,
  /** Service: blocks of one file, and bytes of a block list that names as many. */
  fileBlocksMax: 50_000,
  /** Service: blocks of one file that are staged, replaced ones included. */
  fileBlocksStagedMax: 100_000,
  /** Files of one device of which blocks are staged: each is a folder, which the device leaves behind by beginning another upload. */
  fileUnfinishedPerDeviceMax: 1000,
  /** Blocks of those of one device together, and of all: each takes some 150 bytes of memory. */
  fileBlocksPerDeviceMax: 200_000,
  fileBlocksInAllMax: 4_000_000,
  fileBlockListBytesMax: 8 * MiB,
  /** Bytes of block lists that are being read, of all devices together; one device has those of one list at most. */
  fileBlockListsBytesMax: 64 * MiB,
  /** Service: decoded bytes of a block's id. */
  fileBlockIdBytesMax: 64,
  /** Bytes of a file that are read or written at once, and those of such pieces that wait to be used again. */
  filePieceBytes: 256 * KiB,
  filePiecesFreeBytesMax: 8 * MiB,
  /** Bytes of an index of blocks that are read and parsed at once: some 400 lines. */
  fileIndexPieceBytes: 64 * KiB,
  /** Bytes of a file that is removed that are freed at once: meanwhile the journal's syncs wait. */
  fileDiscardBytes: 8 * MiB,
  /** After how many bytes the disk is synced while more come. */
  fileSyncBytes: 8 * MiB,
  /** Work on files that is with the disk at a time: the journal needs a thread of the runtime's four. */
  fileWorkAtOnceMax: 2,
  /** Share of the disk that files leave free: the event log needs it. */
  filesDiskReserveShare: 0.05,
  /** How often files are counted anew that other nodes store and remove, too. */
  fileUsageCountMs: HOUR_MS,
  /** How long blocks are kept after their upload's time was over. */
  stagedBlocksKeptMs: HOUR_MS,
  /** Uploads and notifications that one sweep ends, and how often it comes. */
  sweepFilesMax: 500,
  sweepFilesMs: 30 * SECOND_MS,
  /** Bytes of a file that is refused that are read and dropped, so that the client reads the answer: a block of most libraries. */
  fileRefusedBytesMax: 8 * MiB,
  /** The same of a client whose signed URL is not good. */
  fileRefusedUnprovedBytesMax: 256 * KiB,
  /** For so long a client that sends more than that may still read the answer. */
  fileRefusedLingerMs: 5 * SECOND_MS,
  /** Longest time for which a device may be let fetch a file; the setting's default. */
  fileGrantMsMax: 30 * 24 * HOUR_MS,
  /** Files that one device may be let fetch at a time, and devices of one request to let them. */
  fileGrantsPerDeviceMax: 100,
  fileGrantsPerRequestMax: 1000,
  /** Rollouts of files that run at a time, devices of one, and devices of one of its waves. */
  rolloutsRunningMax: 20,
  rolloutDevicesMax: 10_000,
  rolloutWaveMax: 1000,
  /** How often rollouts are carried on. */
  rolloutStepMs: 1 * SECOND_MS,
  /** Devices of which it is asked then how far they are, of all rollouts together: the next step asks of the next ones. */
  rolloutLooksMax: 200,
  /** How often monitoring is told of one grant while the device fetches, and of how many it is known when that was. */
  fileFetchedEveryMs: 10 * SECOND_MS,
  fileFetchesRememberedMax: 100_000,
  /** How long the receipt of a file is kept after its grant was over. */
  fileReceiptsKeptMs: 30 * 24 * HOUR_MS,
  /** Grants or files in one page of a list. */
  fileListPageMax: 1000,
  /** Of an object store over HTTP: connections, tries of one request, the first pause between them (each is four times the last). */
  fileStoreConnectionsMax: 32,
  fileStoreTriesMax: 3,
  fileStorePauseMs: 250,
  /** Silence of such a store before a try counts as failed. */
  fileStoreSilenceMs: 20 * SECOND_MS,
  /** The same while it puts the parts of a large object together. */
  fileStoreJoinMs: 5 * 60 * SECOND_MS,
  /** How often uploads in parts are looked for that a crash has left. */
  fileStoreLeftEveryMs: 10 * 60 * SECOND_MS,
  /** Bytes of an answer that is read whole: a list of 1,000 objects with the longest names. */
  fileStoreAnswerBytesMax: 16 * MiB,
  /** Bytes of a file that such a store takes in one request, and of each of its parts where there are more; parts have at least 5 MiB. */
  fileStoreWholeBytesMax: 32 * MiB,
  fileStorePartBytes: 16 * MiB,
  /** Files that are sent to such a store at a time, and parts of one. */
  fileStorePutsMax: 8,
  fileStorePartsAtOnceMax: 3,
  /** Requests at a time that one call makes of such a store, and objects in one page of its lists. */
  fileStoreWorkAtOnceMax: 8,
  fileStorePageMax: 1000,
  /** Silence of a client in the middle of a file, before the connection is ended. */
  fileSilenceMs: 60 * SECOND_MS,
  /** The same of a client that takes nothing of what it is sent: the slowest of radios gets a piece through in that time. */
  fileNotTakenMs: 5 * 60 * SECOND_MS,
  /** How often it is asked whether a transfer that has begun may go on. */
  fileMayGoOnMs: 5 * SECOND_MS,
} as const;

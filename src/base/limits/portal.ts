/** The portal on the admin port. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

export const portalLimits = {
  /** Sessions of one policy; the one that was used longest ago ends for a new one. */
  portalSessionsPerPolicyMax: 32,
  /** A session ends when it has asked for nothing for so long and no stream of it is open, and at last in any case. */
  portalSessionIdleMs: HOUR_MS,
  portalSessionMs: 12 * HOUR_MS,
  /** One-time links that are not used: the one of the start, and those that the operator asks for. */
  portalCodesMax: 16,
  portalStartCodeMs: HOUR_MS,
  portalCodeMs: 10 * 60 * SECOND_MS,
  /** What a page shows to open a session: a connection string at most. */
  portalLoginBytesMax: 4 * KiB,
  /** Bytes of the page's files together; more is no portal. */
  portalFilesBytesMax: 8 * MiB,
  portalFilesMax: 64,
  /** How often the hub looks whether the page has been built anew, when it is asked for. */
  portalLookMs: 2 * SECOND_MS,
  /** Header lines of the page's own that a request may carry: cookies of other programs on this machine come with it. */
  portalCookieCharsMax: 8 * KiB,
  /** Cookies of the session's name that are tried: another program of this machine may have set one, too. */
  portalCookiesTriedMax: 4,
  /** Live streams of pages, and those of one session: browsers keep one for all of their tabs. */
  portalStreamsMax: 64,
  portalStreamsPerSessionMax: 8,
  portalTopicsMax: 16,
  portalTopicsBytesMax: 8 * KiB,
  /** How often a stream is told what has come since: a page that draws four times a second draws all of it. */
  portalTickMs: 250,
  /** Messages of a device, or of all devices, and monitoring events, that are shown in one tick; others are counted as left out. */
  portalEventsPerTickMax: 50,
  /** Newest monitoring events among which those are summed that a page begins with. */
  portalRecentEventsLookedMax: 2000,
  /** Bytes of a body that are shown. */
  portalBodyBytesMax: 16 * KiB,
  /** Bytes that are read of one partition in a tick; where more has come, the stream goes on at its end. */
  portalReadBytesMax: 1 * MiB,
  /** Messages before the end of a partition among which a stream that begins looks for those of its device, and how many it shows. */
  portalRecentRecordsMax: 2000,
  portalRecentMax: 20,
  portalRecentReadsMax: 8,
  /** Bytes that a stream may leave unread: nothing more is written then; and how long, before it is ended. */
  portalStreamBytesMax: 1 * MiB,
  portalStreamStuckMs: 30 * SECOND_MS,
  /** Devices that run in pages: of one session and in all; what one may have unanswered, and the largest message, as JSON. */
  portalDevicesPerSessionMax: 16,
  portalDevicesMax: 64,
  portalDeviceOpenMax: 32,
  portalDeviceCommandsMax: 8,
  portalDeviceMessageBytesMax: 512 * KiB,
  /** The end of the monitoring stream that is looked through for one device, in records, what is answered, and how many may wait for it. */
  deviceEventsLookedMax: 20_000,
  deviceEventsMax: 200,
  deviceEventsDefault: 50,
  deviceEventsWaitingMax: 16,
  /**
   * Devices in each list of those to look at first; for how long an answer is given again, at least and in times of what it has taken;
   * and how often the fleet is looked at for one list.
   */
  worstDevicesMax: 10,
  worstDevicesKeptMs: 30 * SECOND_MS,
  worstDevicesRestFactor: 50,
  worstDevicesLooksMax: 8,
  /** Who has been active since is not silent. */
  silentDeviceMsMin: 10 * 60 * SECOND_MS,
  /** Identities that one change of many may name; more are named by a condition. And such changes under way, of all and of the holders of one policy. */
  bulkChangeIdsMax: 10_000,
  bulkChangesMax: 4,
  bulkChangesPerPolicyMax: 3,
  /** Changes that are shown and kept after their end, and of each the failures that are named. */
  bulkChangesKeptMax: 20,
  bulkChangeFailuresMax: 50,
  /** Of what a change keeps on the disk; a file that is longer is not this hub's. */
  bulkChangeFileBytesMax: 32 * MiB,
  portalHeartbeatMs: 15 * SECOND_MS,
  /** Steps of one chart. */
  historyPointsMax: 2000,
} as const;

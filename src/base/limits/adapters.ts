/** Adapters and their hosts. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const adaptersLimits = {
  /** Adapters of one hub: each is a process. */
  adaptersMax: 16,
  /** Characters of an adapter's name, and of what names a device outside (a topic, a Dev EUI). */
  adapterNameCharsMax: 32,
  adapterAddressCharsMax: 200,
  /** Characters of a message's content type, and of its content encoding. */
  adapterContentTypeCharsMax: 1024,
  /** Open connections of a listener of an adapter, and of one address there, unless the adapter asks for other bounds. */
  adapterConnectionsMax: 1000,
  adapterConnectionsPerAddressMax: 100,
  /** Until a TLS handshake at such a listener is done. */
  adapterHandshakeMs: 10 * SECOND_MS,
  /** What waits in the socket of a peer that does not read, before the connection is ended. */
  adapterOutputBytesMax: 1 * MiB,
  /** How long a connection that the adapter has ended may take to read its last bytes. */
  adapterLingerMs: 2 * SECOND_MS,
  /** How often silence and output of an adapter's connections are looked at. */
  adapterSweepMs: 1 * SECOND_MS,
  /** Datagrams of all peers and of one address in a second, unless the adapter asks for other bounds; and addresses told apart in it. */
  adapterDatagramsPerSecond: 20_000,
  adapterDatagramsPerAddressPerSecond: 1000,
  adapterDatagramAddressesMax: 10_000,
  /** Before the key exchange of a TLS client that proves a pre-shared key: a ClientHello and a ClientKeyExchange are a few hundred. */
  adapterPskHandshakeBytesMax: 64 * KiB,
  /** Facts that an adapter keeps, and the bytes of one. */
  adapterMemoryKeysMax: 10_000,
  adapterMemoryValueBytesMax: 64 * KiB,
  adapterMemoryKeyCharsMax: 256,
  /** Names of numbers that an adapter counts by itself. */
  adapterMetricsMax: 100,
  /** Sessions of one adapter at a time. */
  adapterSessionsMax: 100_000,
  /**
   * A frame between an adapter's process and the hub: one message of the largest kind with its properties, a twin, or the answer to a
   * method.
   */
  adapterFrameBytesMax: 1 * MiB,
  /** Frames that wait to be read by the adapter's process, before the hub reads nothing more of it. */
  adapterLinkBytesMax: 4 * MiB,
  /**
   * How long an adapter's process gathers messages for one write while others are on their way to the hub's disk, and how many bytes: the
   * hub's log gathers them too while a batch is being synced, so what comes meanwhile would wait there.
   */
  adapterGatheringMs: 1,
  adapterGatheredBytesMax: 32 * KiB,
  /** Heads of a session's messages (topic, properties, content type) that are kept as they are written: a device has few kinds of messages. */
  adapterHeadsKeptMax: 4,
  /** Messages of one adapter that wait for the disk before its process is not read, and what they may hold. */
  adapterInflightMax: 8192,
  adapterInflightBytesMax: 16 * MiB,
  /** Logins of one adapter that are judged at a time; further ones are told to come again. */
  adapterLoginsMax: 1000,
  /** Messages of a session that is slowed and sends on: those that were on their way. */
  adapterSlowedMessagesMax: 1000,
  /** Questions of one session (twin, reports) that wait for the store. */
  adapterQuestionsMax: 64,
  /** A part of a file that an adapter reads or writes at once; and how many parts of all its devices are under way. */
  adapterFilePartBytesMax: 64 * KiB,
  adapterFilePartsMax: 64,
  /** Messages of one adapter in a second, of all its devices, unless the operator says otherwise; and how many at once. */
  adapterMessagesPerSecond: 50_000,
  /** Everything else that an adapter says in a second: logins, settlements, questions, lines of its log. */
  adapterWordsPerSecond: 20_000,
  /** Memory of an adapter's process, unless the operator says otherwise: its heap, and everything together. */
  adapterMemoryMiB: 512,
  /** How often an adapter's process is asked whether it lives, and how long it may be silent. */
  adapterPingMs: 2 * SECOND_MS,
  adapterSilenceMs: 15 * SECOND_MS,
  /** How long an adapter may take until it serves devices. */
  adapterStartMs: 30 * SECOND_MS,
  /** Pauses before an adapter that has ended is started again: doubled from the first to the last; anew after so long a life. */
  adapterPauseMsMin: 1 * SECOND_MS,
  adapterPauseMsMax: 60 * SECOND_MS,
  adapterLifeMs: 60 * SECOND_MS,
  /** Lines of an adapter's log in a second; further ones are counted. */
  adapterLogLinesPerSecond: 50,
  /** Characters of what stands beside the text of such a line. */
  adapterFactsCharsMax: 4096,
  /** Last words of an adapter's process that are kept. */
  adapterLastWordsCharsMax: 1024,
  /** Devices that an adapter may bring into the registry on sight, in a second and in all, unless the operator says otherwise. */
  adapterCreatedPerSecond: 10,
  adapterCreatedMax: 1000,
  /** How long a shared key is kept by an adapter's host, for the handshakes of one device. */
  adapterKeyKeptMs: 60 * SECOND_MS,
  adapterKeysKeptMax: 10_000,
} as const;

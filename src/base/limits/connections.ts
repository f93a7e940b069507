/** Connections, TLS and WebSockets, whatever they carry. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

export const connectionsLimits = {
  /**
   * Connections on which no client has proved yet who it is. A TLS handshake takes 2 to 3 ms, so those of honest devices
   * that all come back at once are through in half of `unprovedSlowMs`.
   */
  unprovedConnectionsMax: 2048,
  /** Age from which an unproved connection gives its place to a newer one. */
  unprovedSlowMs: 10 * SECOND_MS,
  /** Age from which one that has not sent a byte gives its place to a newer one. */
  unprovedSilentMs: 1 * SECOND_MS,
  /** Part of all connections that unproved ones may be: the rest is for those who have proved who they are. */
  unprovedShareMax: 0.75,
  /** Connections by AMQP and HTTP of one device with its modules, on one thread; of more, the oldest ends. SDKs have one or a few. */
  connectionsPerDeviceMax: 32,
  /** Part of all connections that holders of one policy's key may have. */
  connectionsPerPolicyShareMax: 0.5,
  /** Connections of the admin port: people, scrapers and followers of events on this machine. */
  adminConnectionsMax: 128,
  /** Connections that the system has made and that wait to be accepted. */
  listenBacklogMax: 511,
  /** TLS handshakes that begin in one turn of the loop: 10 ms with an ECDSA key. */
  tlsHandshakesPerTurn: 4,
  /**
   * Bytes of a TLS handshake beyond which it counts as large: a chain of five certificates and a session ticket have 10 KiB. What the
   * client sends right behind its handshake counts too, so large ones are not refused, but few are kept while nothing is proved.
   */
  tlsHandshakeBytesMax: 12 * KiB,
  /** Large ones on which no client has proved yet who it is, of one port and thread: up to 1.1 MiB each, measured. */
  tlsLargeHandshakesMax: 32,
  /** How often handshakes under way are looked at for it. */
  tlsHandshakeCheckMs: 100,
  /** Renegotiations that a client of TLS 1.2 may ask for within ten minutes; no SDK does. */
  tlsRenegotiationsMax: 1,
  /** By how many an address has more of them than another before they give their places to those of the other. */
  unprovedUnfairMin: 16,
  /** File descriptors that connections leave to the event log, the tables and the runtime. */
  descriptorsReserved: 512,
  /** Connections where the system does not say how many files may be open. */
  connectionsUnknownMax: 8192,
  /** Time between two lines of the log about refused connections. */
  connectionWarningMs: 10 * SECOND_MS,
  /** Bytes of a WebSocket on which no client has proved who it is: what MQTT and AMQP take before that, and frames. */
  websocketUnprovedBytesMax: 80 * KiB,
  /** Time between two lines of the log about failed handshakes of one address and reason, and how many of such pairs are told apart. */
  handshakeWarningMs: 60 * SECOND_MS,
  handshakeFailuresToldMax: 256,
  /** Seconds from the accepted socket to a complete CONNECT, AMQP open or HTTP header. */
  handshakeMs: 30 * SECOND_MS,
  /** Largest WebSocket message: a client may put all that it has to say at once into one, several packets or frames. */
  websocketMessageBytesMax: 1 * MiB,
  /** Fragments of one WebSocket message, each of which the library keeps by itself. SDKs send messages whole. */
  websocketFragmentsMax: 256,
  /** Chunks of the socket that one WebSocket frame may be spread over: the largest message in segments of 512 bytes. */
  websocketChunksMax: 2048,
  /** What a chunk that is kept costs beside its bytes; before a client has proved who it is, it counts. */
  websocketChunkBytes: 128,
  /** How long the hub waits for the peer's answer to its WebSocket close. */
  websocketCloseMs: 2 * SECOND_MS,
  /** How long session tickets are sealed with the same keys, where listener threads share them. */
  ticketKeysMs: 24 * HOUR_MS,
} as const;

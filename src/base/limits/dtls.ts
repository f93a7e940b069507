/** DTLS. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, SECOND_MS } from './units.ts';

export const dtlsLimits = {
  /** Records that are read of one datagram; a flight of a client's has four. */
  dtlsRecordsPerDatagramMax: 8,
  /** A handshake message: a ClientHello of the field has 60 to 500 bytes, the others fewer. */
  dtlsHandshakeBytesMax: 2 * KiB,
  /** Handshake messages that may come before the one that is awaited, because datagrams overtake each other. */
  dtlsHandshakeAheadMax: 4,
  dtlsSuitesMax: 128,
  dtlsExtensionsMax: 32,
  /** RFC 4279 section 5.3 wants 128 to be possible; a device id and a module id with `/` between have 257. */
  dtlsIdentityBytesMax: 257,
  /** Handshakes under way behind a valid cookie, all together and of one address; more ClientHellos are dropped, and come again. */
  dtlsHandshakesMax: 1024,
  dtlsHandshakesPerAddressMax: 64,
  /** A handshake that is not complete by then is forgotten. */
  dtlsHandshakeMs: 30 * SECOND_MS,
  /** First wait for the client's answer to a flight (RFC 6347 section 4.2.4.1), doubled each time. */
  dtlsFlightMs: 1 * SECOND_MS,
  dtlsFlightsMax: 5,
  /** Records under the new keys that wait while the hub is asked for the device's key. */
  dtlsRecordsKeptMax: 4,
  /** Records of a handshake that may be broken: more, and the client has another key. */
  dtlsBrokenRecordsMax: 2,
  /** How long a cookie counts: one to two of these. */
  dtlsCookieMs: 30 * SECOND_MS,
  /** Sessions, all together; the one that was silent longest makes room. About 3 KiB each. */
  dtlsSessionsMax: 20_000,
  /** Of one identity: a device that came back from other ports leaves some behind. Another one ends that which was silent longest. */
  dtlsSessionsPerIdentityMax: 8,
  /** A session that was silent for so long is closed. */
  dtlsSessionIdleMs: 24 * 3600 * SECOND_MS,
  /** How far behind the newest record one may come (RFC 6347 section 4.1.2.6). */
  dtlsReplayWindow: 64,
} as const;

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
} as const;

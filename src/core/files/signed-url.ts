/**
 * Signed URLs of files: the query that lets its bearer read or write one blob until a time. It is made of the names that
 * the emulated service's shared access signatures have, because some storage libraries drop every other parameter and
 * all of them reorder the rest (files reference 0.3, 2.6): so what else must be bound travels within `sig`.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { blanksFolded } from './names.ts';
import type { BlobRight } from './types.ts';

/** The version that the parameters are written in; it must be a date, and means nothing else here. */
const VERSION = '2018-03-28';
const MAC_BYTES = 32;
/** `{correlation id}.{MAC}`, both base64url. */
const SIGNATURE = /^([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{43})$/;

export interface BlobGrant {
  readonly path: string;
  readonly rights: ReadonlySet<BlobRight>;
  /** The upload or download that it was made for. */
  readonly correlationId: string;
  /** UTC milliseconds; whole seconds. */
  readonly expiresAt: number;
}

/** The query of a URL, with the leading `?`, already percent-encoded. @param secret of 32 bytes */
export function signQuery(grant: BlobGrant, secret: Uint8Array): string {
  const sp = spOf(grant.rights);
  const se = isoSeconds(grant.expiresAt);
  const mac = macOf({ path: grant.path, sp, se, correlationId: grant.correlationId }, secret).toString('base64url');
  const sig = `${grant.correlationId}.${mac}`;
  return `?sv=${VERSION}&sr=b&se=${encodeURIComponent(se)}&sp=${sp}&sig=${sig}`;
}

/** The parameters of a query without its `?`; undefined = it is longer than one that the hub has signed can be. */
export function parametersOf(query: string): URLSearchParams | undefined {
  return query.length > limits.fileQueryCharsMax ? undefined : new URLSearchParams(query);
}

/**
 * What the query allows; undefined = it was not signed with this secret for this path, or has ended at `now`. The path is as it
 * came: which of those that it may mean (`isMeant`) it is, the correlation id says.
 */
export function verifyQuery(
  path: string,
  query: URLSearchParams,
  secret: Uint8Array,
  now: number,
): BlobGrant | undefined {
  const [sp, se, sig] = ['sp', 'se', 'sig'].map((name) => single(query, name));
  const signature = SIGNATURE.exec(sig ?? '');
  if (signature === null || sp === undefined || se === undefined) return undefined;
  const [, correlationId, mac] = signature;
  const given = Buffer.from(mac, 'base64url');
  const expected = macOf({ path, sp, se, correlationId }, secret);
  if (given.length !== MAC_BYTES || !timingSafeEqual(given, expected)) return undefined;
  const expiresAt = Date.parse(se);
  if (!(expiresAt > now)) return undefined;
  return { path, rights: rightsOf(sp), correlationId, expiresAt };
}

/** The value of a parameter that stands in the query exactly once. */
function single(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  return values.length === 1 ? values[0] : undefined;
}

function macOf(
  { path, sp, se, correlationId }: { path: string; sp: string; se: string; correlationId: string },
  secret: Uint8Array,
): Buffer {
  // A path holds no line feed, and the others have forms without one. What the path leaves open, the correlation id says.
  return createHmac('sha256', secret)
    .update([blanksFolded(path), sp, se, correlationId].join('\n'))
    .digest();
}

function spOf(rights: ReadonlySet<BlobRight>): string {
  return `${rights.has('read') ? 'r' : ''}${rights.has('write') ? 'w' : ''}`;
}

function rightsOf(sp: string): ReadonlySet<BlobRight> {
  return new Set<BlobRight>([
    ...(sp.includes('r') ? ['read' as const] : []),
    ...(sp.includes('w') ? ['write' as const] : []),
  ]);
}

/** `2026-07-30T06:11:10Z`: without fractions, as SDKs know it. */
function isoSeconds(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}

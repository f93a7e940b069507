/** Headers of blob requests and answers -> what they mean, and back. No sockets, no decisions. */
import type http from 'node:http';
import { BlobError } from '../../../core/files/blob-error.ts';
import type { ByteRange, Condition, ObjectFacts } from '../../../core/files/object-store.ts';
import { unquoteETag } from '../addresses.ts';

const DEFAULT_TYPE = 'application/octet-stream';
const TYPE_CHARS_MAX = 256;

type Headers = http.IncomingHttpHeaders;

export function conditionOf(headers: Headers): Condition {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  return {
    ...(ifMatch !== undefined && { ifMatch: unquoteETag(ifMatch) }),
    ...(ifNoneMatch !== undefined && { ifNoneMatch: unquoteETag(ifNoneMatch) }),
  };
}

/** The type that the file is kept with: what is said of the blob, else of the request. @throws BlobError InvalidHeaderValue */
export function contentTypeOf(headers: Headers, isBlobBody: boolean): string {
  const stated = single(headers['x-ms-blob-content-type']) ?? (isBlobBody ? headers['content-type'] : undefined);
  const type = stated?.trim() || DEFAULT_TYPE;
  // It is sent back as a header.
  if (type.length > TYPE_CHARS_MAX || !/^[\x20-\x7e]+$/.test(type)) throw new BlobError('InvalidHeaderValue');
  return type;
}

/** @throws BlobError InvalidHeaderValue */
export function sumsOf(headers: Headers): { readonly md5?: string; readonly crc64?: string } | undefined {
  const md5 = sum(headers['content-md5'], 16);
  const crc64 = sum(headers['x-ms-content-crc64'], 8);
  if (md5 === undefined && crc64 === undefined) return undefined;
  return { ...(md5 !== undefined && { md5 }), ...(crc64 !== undefined && { crc64 }) };
}

/** The sum that is kept with the file. @throws BlobError InvalidHeaderValue */
export function blobMd5Of(headers: Headers): string | undefined {
  return sum(headers['x-ms-blob-content-md5'], 16);
}

function sum(value: string | readonly string[] | undefined, bytes: number): string | undefined {
  const text = single(value);
  if (text === undefined) return undefined;
  const decoded = Buffer.from(text, 'base64');
  // It is kept, and sent back as a header: in the one form that it has.
  if (decoded.length !== bytes || decoded.toString('base64') !== text) throw new BlobError('InvalidHeaderValue');
  return text;
}

function single(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'object' ? value[0] : value;
}

/** Undefined = not stated. @throws BlobError InvalidHeaderValue */
export function lengthOf(headers: Headers): number | undefined {
  const text = headers['content-length'];
  if (text === undefined) return headers['transfer-encoding'] === undefined ? 0 : undefined;
  const bytes = Number(text);
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw new BlobError('InvalidHeaderValue');
  return bytes;
}

/**
 * The part that is asked for; undefined = the whole. One range, as the storage service has it; another unit, several
 * ranges, or one that cannot be read count as none (RFC 9110 section 14.2).
 * @throws BlobError InvalidRange
 */
export function rangeOf(headers: Headers, { bytes, etag, lastModified }: ObjectFacts): ByteRange | undefined {
  const text = single(headers['x-ms-range']) ?? headers.range;
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text?.trim() ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const ifRange = headers['if-range'];
  if (
    typeof ifRange === 'string' &&
    unquoteETag(ifRange) !== etag &&
    Date.parse(ifRange) !== wholeSeconds(lastModified)
  ) {
    return undefined;
  }
  if (match[1] === '') {
    const count = Math.min(Number(match[2]), bytes);
    if (count === 0) throw new BlobError('InvalidRange');
    return { start: bytes - count, end: bytes - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? bytes - 1 : Math.min(Number(match[2]), bytes - 1);
  if (start >= bytes || end < start) throw new BlobError('InvalidRange');
  return { start, end };
}

/** Whether it is the file that the caller wants to go on with (`If-Match`). */
export function isWanted(headers: Headers, { etag }: ObjectFacts): boolean {
  const { ifMatch } = conditionOf(headers);
  return ifMatch === undefined || ifMatch === '*' || ifMatch === etag;
}

/** Whether the caller has this very file already (`If-None-Match`, `If-Modified-Since`). */
export function isUnchanged(headers: Headers, { etag, lastModified }: ObjectFacts): boolean {
  const known = headers['if-none-match'];
  if (known !== undefined) return known.split(',').some((tag) => unquoteETag(tag) === etag || tag.trim() === '*');
  const since = Date.parse(headers['if-modified-since'] ?? '');
  return !Number.isNaN(since) && wholeSeconds(lastModified) <= since;
}

export function factHeaders({ etag, lastModified }: ObjectFacts): Readonly<Record<string, string>> {
  return { ETag: `"${etag}"`, 'Last-Modified': new Date(lastModified).toUTCString() };
}

export function contentHeaders(facts: ObjectFacts, range: ByteRange | undefined): Readonly<Record<string, string>> {
  const { bytes, contentType, md5 } = facts;
  return {
    ...factHeaders(facts),
    'Content-Type': contentType,
    'Content-Length': String(range === undefined ? bytes : range.end - range.start + 1),
    'Accept-Ranges': 'bytes',
    'x-ms-blob-type': 'BlockBlob',
    // A browser that is shown such a URL must not run what a device has uploaded.
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; sandbox",
    ...(md5 !== undefined && (range === undefined ? { 'Content-MD5': md5 } : { 'x-ms-blob-content-md5': md5 })),
    ...(range !== undefined && { 'Content-Range': `bytes ${range.start}-${range.end}/${bytes}` }),
  };
}

function wholeSeconds(time: number): number {
  return Math.floor(time / 1000) * 1000;
}

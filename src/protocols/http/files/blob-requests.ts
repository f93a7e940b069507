/**
 * The blob endpoint: what storage libraries send to a signed URL of the hub, answered as the storage service answers
 * (files reference 2). Bodies stream in both directions and never stand in memory whole, so these requests do not pass
 * through the frame of the management API (`app.ts`).
 */
import type http from 'node:http';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import { type Random, uuid } from '../../../base/random.ts';
import { Shares } from '../../../base/shares.ts';
import { Turns } from '../../../base/turns.ts';
import { HubError } from '../../../core/errors.ts';
import type { Blob } from '../../../core/files/blob.ts';
import { BlobError } from '../../../core/files/blob-error.ts';
import type { Blobs } from '../../../core/files/room.ts';
import { parametersOf } from '../../../core/files/signed-url.ts';
import { FILES_CONTAINER } from '../../../core/files/types.ts';
import { deviceShare } from '../../../core/identity/share-name.ts';
import { awaitsContinue } from '../http-server.ts';
import { readBody } from '../read-body.ts';
import {
  blobMd5Of,
  conditionOf,
  contentHeaders,
  contentTypeOf,
  factHeaders,
  isUnchanged,
  isWanted,
  lengthOf,
  rangeOf,
  sumsOf,
} from './blob-headers.ts';
import { refuseBlob } from './blob-refusal.ts';
import { checkBlockId, readBlockList } from './block-list.ts';
import { sendBody } from './send-body.ts';
import { streamedBody } from './streamed-body.ts';

/** Lists of blocks are taken apart a few in a turn of the loop, as bodies are. */
const turns = new Turns(() => limits.httpBodyBytesPerTurn);

const PREFIX = `/${FILES_CONTAINER}/`;

/** Whether a request target is one of these requests. */
export function isBlobUrl(url: string): boolean {
  return url.startsWith(PREFIX);
}

export interface BlobRequestsParts {
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The request's signed URL is good. @param by whose share it uses (`shareName`) */
  proved(request: http.IncomingMessage, by: string): void;
}

/** @returns a handler that answers every request, and never rejects. */
export function blobRequests(
  parts: BlobRequestsParts,
): (request: http.IncomingMessage, response: http.ServerResponse) => Promise<void> {
  const { blobs, random, log } = parts;
  const shares = blobShares();
  return async (request, response) => {
    const requestId = uuid(random);
    response.setHeader('x-ms-request-id', requestId);
    // Every date counts: the libraries move theirs with each release.
    response.setHeader('x-ms-version', headerText(request.headers['x-ms-version']) ?? '2020-10-02');
    // One that waits for `100 Continue` and is refused has sent nothing, and need not.
    let isSending = !awaitsContinue(request);
    let restBytesMax: number = limits.fileRefusedUnprovedBytesMax;
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    try {
      const { path, query } = addressOf(request.url ?? '');
      const blob = await blobs.blob(path, query);
      const by = deviceShare(blob.bearer);
      parts.proved(request, by);
      restBytesMax = limits.fileRefusedBytesMax;
      if (!shares.requests.take(by)) throw new BlobError('ServerBusy');
      try {
        if (!isSending) response.writeContinue();
        isSending = true;
        await answer(blob, request, response, query, shares);
      } finally {
        // A refused client may go on sending for a while.
        void closed.then(() => shares.requests.give(by));
      }
    } catch (error) {
      const known = error instanceof BlobError ? error : new BlobError('InternalError', undefined, error);
      // Busy without a cause is what the device has in hand itself.
      const isFault = known.code === 'InternalError' || (known.code === 'ServerBusy' && known.cause !== undefined);
      const level = isFault ? 'error' : 'debug';
      log[level](
        { requestId, code: known.code, ...(known.cause !== undefined && { error: known.cause }) },
        'file request refused',
      );
      refuseBlob(known, requestId, request, response, { clock: parts.clock, isSending, restBytesMax });
    }
  };
}

/** What the bearers of signed URLs have in hand, by device: requests, and bytes of block lists, which stand in memory whole. */
interface BlobShares {
  readonly requests: Shares;
  readonly lists: Shares;
}

const blobShares = (): BlobShares => ({
  requests: new Shares({ max: limits.httpRequestsMax, perKeyMax: limits.httpRequestsPerDeviceMax }),
  lists: new Shares({ max: limits.fileBlockListsBytesMax, perKeyMax: limits.fileBlockListBytesMax }),
});

function headerText(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' && /^[\w-]{1,32}$/.test(value) ? value : undefined;
}

/** @throws BlobError InvalidUri */
function addressOf(url: string): { path: string; query: URLSearchParams } {
  const question = url.indexOf('?');
  const encoded = (question === -1 ? url : url.slice(0, question)).slice(PREFIX.length);
  if (encoded.length > limits.httpHeaderBytesMax) throw new BlobError('InvalidUri');
  const query = parametersOf(question === -1 ? '' : url.slice(question + 1));
  if (query === undefined) throw new BlobError('InvalidUri');
  try {
    return { path: decodeURIComponent(encoded), query };
  } catch {
    throw new BlobError('InvalidUri');
  }
}

async function answer(
  blob: Blob,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  query: URLSearchParams,
  shares: BlobShares,
): Promise<void> {
  const comp = query.get('comp');
  switch (request.method) {
    case 'PUT':
      if (comp === 'block') return stage(blob, request, response, query);
      if (comp === 'blocklist') return commit(blob, request, response, shares);
      if (comp === null) return put(blob, request, response);
      throw new BlobError('InvalidQueryParameterValue');
    case 'GET':
    case 'HEAD':
      return read(blob, request, response);
    case 'DELETE':
      await blob.delete(conditionOf(request.headers));
      response.writeHead(202, { 'Content-Length': '0' }).end();
      return;
    default:
      response.setHeader('Allow', 'GET, HEAD, PUT, DELETE');
      throw new BlobError('UnsupportedHttpVerb');
  }
}

async function put(blob: Blob, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const { headers } = request;
  if (headers['x-ms-blob-type'] === undefined)
    throw new BlobError('MissingRequiredHeader', 'x-ms-blob-type is missing.');
  if (headers['x-ms-blob-type'] !== 'BlockBlob')
    throw new BlobError('InvalidHeaderValue', 'x-ms-blob-type must be BlockBlob.');
  const sums = sumsOf(headers);
  // Some libraries state the sum only as one that is to be kept; it must hold all the same.
  const md5 = blobMd5Of(headers) ?? sums?.md5;
  const bytes = lengthOf(headers);
  const content = {
    source: streamedBody(request),
    ...(bytes !== undefined && { bytes }),
    ...(md5 !== undefined || sums !== undefined ? { sums: { ...sums, ...(md5 !== undefined && { md5 }) } } : {}),
  };
  const contentType = contentTypeOf(headers, true);
  const facts = await blob.put(content, {
    contentType,
    condition: conditionOf(headers),
    ...(md5 !== undefined && { md5 }),
  });
  created(response, { ...factHeaders(facts), ...(md5 !== undefined && { 'Content-MD5': md5 }) });
}

async function stage(
  blob: Blob,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  query: URLSearchParams,
): Promise<void> {
  const blockId = checkBlockId(query.get('blockid'));
  const bytes = lengthOf(request.headers);
  const sums = sumsOf(request.headers);
  await blob.stage(blockId, {
    source: streamedBody(request),
    ...(bytes !== undefined && { bytes }),
    ...(sums !== undefined && { sums }),
  });
  created(response, {
    ...(sums?.md5 !== undefined && { 'Content-MD5': sums.md5 }),
    ...(sums?.crc64 !== undefined && { 'x-ms-content-crc64': sums.crc64 }),
  });
}

async function commit(
  blob: Blob,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  { lists }: BlobShares,
): Promise<void> {
  const { headers } = request;
  const by = deviceShare(blob.bearer);
  let taken = 0;
  const take = (bytes: number): void => {
    if (!lists.take(by, bytes)) throw new BlobError('ServerBusy');
    taken += bytes;
  };
  let ids: readonly string[];
  try {
    const text = await textOf(request, take);
    const turn = turns.take(by, text.length);
    if (turn !== undefined) await turn;
    ids = readBlockList(text);
  } finally {
    if (taken > 0) lists.give(by, taken);
  }
  const md5 = blobMd5Of(headers);
  const facts = await blob.commit(ids, {
    contentType: contentTypeOf(headers, false),
    condition: conditionOf(headers),
    ...(md5 !== undefined && { md5 }),
  });
  created(response, factHeaders(facts));
}

async function read(blob: Blob, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const { headers, method } = request;
  if (method === 'HEAD') {
    const facts = await blob.head();
    if (!isWanted(headers, facts)) throw new BlobError('ConditionNotMet');
    response.writeHead(isUnchanged(headers, facts) ? 304 : 200, contentHeaders(facts, undefined)).end();
    return;
  }
  let unchanged = false;
  const { facts, body, range } = await blob.read((found) => {
    if (!isWanted(headers, found)) throw new BlobError('ConditionNotMet');
    unchanged = isUnchanged(headers, found);
    return unchanged ? 'none' : rangeOf(headers, found);
  });
  if (unchanged) {
    response.writeHead(304, factHeaders(facts)).end();
    return;
  }
  response.writeHead(range === undefined ? 200 : 206, contentHeaders(facts, range));
  await sendBody(body, response);
}

function created(response: http.ServerResponse, headers: Readonly<Record<string, string>>): void {
  response.writeHead(201, { ...headers, 'Content-Length': '0', 'x-ms-request-server-encrypted': 'false' }).end();
}

async function textOf(request: http.IncomingMessage, take: (bytes: number) => void): Promise<string> {
  const announced = lengthOf(request.headers);
  if ((announced ?? 0) > limits.fileBlockListBytesMax) throw new BlobError('RequestBodyTooLarge');
  request.setTimeout(limits.fileSilenceMs, () => request.destroy());
  try {
    return (await readBody(request, announced, take, limits.fileBlockListBytesMax)).toString('utf8');
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    throw new BlobError(error.code === 'MessageTooLarge' ? 'RequestBodyTooLarge' : 'InvalidInput', undefined, error);
  } finally {
    request.setTimeout(0);
  }
}

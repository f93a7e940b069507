/** How a request to the blob endpoint is refused, also in the midst of its body. */
import type http from 'node:http';
import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { BlobError } from '../../../core/files/blob-error.ts';

export interface RefusalOptions {
  readonly clock: Clock;
  /** False = the client waits for this answer before it sends anything. */
  readonly isSending: boolean;
  /** Bytes that are read and dropped of what the client still sends, so that it reads the answer. */
  readonly restBytesMax: number;
}

/** In the storage service's form; libraries read the header before the body. */
export function refuseBlob(
  error: BlobError,
  requestId: string,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  { clock, isSending, restBytesMax }: RefusalOptions,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const message = `${error.message}\nRequestId:${requestId}`;
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${error.code}</Code><Message>${escaped(message)}</Message></Error>`;
  const { complete } = request;
  response.writeHead(error.status, {
    'Content-Type': 'application/xml',
    'Content-Length': String(Buffer.byteLength(body)),
    'x-ms-error-code': error.code,
    ...(error.code === 'ServerBusy' && { 'Retry-After': '1' }),
    // A client that is told sends no other request on a connection that is going to be cut.
    ...(!complete && !(isSending && statedBytes(request) <= restBytesMax) && { Connection: 'close' }),
  });
  if (complete || request.method === 'HEAD' || !isSending) {
    response.end(request.method === 'HEAD' ? undefined : body);
    return;
  }
  response.write(body);
  dropRest(request, response, clock, restBytesMax);
}

/** Infinity = not stated, or not as a number. */
function statedBytes({ headers }: http.IncomingMessage): number {
  if (headers['transfer-encoding'] !== undefined) return Number.POSITIVE_INFINITY;
  const bytes = Number(headers['content-length'] ?? 0);
  return Number.isNaN(bytes) ? Number.POSITIVE_INFINITY : bytes;
}

/**
 * Reads and drops what the client still sends, up to a bound of bytes and of time; at the bound of bytes it is not read any more, and has
 * a moment to read the answer before its connection ends. A client whose connection is closed while it sends loses the answer, so the
 * answer, which is written, is ended behind all that: with its end the runtime closes a connection that takes no other request.
 */
function dropRest(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  clock: Clock,
  restBytesMax: number,
): void {
  const cutAfter = (ms: number): Cancel => clock.after(ms, () => request.destroy());
  let cancel = cutAfter(limits.fileSilenceMs);
  let dropped = 0;
  request.on('data', (piece: Buffer) => {
    dropped += piece.length;
    if (dropped <= restBytesMax || request.isPaused()) return;
    request.pause();
    cancel();
    cancel = cutAfter(limits.fileRefusedLingerMs);
  });
  request.once('end', () => response.end());
  request.once('close', () => cancel());
  request.resume();
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

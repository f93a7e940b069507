/** How a request to the blob endpoint is refused, also in the midst of its body. */
import type http from 'node:http';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { BlobError } from '../../../core/files/blob-error.ts';

/**
 * In the storage service's form; libraries read the header before the body.
 * @param sending by which time is measured while the client goes on sending; undefined = it waits for this answer
 */
export function refuseBlob(
  error: BlobError,
  requestId: string,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  sending: Clock | undefined,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const message = `${error.message}\nRequestId:${requestId}`;
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${error.code}</Code><Message>${escaped(message)}</Message></Error>`;
  response.writeHead(error.status, {
    'Content-Type': 'application/xml',
    'Content-Length': String(Buffer.byteLength(body)),
    'x-ms-error-code': error.code,
    ...(error.code === 'ServerBusy' && { 'Retry-After': '1' }),
    ...(sending === undefined && !request.complete && { Connection: 'close' }),
  });
  if (request.complete || request.method === 'HEAD' || sending === undefined) {
    response.end(request.method === 'HEAD' ? undefined : body);
    return;
  }
  response.write(body);
  dropRest(request, sending, () => response.end());
}

/**
 * Reads and drops what the client still sends, up to a bound; there it is not read any more, and has a moment to read the answer before
 * its connection ends. A client whose connection is closed while it sends loses the answer, so the answer, which is written, is ended
 * behind all that: with its end the runtime closes the connection of a client that wants no other request on it.
 */
function dropRest(request: http.IncomingMessage, clock: Clock, end: () => void): void {
  if (request.complete) return;
  let dropped = 0;
  request.on('data', (piece: Buffer) => {
    dropped += piece.length;
    if (dropped <= limits.fileRefusedBytesMax || request.isPaused()) return;
    request.pause();
    const cancel = clock.after(limits.fileRefusedLingerMs, () => request.destroy());
    request.once('close', cancel);
  });
  request.once('end', end);
  request.resume();
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

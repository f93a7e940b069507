import type http from 'node:http';
import { limits } from '../../../base/limits.ts';

/** The request's bytes; a client that is silent for too long in their midst is cut off, as one that sends them slowly is not. */
export async function* streamedBody(request: http.IncomingMessage): AsyncGenerator<Uint8Array> {
  request.setTimeout(limits.fileSilenceMs, () => request.destroy());
  try {
    yield* request;
  } finally {
    request.setTimeout(0);
  }
}

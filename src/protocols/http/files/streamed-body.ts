import type http from 'node:http';
import { limits } from '../../../base/limits.ts';

/** The request's bytes; a client that is silent for too long in their midst is cut off, as one that sends them slowly is not. */
export async function* streamedBody(request: http.IncomingMessage): AsyncGenerator<Uint8Array> {
  request.setTimeout(limits.fileSilenceMs, () => request.destroy());
  try {
    // A reader that stops early has a refusal to send: the connection is its way.
    yield* request.iterator({ destroyOnReturn: false });
  } finally {
    request.setTimeout(0);
  }
}

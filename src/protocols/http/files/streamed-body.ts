import type http from 'node:http';
import { limits } from '../../../base/limits.ts';

/**
 * The request's bytes. A client that is silent for too long in their midst is cut off; one that sends them slowly is not,
 * nor one that is made to wait because the hub takes them slowly.
 */
export async function* streamedBody(request: http.IncomingMessage): AsyncGenerator<Uint8Array> {
  const limitSilence = (ms: number): void => {
    if (!request.destroyed) request.setTimeout(ms);
  };
  request.once('timeout', () => request.destroy());
  limitSilence(limits.fileSilenceMs);
  try {
    // A reader that stops early has a refusal to send: the connection is its way.
    for await (const piece of request.iterator({ destroyOnReturn: false })) {
      limitSilence(0);
      yield piece;
      limitSilence(limits.fileSilenceMs);
    }
  } finally {
    limitSilence(0);
  }
}

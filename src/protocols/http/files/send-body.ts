import type http from 'node:http';
import { limits } from '../../../base/limits.ts';

/**
 * Sends pieces that are good until the next one is asked for: each has left this process before. Ends the answer behind the
 * last one, and the connection where there is none; never rejects. A client that goes away ends the reading, and so does one
 * that takes nothing for too long: one that takes its bytes slowly does not, nor a piece that is long in coming.
 * @param notTakenMs how long a client may take nothing
 */
export async function sendBody(
  body: AsyncIterable<Uint8Array>,
  response: http.ServerResponse,
  notTakenMs: number = limits.fileNotTakenMs,
): Promise<void> {
  let isGone = response.destroyed;
  let left = (): void => {};
  response.once('close', () => {
    isGone = true;
    left();
  });
  response.on('timeout', () => response.destroy());
  try {
    for await (const piece of body) {
      if (isGone) return;
      response.setTimeout(notTakenMs);
      await new Promise<void>((resolve) => {
        left = resolve;
        response.write(piece, (error) => {
          isGone ||= error != null;
          resolve();
        });
      });
      // Whether the last piece has left is not known: it does not count as sent.
      if (isGone) return;
      response.setTimeout(0);
    }
    response.end();
  } catch {
    response.destroy();
  }
}

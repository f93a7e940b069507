import type http from 'node:http';

/**
 * Sends pieces that are good until the next one is asked for: each has left this process before. Ends the answer behind the
 * last one, and the connection where there is none; never rejects. A client that goes away ends the reading.
 */
export async function sendBody(body: AsyncIterable<Uint8Array>, response: http.ServerResponse): Promise<void> {
  let isGone = response.destroyed;
  let left = (): void => {};
  response.once('close', () => {
    isGone = true;
    left();
  });
  try {
    for await (const piece of body) {
      if (isGone) return;
      await new Promise<void>((resolve) => {
        left = resolve;
        response.write(piece, () => resolve());
      });
      // Whether the last piece has left is not known: it does not count as sent.
      if (isGone) return;
    }
    response.end();
  } catch {
    response.destroy();
  }
}

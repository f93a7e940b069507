import type http from 'node:http';
import { limits } from '../../../base/limits.ts';

/**
 * The request's bytes; a piece is good until the next one is asked for. A client that is silent for too long in their midst
 * is cut off; one that sends them slowly is not, nor one that is made to wait because the hub takes them slowly.
 */
export async function* streamedBody(
  request: http.IncomingMessage,
  silenceMs: number = limits.fileSilenceMs,
): AsyncGenerator<Uint8Array> {
  const limitSilence = (ms: number): void => {
    if (!request.destroyed) request.setTimeout(ms);
  };
  request.once('timeout', () => request.destroy());
  const pieces = new Pieces(request);
  try {
    for (;;) {
      limitSilence(silenceMs);
      const piece = await pieces.next();
      limitSilence(0);
      if (piece === undefined) return;
      yield piece;
      release(piece);
    }
  } finally {
    limitSilence(0);
    // A reader that stops early has a refusal to send: the connection is its way, and stays.
    pieces.stop();
  }
}

/** What has come and was not asked for yet. The stream's own iterator would join pieces, which is a copy and further memory. */
class Pieces {
  readonly #request: http.IncomingMessage;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #ending: { readonly error?: Error } | undefined;
  #wake: () => void = () => {};

  constructor(request: http.IncomingMessage) {
    this.#request = request;
    if (request.destroyed && !request.readableEnded) this.#ended({ error: new Error('the client has gone') });
    else if (request.readableEnded) this.#ended({});
    request.on('data', this.#came).on('end', this.#end).on('error', this.#failed).on('close', this.#closed);
  }

  readonly #came = (piece: Buffer): void => {
    this.#waiting.push(piece);
    this.#waitingBytes += piece.length;
    if (this.#waitingBytes >= limits.httpSocketBytesMax) this.#request.pause();
    this.#wake();
  };
  readonly #end = (): void => this.#ended({});
  readonly #failed = (error: Error): void => this.#ended({ error });
  readonly #closed = (): void => this.#ended({ error: new Error('the client has gone') });

  #ended(ending: { readonly error?: Error }): void {
    this.#ending ??= ending;
    this.#wake();
  }

  /** Undefined = there are no more. @throws Error when the client has gone in their midst */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const piece = this.#waiting.shift();
      if (piece !== undefined) {
        this.#waitingBytes -= piece.length;
        return piece;
      }
      if (this.#ending?.error !== undefined) throw this.#ending.error;
      if (this.#ending !== undefined) return undefined;
      this.#request.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  stop(): void {
    const request = this.#request;
    request.off('data', this.#came).off('end', this.#end).off('error', this.#failed).off('close', this.#closed);
    // A failure after this has no other listener.
    if (!request.readableEnded) request.pause().on('error', () => {});
  }
}

/** Smaller buffers may share their memory with others. */
const OWN_BYTES_MIN = 8192;

/**
 * Frees a piece's memory at once. The runtime makes a buffer of its own for each piece of a body, and marks the whole heap
 * whenever some tens of megabytes of such memory wait for the collector: twice the CPU time for an upload, and pauses for
 * everybody else.
 */
function release({ buffer, byteLength }: Buffer): void {
  if (byteLength < OWN_BYTES_MIN || buffer.byteLength !== byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

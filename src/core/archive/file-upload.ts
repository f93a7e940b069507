/** Brings a file into the store, however often it takes. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ArchiveStep, ArchiveStore } from './ports.ts';

export interface FileUploadParts {
  readonly store: ArchiveStore;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly reached: (step: ArchiveStep) => void;
  /** Called while the file is on its way. */
  readonly meanwhile: () => Promise<void>;
  readonly failed: (reason: string) => void;
}

export class FileUpload {
  readonly #parts: FileUploadParts;

  constructor(parts: FileUploadParts) {
    this.#parts = parts;
  }

  /**
   * Puts a file in the store, in the place of whatever stands there: it is the same file. Tries until it is there, or `isWanted` says
   * no. @returns false = it was given up
   */
  async bring(
    path: string,
    contentType: string,
    pieces: readonly Uint8Array[],
    isWanted: () => boolean,
  ): Promise<boolean> {
    const { signal, clock, failed } = this.#parts;
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    for (let tries = 0; !signal.aborted && isWanted(); tries++) {
      try {
        await this.#put(path, contentType, pieces, bytes);
        return true;
      } catch (error) {
        failed(`the file ${path} could not be stored (${this.#parts.store.kind}): ${(error as Error).message}`);
      }
      const wait = Math.min(limits.archiveRetryMsMax, limits.archiveRetryMs * 2 ** Math.min(tries, 16));
      for (const end = clock.monotonic() + wait; clock.monotonic() < end && !signal.aborted && isWanted(); ) {
        await this.#parts.meanwhile().catch(() => {});
        await new Promise<void>((resolve) => void clock.after(Math.min(wait, limits.archiveLookMs), resolve));
      }
    }
    return false;
  }

  async #put(path: string, contentType: string, pieces: readonly Uint8Array[], bytes: number): Promise<void> {
    const { store, clock, reached, meanwhile } = this.#parts;
    async function* source(): AsyncGenerator<Uint8Array> {
      const half = Math.floor(pieces.length / 2);
      for (const [nth, piece] of pieces.entries()) {
        // Stores read a piece at their pace: large ones in parts of theirs.
        for (let at = 0; at < piece.length; at += limits.archivePieceBytes) {
          yield piece.subarray(at, at + limits.archivePieceBytes);
        }
        if (nth === half) reached('half');
      }
    }
    let cancel = (): void => {};
    const renew = (): void => {
      cancel = clock.after(limits.deliveryLeaseMs / 3, () => {
        meanwhile().catch(() => {});
        renew();
      });
    };
    renew();
    try {
      await store.put(path, source(), { contentType, bytes, bytesMax: bytes, condition: {} });
      reached('uploaded');
      const found = await store.head(path);
      if (found?.bytes !== bytes) {
        const what = found === undefined ? 'it is not there' : `it has ${found.bytes} bytes`;
        throw new Error(`the store has said that it has taken ${bytes} bytes, and ${what}`);
      }
    } finally {
      cancel();
    }
  }
}

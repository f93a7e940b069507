import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { S3Service } from './s3-service.ts';

/**
 * Uploads in parts that a crash has left: S3 keeps them, and asks money for them, until they are aborted. The bucket is the
 * hub's alone, so that one which is old and not under way is nobody's.
 */
export class LeftUploads {
  readonly #service: Pick<S3Service, 'uploads' | 'abortParts'>;
  readonly #clock: Clock;
  readonly #underWay = new Set<string>();
  #nextAt = 0;

  constructor(service: Pick<S3Service, 'uploads' | 'abortParts'>, clock: Clock) {
    this.#service = service;
    this.#clock = clock;
  }

  begun(id: string): void {
    this.#underWay.add(id);
  }

  ended(id: string): void {
    this.#underWay.delete(id);
  }

  /** Aborts those from before `before` (UTC milliseconds); looks once in a while only, however often it is asked. */
  async abort(before: number): Promise<void> {
    if (this.#clock.monotonic() < this.#nextAt) return;
    this.#nextAt = this.#clock.monotonic() + limits.fileStoreLeftEveryMs;
    let after: { readonly key: string; readonly id: string } | undefined;
    do {
      const { uploads, next } = await this.#service.uploads(after);
      for (const { path, id, initiated } of uploads) {
        if (initiated < before && !this.#underWay.has(id)) await this.#service.abortParts(path, id);
      }
      after = next;
    } while (after !== undefined);
  }
}

import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { IdentityKey } from '../identity/types.ts';
import { Bucket } from './bucket.ts';
import { remembered } from './throttling.ts';

/**
 * How often a device and its modules may begin an upload: each may leave a notification that is kept until a back end has
 * taken it.
 */
export class UploadRate {
  readonly #clock: Clock;
  readonly #devices = new Map<string, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one. @throws HubError ThrottlingException */
  demand({ deviceId }: IdentityKey): void {
    const now = this.#clock.monotonic();
    const { fileUploadsAtOnceMax: max, fileUploadsPerSecond } = limits;
    const bucket = remembered(this.#devices, deviceId, () => new Bucket(fileUploadsPerSecond, max, now));
    const waitMs = bucket.waitMsFor(1, now);
    if (waitMs > 0) {
      const current = Math.ceil(bucket.used(now));
      const freeAt = Math.ceil(this.#clock.now() + waitMs);
      throw new HubError('ThrottlingException', 'Too many uploads are begun for now.', {
        limit: { name: 'fileUploadsPerSecond', scope: `device ${deviceId}`, current, max, freeAt },
      });
    }
    bucket.take(1, now);
  }
}

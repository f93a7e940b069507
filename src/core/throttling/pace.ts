/** Caps on the bandwidth of files: contents of uploads and downloads are passed on more slowly, never refused. */
import type { Clock } from '../../base/clock.ts';
import { Bucket } from './bucket.ts';

export interface PaceLimits {
  /** Of all transfers together; undefined = no cap. */
  readonly bytesPerSecond: number | undefined;
  /** Of those of one device and its modules together; undefined = no cap. */
  readonly deviceBytesPerSecond: number | undefined;
}

type Bytes = AsyncIterable<Uint8Array>;

export interface Pace {
  /** The same bytes, at the pace of the hub and of the device that takes or sends them; undefined = a back end does. */
  slowed(source: Bytes, deviceId: string | undefined): Bytes;
}

interface Used {
  readonly bucket: Bucket;
  transfers: number;
}

/** What may come at once: as much as flows in within this time. */
const BURST_SECONDS = 1;

export function createPace({ bytesPerSecond, deviceBytesPerSecond }: PaceLimits, clock: Clock): Pace {
  const bucketOf = (rate: number): Bucket => new Bucket(rate, rate * BURST_SECONDS, clock.monotonic());
  const hub = bytesPerSecond === undefined ? undefined : bucketOf(bytesPerSecond);
  const devices = new Map<string, Used>();

  function enter(deviceId: string, rate: number): Used {
    const used = devices.get(deviceId) ?? { bucket: bucketOf(rate), transfers: 0 };
    devices.set(deviceId, used);
    used.transfers += 1;
    return used;
  }

  /** A device is forgotten when its bucket is full again: sooner, many short transfers would each find a full one. */
  function leave(deviceId: string, used: Used): void {
    used.transfers -= 1;
    const refillMs = used.bucket.waitMsFor(used.bucket.max, clock.monotonic());
    clock.after(refillMs, () => {
      const isFull = used.bucket.used(clock.monotonic()) < 1;
      if (used.transfers === 0 && isFull && devices.get(deviceId) === used) devices.delete(deviceId);
    });
  }

  async function* paced(source: Bytes, deviceId: string | undefined): Bytes {
    const device =
      deviceId === undefined || deviceBytesPerSecond === undefined ? undefined : enter(deviceId, deviceBytesPerSecond);
    try {
      for await (const piece of source) {
        const now = clock.monotonic();
        const waitMs = Math.max(hub?.take(piece.length, now) ?? 0, device?.bucket.take(piece.length, now) ?? 0);
        if (waitMs > 0) await new Promise<void>((resolve) => clock.after(waitMs, resolve));
        yield piece;
      }
    } finally {
      if (deviceId !== undefined && device !== undefined) leave(deviceId, device);
    }
  }

  const hasCaps = hub !== undefined || deviceBytesPerSecond !== undefined;
  return { slowed: hasCaps ? paced : (source) => source };
}

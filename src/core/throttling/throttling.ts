import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError, type LimitHit } from '../errors.ts';
import type { IdentityKey } from '../identity/types.ts';
import { Bucket } from './bucket.ts';

/** How much a device, and all devices together, may do at this node. Absent = as much as they like. */
export interface ThrottleLimits {
  readonly deviceMessagesPerSecond?: number;
  readonly deviceBytesPerSecond?: number;
  readonly hubMessagesPerSecond?: number;
  readonly hubBytesPerSecond?: number;
  readonly deviceConnectsPerMinute?: number;
  readonly hubConnectsPerSecond?: number;
}

/**
 * Keeps devices to their limits, per node: a hub of several nodes gives each of them its part. A device and its modules count as one, whatever connections they have; a second's worth
 * may come at once. Telemetry is metered by `Events`, connections by `Presence.claim`, so no door can forget it.
 */
export interface Throttling {
  /** Undefined = nothing limits this device's telemetry: the hot path has nothing to do. */
  meterOf(key: IdentityKey): Meter | undefined;
  /** Counts a connection that takes an identity's place. @throws HubError ThrottlingException */
  admitConnection(key: IdentityKey): void;
}

/** What a sender's messages are counted by. One per device. */
export interface Meter {
  /** Counts a message. Never refuses: what is owed afterwards says `waitMs`. */
  charge(bytes: number): void;
  /** Milliseconds for which nothing more should be taken from the sender; 0 = go on. */
  waitMs(): number;
  /** The limit that is owed most to. */
  limit(): LimitHit;
  /** Refuses while something is owed, for doors that answer request by request. @throws HubError ThrottlingException */
  demand(): void;
}

export function createThrottling(settings: ThrottleLimits, clock: Clock): Throttling {
  const hub = telemetryGauges('hub', settings, 'hub', clock.monotonic());
  const hasMeters =
    hub.length > 0 || settings.deviceMessagesPerSecond !== undefined || settings.deviceBytesPerSecond !== undefined;
  const meters = new Map<string, DeviceMeter>();
  const hubConnects = connectGauge('hubConnectsPerSecond', 'hub', settings.hubConnectsPerSecond, 1, clock.monotonic());
  const connects = new Map<string, Gauge>();

  return {
    meterOf({ deviceId }) {
      if (!hasMeters) return undefined;
      return remembered(meters, deviceId, () => {
        const own = telemetryGauges('device', settings, `device ${deviceId}`, clock.monotonic());
        return new DeviceMeter([...own, ...hub], clock);
      });
    },
    admitConnection({ deviceId }) {
      const now = clock.monotonic();
      const { deviceConnectsPerMinute: perMinute } = settings;
      const device =
        perMinute === undefined
          ? undefined
          : remembered(connects, deviceId, () =>
              connectGauge('deviceConnectsPerMinute', `device ${deviceId}`, perMinute, 60, now),
            );
      const gauges = [device, hubConnects].filter((gauge) => gauge !== undefined);
      // The device's own comes first, and nothing is taken unless all let it through: a refused one costs nobody else.
      for (const gauge of gauges) {
        const waitMs = gauge.bucket.waitMsFor(1, now);
        if (waitMs > 0) throw throttled(gauge, waitMs, clock);
      }
      for (const gauge of gauges) gauge.bucket.take(1, now);
    },
  };
}

/** The part of what all devices share in telemetry that one of `count` equal listener threads may let through. */
export function shareOf(settings: ThrottleLimits, count: number): ThrottleLimits {
  const { hubMessagesPerSecond: messages, hubBytesPerSecond: bytes } = settings;
  return {
    ...settings,
    ...(messages === undefined ? {} : { hubMessagesPerSecond: messages / count }),
    ...(bytes === undefined ? {} : { hubBytesPerSecond: bytes / count }),
  };
}

/** A bucket with the name of the setting behind it and whose it is. */
interface Gauge {
  readonly name: keyof ThrottleLimits;
  readonly scope: string;
  readonly unit: 'messages' | 'bytes' | 'connections';
  readonly bucket: Bucket;
}

class DeviceMeter implements Meter {
  readonly #gauges: readonly Gauge[];
  readonly #clock: Clock;
  /** Monotonic time from which nothing is owed, as far as this meter has seen. */
  #freeAt = 0;

  constructor(gauges: readonly Gauge[], clock: Clock) {
    this.#gauges = gauges;
    this.#clock = clock;
  }

  charge(bytes: number): void {
    const now = this.#clock.monotonic();
    const gauges = this.#gauges;
    let waitMs = 0;
    for (let at = 0; at < gauges.length; at++) {
      const { unit, bucket } = gauges[at];
      const wait = bucket.take(unit === 'bytes' ? bytes : 1, now);
      if (wait > waitMs) waitMs = wait;
    }
    this.#freeAt = now + waitMs;
  }

  waitMs(): number {
    const waitMs = this.#freeAt - this.#clock.monotonic();
    return waitMs > 0 ? waitMs : 0;
  }

  limit(): LimitHit {
    const { gauge, waitMs } = this.#worst();
    return limitHit(gauge, waitMs, this.#clock);
  }

  demand(): void {
    const { gauge, waitMs } = this.#worst();
    if (waitMs > 0) throw throttled(gauge, waitMs, this.#clock);
  }

  /** There is a meter only where there is a gauge. */
  #worst(): { readonly gauge: Gauge; readonly waitMs: number } {
    const now = this.#clock.monotonic();
    let worst = { gauge: this.#gauges[0], waitMs: this.#gauges[0].bucket.waitMs(now) };
    for (const gauge of this.#gauges) {
      const waitMs = gauge.bucket.waitMs(now);
      if (waitMs > worst.waitMs) worst = { gauge, waitMs };
    }
    return worst;
  }
}

function telemetryGauges(owner: 'device' | 'hub', settings: ThrottleLimits, scope: string, now: number): Gauge[] {
  const gauges: Gauge[] = [];
  for (const [unit, word] of [
    ['messages', 'Messages'],
    ['bytes', 'Bytes'],
  ] as const) {
    const name = `${owner}${word}PerSecond` as const;
    const perSecond = settings[name];
    if (perSecond !== undefined) gauges.push({ name, scope, unit, bucket: new Bucket(perSecond, perSecond, now) });
  }
  return gauges;
}

function connectGauge(
  name: 'deviceConnectsPerMinute' | 'hubConnectsPerSecond',
  scope: string,
  count: number,
  seconds: number,
  now: number,
): Gauge;
function connectGauge(
  name: 'deviceConnectsPerMinute' | 'hubConnectsPerSecond',
  scope: string,
  count: number | undefined,
  seconds: number,
  now: number,
): Gauge | undefined;
function connectGauge(
  name: 'deviceConnectsPerMinute' | 'hubConnectsPerSecond',
  scope: string,
  count: number | undefined,
  seconds: number,
  now: number,
): Gauge | undefined {
  if (count === undefined) return undefined;
  return { name, scope, unit: 'connections', bucket: new Bucket(count / seconds, count, now) };
}

function limitHit({ name, scope, bucket }: Gauge, waitMs: number, clock: Clock): LimitHit {
  return {
    name,
    scope,
    current: Math.ceil(bucket.used(clock.monotonic())),
    max: bucket.max,
    freeAt: Math.ceil(clock.now() + waitMs),
  };
}

function throttled(gauge: Gauge, waitMs: number, clock: Clock): HubError {
  return new HubError('ThrottlingException', `Too many ${gauge.unit} for now.`, {
    limit: limitHit(gauge, waitMs, clock),
  });
}

/** The entry for `name`, moved to the end; the longest unused leave first. */
export function remembered<T>(entries: Map<string, T>, name: string, make: () => T): T {
  const entry = entries.get(name) ?? make();
  entries.delete(name);
  for (const oldest of entries.keys()) {
    if (entries.size < limits.throttledDevicesMax) break;
    entries.delete(oldest);
  }
  entries.set(name, entry);
  return entry;
}

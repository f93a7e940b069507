/** Settings that keep devices to their limits, and how late repeated failures of authentication are answered. */
import type { z } from 'zod';
import { limits } from '../../base/limits.ts';
import type { ThrottleLimits } from '../../core/throttling/throttling.ts';
import { byteSize, rate, whole } from './config-kinds.ts';
import type { SettingMeta } from './setting.ts';

const RATE_MAX = 100_000_000;
const BYTES_MAX = 2 ** 40;

type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

export function throttleSettings(documented: Documented) {
  const countRate = (meaning: string) =>
    documented(rate(1, RATE_MAX).default('off'), {
      topic: 'Limits',
      meaning,
      form: `a whole number from 1 to ${RATE_MAX}, or off`,
    });
  const byteRate = (meaning: string) =>
    documented(byteSize(1024, BYTES_MAX, 'off').default('off'), {
      topic: 'Limits',
      meaning,
      form: 'bytes, also as 64KiB, from 1KiB to 1TiB, or off',
    });
  const waits =
    'A device that sends more is made to wait: MQTT is not read and AMQP gets no credit meanwhile, HTTP is answered 429 with `Retry-After`.';
  return {
    deviceMessagesPerSecond: countRate(
      `Telemetry messages of one device, its modules included; as many may come at once. ${waits}`,
    ),
    deviceBytesPerSecond: byteRate('The same in bytes of bodies and properties.'),
    hubMessagesPerSecond: countRate('Telemetry messages of all devices together.'),
    hubBytesPerSecond: byteRate('The same in bytes of bodies and properties.'),
    deviceConnectsPerMinute: countRate(
      'Connections that one device and its modules may make. Further ones are refused with the word to come again.',
    ),
    hubConnectsPerSecond: countRate('Connections of all devices together.'),
    refusalDelaySeconds: documented(whole(0, 60).default(limits.refusalDelayMsMax / 1000), {
      topic: 'Limits',
      meaning:
        `Longest wait before failed authentication is answered. From the ${limits.failuresAtOnceMax + 1}th failure of an address or a device on, each ` +
        'waits twice as long; who proves who he is never waits. 0 = no wait.',
      form: 'a whole number from 0 to 60',
    }),
  };
}

/** What the rooms of core take, of all settings. */
export function throttleLimits(
  settings: Readonly<Record<Exclude<keyof ThrottleLimits, symbol>, number | 'off'>>,
): ThrottleLimits {
  const names = [
    'deviceMessagesPerSecond',
    'deviceBytesPerSecond',
    'hubMessagesPerSecond',
    'hubBytesPerSecond',
    'deviceConnectsPerMinute',
    'hubConnectsPerSecond',
  ] as const;
  return Object.fromEntries(
    names.flatMap((name) => (settings[name] === 'off' ? [] : [[name, settings[name]]])),
  ) as ThrottleLimits;
}

/** Settings of the monitoring stream and its detections; part of the one schema (`config.ts`). */
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { flag, list, whole } from './config-kinds.ts';

interface Meta {
  readonly topic: 'Monitoring';
  readonly meaning: string;
  readonly form: string;
}
type Documented = <T extends z.ZodType>(schema: T, meta: Meta) => T;

/** @param documented keeps what the documentation says of a setting. */
export function monitoringSettings(documented: Documented) {
  const threshold = (value: number, meaning: string) =>
    documented(whole(0, 1_000_000).default(value), {
      topic: 'Monitoring',
      meaning: `${meaning} 0 = not looked for.`,
      form: 'a whole number from 0 to 1000000',
    });
  return {
    monitoring: documented(flag().default(true), {
      topic: 'Monitoring',
      meaning:
        'Whether connections, refusals and changes of identities are recorded in the event hub `<hub>-monitoring`. Presence ' +
        'in the registry is kept either way.',
      form: 'on or off',
    }),
    monitoringPeer: documented(z.enum(['full', 'masked', 'off']).default('full'), {
      topic: 'Monitoring',
      meaning:
        "How much of a peer's address monitoring events hold: all of it, its network (24 bits of IPv4, 48 of IPv6), or nothing. " +
        'With `off` nothing is detected per address.',
      form: 'full, masked or off',
    }),
    monitoringRetentionDays: documented(whole(1, 36_500).default(7), {
      topic: 'Monitoring',
      meaning: 'Days for which a monitoring event can be read again.',
      form: 'a whole number from 1 to 36500',
    }),
    monitoringWindowSeconds: documented(whole(1, 3600).default(limits.monitoringWindowMs / 1000), {
      topic: 'Monitoring',
      meaning: 'Alike refusals of one source within so many seconds are one event, which holds their count.',
      form: 'a whole number from 1 to 3600',
    }),
    monitoringServiceEvents: documented(list(/^(connection-state|lifecycle)$/).default([]), {
      topic: 'Monitoring',
      meaning:
        "The emulated service's own events among the telemetry, as its routes would put them there: `connection-state` " +
        '(`deviceConnectionStateEvents`), `lifecycle` (`deviceLifecycleEvents`). `eventSources` asks for the same, and for more.',
      form: 'connection-state, lifecycle, or both separated by a comma',
    }),
    traceDevices: documented(list(/^[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}$/).default([]), {
      topic: 'Monitoring',
      meaning:
        'Devices whose every telemetry message is followed from its arrival to its readers; `mooring trace` shows it. Such a ' +
        'message costs several monitoring events.',
      form: 'device ids separated by commas',
    }),
    traceSample: documented(whole(0, 1_000_000_000).default(0), {
      topic: 'Monitoring',
      meaning: 'One message of so many, of all devices, is followed in the same way. 0 = none, 1 = each.',
      form: 'a whole number from 0 to 1000000000',
    }),
    detectDeviceFailures: threshold(
      5,
      'Failed authentications of one device within a minute from which they are told as detected.',
    ),
    detectAddressFailures: threshold(20, 'The same for one address.'),
    detectFlapping: threshold(10, 'Connections of one device within ten minutes from which it counts as flapping.'),
    detectSilentMinutes: threshold(0, 'Minutes after which a device that has disconnected counts as silent.'),
    detectRejectedCommands: threshold(
      10,
      'Rejected commands of one device within ten minutes from which they are told.',
    ),
    detectRateFactor: threshold(
      10,
      'How many times as many monitoring events as in an average minute of the last hour count as a sudden change.',
    ),
  };
}

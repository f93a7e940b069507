/**
 * The one schema of settings: defaults, check, `mooring config print` and `docs/config.md` all come from it. A setting is
 * a flag `--mqtts-port`, a variable `MOORING_MQTTS_PORT` and a key `mqttsPort` of the file given by `--config`; where
 * several speak, the flag wins over the variable, the variable over the file (`config-sources.ts`). Secrets have no
 * flag, because other users of a machine see the arguments of a process.
 */
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { adapterSettings } from './adapter-settings.ts';
import { archiveSettings } from './archive-settings.ts';
import { clusterSettings } from './cluster-settings.ts';
import { byteSize, flag, key, list, type Port, port, rate, text, whole } from './config-kinds.ts';
import { connectionSettings } from './connection-settings.ts';
import { endpointSettings } from './endpoint-settings.ts';
import { fileSettings } from './file-settings.ts';
import { monitoringSettings } from './monitoring-settings.ts';
import { portalSettings } from './portal-settings.ts';
import type { SettingMeta } from './setting.ts';
import { throttleSettings } from './throttle-settings.ts';
import { traceSettings } from './trace-settings.ts';

const DAY_SECONDS = 86_400;
// Its event hub has its name, and could not be told from an address of the hub that begins with one of these words.
const hubNamePattern = /^(?!(?:devices|messages)$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?$/i;
const hostPattern = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const groupPattern = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.consumerGroupCharsMax - 1}}$`);

const settingMeta = new WeakMap<z.ZodType, SettingMeta>();
function documented<T extends z.ZodType>(schema: T, meta: SettingMeta): T {
  settingMeta.set(schema, meta);
  return schema;
}

const portForm = 'a port from 0 to 65535 (0 = any free one), or off';
const portSetting = (value: Port, meaning: string) =>
  documented(port().default(value), { topic: 'Ports', meaning, form: portForm });
const countSetting = (value: number, min: number, max: number, meaning: string) =>
  documented(whole(min, max).default(value), {
    topic: 'Limits',
    meaning,
    form: `a whole number from ${min} to ${max}`,
  });
const keySetting = (meaning: string, otherwise = 'made at random on the first start, then kept') =>
  documented(key(limits.keyBytesMin, limits.keyBytesMax).optional(), {
    topic: 'Keys',
    meaning,
    otherwise,
    form: `base64 of ${limits.keyBytesMin} to ${limits.keyBytesMax} bytes`,
    secret: true,
  });
const addressesForm = 'IP addresses, separated by commas';

export const settingsSchema = z.strictObject({
  dataDir: documented(text(/[^\s]/).default('./mooring-data'), {
    topic: 'Data',
    meaning: 'Folder that holds everything the hub knows. Made when missing; delete it and the hub is new.',
    form: 'a path',
  }),
  ...clusterSettings(documented),
  tablesCheckSeconds: documented(rate(1, 366 * DAY_SECONDS).default(DAY_SECONDS), {
    topic: 'Data',
    meaning:
      'Seconds between two looks through the tables for damage, while the hub runs; the first is a minute after the start. ' +
      'It reads everything that is not an event, at the lowest priority, a fifth of the time. `mooring health` and ' +
      '`/metrics` tell what it found.',
    form: 'a whole number of seconds from 1 to 31622400, or off',
  }),

  hubName: documented(text(hubNamePattern).optional(), {
    topic: 'Names and reach',
    meaning:
      'Name of the hub, and of the event hub that telemetry is read from (`EntityPath`). Fixed by the first start: a ' +
      'later start with another name is refused.',
    otherwise: '`mooring` on the first start, then the name in the data folder',
    form: '1 to 50 letters, digits and inner hyphens; not `devices` and not `messages`',
  }),
  hostName: documented(list(hostPattern).default([]), {
    topic: 'Names and reach',
    meaning:
      'More names under which clients reach this hub; the first is shown to users. They go into the certificate and are ' +
      'accepted in tokens. May be given several times.',
    form: 'host names, separated by commas',
  }),
  bindAddress: documented(list(/^[0-9A-Fa-f:.]+$/).optional(), {
    topic: 'Names and reach',
    meaning:
      'Addresses on which the TLS ports listen; `0.0.0.0,::` for all of the machine. The plain ports (`amqpPort`, ' +
      '`mqttPort`) listen on loopback whatever this says.',
    otherwise: 'loopback, IPv4 and IPv6',
    form: addressesForm,
  }),
  adminBindAddress: documented(list(/^[0-9A-Fa-f:.]+$/).optional(), {
    topic: 'Names and reach',
    meaning:
      'Addresses on which the admin port listens. Where that is not loopback, it asks for a key, and speaks TLS with clients ' +
      'that begin it: the portal is served over TLS only then.',
    otherwise: 'loopback, IPv4 and IPv6',
    form: addressesForm,
  }),
  ...endpointSettings(documented),
  ...portalSettings(documented),

  mqttsPort: portSetting(8883, 'MQTT over TLS: devices.'),
  amqpsPort: portSetting(5671, 'AMQP over TLS: back ends that read events, devices.'),
  httpsPort: portSetting(
    443,
    'HTTPS: REST API, devices over HTTP, WebSockets. The SDKs know only 443. Where the default may not be bound, 8443 is ' +
      'taken and the hub says why and what to do; a port that you name is taken or refused.',
  ),
  adminPort: portSetting(8080, 'Plain HTTP for the operator: portal, `/healthz`, `/readyz`, `/metrics`, OpenAPI.'),
  amqpPort: portSetting(5672, 'Plain AMQP on loopback, for `UseDevelopmentEmulator=true` of the Event Hubs SDKs.'),
  mqttPort: portSetting('off', 'Plain MQTT on loopback.'),

  tlsCertFile: documented(text(/[^\s]/).optional(), {
    topic: 'Certificates',
    meaning:
      'Your own server certificate with its chain (PEM), together with `tlsKeyFile`. Read again when a file changes and ' +
      'on SIGHUP; open connections stay.',
    otherwise: 'two certificates (ECDSA and RSA) of the private CA in `<data-dir>/tls`',
    form: 'a path',
  }),
  tlsKeyFile: documented(text(/[^\s]/).optional(), {
    topic: 'Certificates',
    meaning: 'Private key of `tlsCertFile` (PEM).',
    otherwise: 'none',
    form: 'a path',
  }),
  tlsSecondCertFile: documented(text(/[^\s]/).optional(), {
    topic: 'Certificates',
    meaning:
      'A second certificate of yours with its chain, of the other kind of key: with an RSA one beside an ECDSA one, TLS ' +
      'stacks that know one of them only are served. ECDSA is shown where both sides can.',
    otherwise: 'none',
    form: 'a path',
  }),
  tlsSecondKeyFile: documented(text(/[^\s]/).optional(), {
    topic: 'Certificates',
    meaning: 'Private key of `tlsSecondCertFile` (PEM).',
    otherwise: 'none',
    form: 'a path',
  }),
  tlsCaFile: documented(text(/[^\s]/).optional(), {
    topic: 'Certificates',
    meaning:
      'The certificate (PEM) that clients must trust where `tlsCertFile` is yours; only told to them, in `endpoints.json`.',
    otherwise: '`<data-dir>/tls/ca.pem`, or `tlsCertFile` where that is given',
    form: 'a path',
  }),

  partitions: documented(whole(1, limits.partitionsMax).optional(), {
    topic: 'Events',
    meaning:
      'Partitions of the telemetry event hub. Fixed by the first start: a later start with another count is refused.',
    otherwise: `${limits.partitionsDefault} on the first start, then the count in the data folder`,
    form: `a whole number from 1 to ${limits.partitionsMax}`,
  }),
  retentionDays: documented(whole(1, 36_500).default(limits.retentionMsDefault / (DAY_SECONDS * 1000)), {
    topic: 'Events',
    meaning:
      'Days for which an event can be read again. The emulated service allows 1 to 7; here longer is allowed too, as long ' +
      'as the disk holds it (`retentionBytes` bounds that).',
    form: 'a whole number from 1 to 36500',
  }),
  retentionBytes: documented(byteSize(limits.retentionBytesMin, 2 ** 50, 'auto', 'off').default('auto'), {
    topic: 'Events',
    meaning:
      'Bytes of events after which the oldest go, whatever their age; for each event hub. `auto` finds the bound at each ' +
      'start: three quarters of what telemetry takes and the disk has free together (a tenth for monitoring), or what the ' +
      'event hub takes already, whichever is more. It stays until the next start, whatever becomes of the free room. ' +
      '`mooring health` shows it.',
    form: 'bytes, also as 500MiB or 20GiB, at least 1MiB; or auto, or off',
  }),
  segmentBytes: documented(byteSize(limits.segmentBytesMin, 4 * 1024 ** 3).default(limits.segmentBytesDefault), {
    topic: 'Events',
    meaning:
      'Size of one file of the event log, and so the least that retention deletes at a time. At most an eighth of ' +
      '`retentionBytes` is taken, but never less than 64KiB.',
    form: 'bytes, also as 128MiB, from 64KiB to 4GiB',
  }),
  eventSources: documented(
    list(
      /^(DeviceMessages|twinChangeEvents|deviceLifecycleEvents|deviceConnectionStateEvents|deviceJobLifecycleEvents)$/,
    ).default(['DeviceMessages']),
    {
      topic: 'Events',
      meaning:
        'What goes to the telemetry event hub: `DeviceMessages`, which always does, `twinChangeEvents`, ' +
        '`deviceLifecycleEvents`, `deviceConnectionStateEvents`, `deviceJobLifecycleEvents`, in the form of the emulated service. ' +
        'Changes of twins and identities, and what became of devices in jobs, are told exactly once each, in order per identity; connections as far as monitoring sees them.',
      form: 'some of these names, separated by commas',
    },
  ),
  routesFile: documented(text(/[^\s]/).optional(), {
    topic: 'Events',
    meaning:
      'File in JSON that declares routes, enrichments and endpoints (`docs/routes.md`). They are then changed there alone: a start takes ' +
      'what it says, and calls that change routes are refused.',
    otherwise: 'routes are changed by `mooring route` and the management API',
    form: 'a path',
  }),
  queryIndexes: documented(
    list(/^(tags|properties\.desired)(\.[\p{L}\p{N}_-]+)+$/u, limits.queryIndexesMax).default([]),
    {
      topic: 'Data',
      meaning:
        'Values of twins that queries find by an index: `tags.site` makes `WHERE tags.site = ...` as fast as a look-up, for devices. ' +
        'A start makes the indexes that are missing (about a second for a million twins) and removes those that are not named any more.',
      form: `up to ${limits.queryIndexesMax} names below tags or properties.desired, separated by commas`,
    },
  ),
  consumerGroups: documented(list(groupPattern).default([]), {
    topic: 'Events',
    meaning: 'Consumer groups of the telemetry event hub that each start makes if missing, beside `$Default`.',
    form: `names of 1 to ${limits.consumerGroupCharsMax} letters, digits, dots, hyphens and underscores, separated by commas`,
  }),

  ...archiveSettings(documented, groupPattern),

  threads: documented(whole(1, limits.threadsMax).optional(), {
    topic: 'Limits',
    meaning:
      'Threads that serve the MQTT and AMQP ports. With one, the event log is written from its own loop; with more, it is ' +
      'written beside them, and one more core is of use. Platforms that cannot share a port among threads have one.',
    otherwise: '1 on up to two cores, else the number of cores less one',
    form: `a whole number from 1 to ${limits.threadsMax}`,
  }),
  telemetryBytesMax: documented(byteSize(1024, limits.telemetryBytesMax).default(limits.telemetryBytesMax), {
    topic: 'Limits',
    meaning: 'Largest telemetry message: body, properties and system values.',
    form: 'bytes, also as 64KiB, from 1KiB to 256KiB',
  }),
  devicesMax: countSetting(limits.devicesMax, 1, 100_000_000, 'Devices that the registry takes.'),
  consumerGroupsMax: countSetting(limits.consumerGroupsMax, 1, 1000, 'Consumer groups of an event hub.'),
  clockSkewSeconds: countSetting(
    limits.clockSkewMs / 1000,
    0,
    DAY_SECONDS,
    "Seconds by which a device's clock may be wrong before a token counts as ended.",
  ),
  tokenLifeHoursMax: documented(rate(1, 87_600).default('off'), {
    topic: 'Limits',
    meaning:
      'Longest time for which a SAS token may last from the moment at which it is shown. One that names a later end is ' +
      'refused, like one that has ended. Set it only where every client renews its tokens.',
    form: 'a whole number of hours from 1 to 87600, or off',
  }),
  ...connectionSettings(documented),
  ...throttleSettings(documented),
  drainSeconds: countSetting(
    limits.drainMs / 1000,
    1,
    limits.drainMsMax / 1000,
    'Seconds that the stop signal gives connections to end; then they are cut off.',
  ),

  ...fileSettings(documented),
  ...adapterSettings(documented),

  ...monitoringSettings(documented),
  ...traceSettings(documented),

  ownerKey: keySetting('Primary key of the policy `iothubowner` (everything).'),
  serviceKey: keySetting('Primary key of the policy `service` (send commands, read events).'),
  deviceKey: keySetting('Primary key of the policy `device` (act as any device).'),
  registryReadKey: keySetting('Primary key of the policy `registryRead`.'),
  registryReadWriteKey: keySetting('Primary key of the policy `registryReadWrite`.'),
  keyEncryptionKey: documented(key(32, 32).optional(), {
    topic: 'Keys',
    meaning:
      'Encrypts the keys of devices and policies at rest. Keep it: without it the data folder cannot be opened. Must be ' +
      'given on every start once it has been given on the first.',
    otherwise: 'a random one in a key file of the data folder',
    form: 'base64 of 32 bytes',
    secret: true,
  }),

  previousKeyEncryptionKey: documented(key(32, 32).optional(), {
    topic: 'Keys',
    meaning:
      'What `keyEncryptionKey` was before. Give both on one start to change it: everything is then re-encrypted, before ' +
      'anything is served. A key in the key file is changed by `mooring data rotate-key`.',
    otherwise: 'none',
    form: 'base64 of 32 bytes',
    secret: true,
  }),

  logLevel: documented(z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'), {
    topic: 'Log and output',
    meaning: 'Least important lines that the log (on stderr) holds.',
    form: 'debug, info, warn, error or silent',
  }),
  logFormat: documented(z.enum(['auto', 'json', 'text']).default('auto'), {
    topic: 'Log and output',
    meaning: 'JSON lines, or text for people; auto is text where stderr is a terminal.',
    form: 'auto, json or text',
  }),
  showConnectionStrings: documented(flag().default(true), {
    topic: 'Log and output',
    meaning:
      'Whether `serve` prints connection strings, which hold keys, to stdout. Switch it off where stdout is kept; ' +
      '`endpoints.json` in the data folder has them too.',
    form: 'on or off',
  }),
});

export type Settings = Readonly<z.infer<typeof settingsSchema>>;
export type SettingName = keyof Settings;

export const settingNames = Object.keys(settingsSchema.shape) as readonly SettingName[];

/** How a setting is written and what it means. `flag` is undefined for secrets. */
export interface SettingFacts extends SettingMeta {
  readonly name: SettingName;
  readonly flag: string | undefined;
  readonly variable: string;
  /** As `config print` would show it. */
  readonly defaultText: string;
  readonly isList: boolean;
}

export function settingFacts(name: SettingName): SettingFacts {
  const schema = settingsSchema.shape[name];
  const meta = settingMeta.get(schema);
  if (meta === undefined) throw new Error(`setting ${name} is not documented`);
  const words = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const value: unknown = schema.parse(undefined);
  return {
    ...meta,
    name,
    flag: meta.secret ? undefined : `--${words}`,
    variable: `MOORING_${words.replaceAll('-', '_').toUpperCase()}`,
    defaultText: meta.otherwise ?? `\`${shown(value)}\``,
    isList: [
      'hostName',
      'bindAddress',
      'adminBindAddress',
      'consumerGroups',
      'monitoringServiceEvents',
      'queryIndexes',
    ].includes(name),
  };
}

/** A value as a flag would take it. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '(none)' : value.join(',');
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

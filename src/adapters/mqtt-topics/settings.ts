/** What the operator may set. Checked by `config check`, rules included: what is wrong is named with the rule that it stands in. */
import { limits } from '../../base/limits.ts';
import { z } from '../../gateway/index.ts';
import { parsePattern } from './pattern.ts';
import { type PresetName, preset, presetNames } from './presets.ts';
import { checkReached, type Dialect, inboundRule, Mapping, outboundRule } from './rules.ts';

const text = z.string().min(1).max(256);
const certificate = z.union([z.literal('host'), z.strictObject({ certificateFile: text, keyFile: text })]);

const user = z
  .strictObject({
    name: text,
    /** `{ "$file": "path" }`, so that the settings hold no secret. */
    password: z.string().min(1).max(1024).optional(),
    /** Or the SHA-256 of the password, in hex. Only for long random passwords: a short one is found from it. */
    passwordSha256: z.stringFormat('64 hex digits', /^[0-9a-f]{64}$/i).optional(),
    /** It is this one device. */
    device: text.optional(),
    /** It speaks for many devices: the id of each in the hub, made of its name in the topic, `home-{device}`. */
    devices: text.optional(),
    devicesMax: z
      .number()
      .int()
      .min(1)
      .max(limits.mqttTopicsDevicesPerUserMax)
      .default(limits.mqttTopicsDevicesPerUser),
  })
  .superRefine(({ name, password, passwordSha256, device, devices }, context) => {
    const wrong = (message: string) => context.addIssue({ code: 'custom', message: `user "${name}": ${message}` });
    if ((password === undefined) === (passwordSha256 === undefined)) wrong('give it password or passwordSha256');
    if ((device === undefined) === (devices === undefined))
      wrong('say which device it is (device), or for which it speaks (devices)');
    if (devices !== undefined && !hasDevice(devices))
      wrong('"devices" needs {device}, the name of the device in the topic');
  });

const listen = z
  .strictObject({
    host: text.optional(),
    /** 8884 is a port that MQTT clients are used to and that the hub's own door does not use. */
    port: z.number().int().min(0).max(65_535).default(8884),
    tls: certificate.optional(),
    /** Without TLS passwords are read by everyone on the way: only where this is said. */
    plain: z.boolean().default(false),
    clientCertificates: z.boolean().default(false),
    connectionsMax: z.number().int().min(1).max(100_000).default(1000),
    connectionsPerAddressMax: z.number().int().min(1).max(100_000).default(100),
    /** Devices may log in with their id in the hub as user name, and their key or a SAS token of it as password. */
    deviceKeys: z.boolean().default(true),
    users: z.array(user).max(limits.mqttTopicsUsersMax).default([]),
  })
  .superRefine(({ tls, plain, users }, context) => {
    if ((tls !== undefined) === plain) {
      const message =
        'set "tls" ("host", or certificateFile and keyFile); or "plain": true for devices that have no TLS, whose passwords can be read on the way';
      context.addIssue({ code: 'custom', message });
    }
    if (new Set(users.map(({ name }) => name)).size < users.length)
      context.addIssue({ code: 'custom', message: 'a user name comes twice' });
  });

const bridge = z.strictObject({
  /** Broker, `mqtt://host:1883` or `mqtts://host:8883`. */
  url: z.stringFormat('mqtt:// or mqtts:// URL', (value) => /^mqtts?:\/\/[^/@\s]+$/.test(value) && URL.canParse(value)),
  userName: text.optional(),
  password: z.string().min(1).max(1024).optional(),
  /** Authorities that the broker's certificate may come from, PEM: `{ "$file": "path" }`. Absent = those that the system trusts. */
  ca: z.string().min(1).optional(),
  clientId: text.default('mooring-bridge'),
  keepAliveSeconds: z.number().int().min(5).max(3600).default(60),
  /** The id of a device in the hub, made of its name in the topic. */
  devices: text.default('{device}').refine(hasDevice, 'needs {device}, the name of the device in the topic'),
  devicesMax: z.number().int().min(1).max(limits.mqttTopicsDevicesPerUserMax).default(limits.mqttTopicsDevicesPerUser),
  /** The broker keeps what comes for the bridge while it is away. */
  persistent: z.boolean().default(true),
});

const presetChoice = z.union([
  z.enum(presetNames).transform((name) => ({ preset: name, base: undefined })),
  z.strictObject({ preset: z.enum(presetNames), base: text.optional() }),
]);

export const settingsSchema = z
  .strictObject({
    listen: listen.optional(),
    bridge: bridge.optional(),
    presets: z.array(presetChoice).max(presetNames.length).default([]),
    /** Rules of the operator; they come before those of presets. */
    inbound: z.array(inboundRule).max(limits.mqttTopicsRulesMax).default([]),
    outbound: z.array(outboundRule).max(limits.mqttTopicsRulesMax).default([]),
    /** A device behind a coordinator or a bridge that is silent for so long counts as gone. */
    idleSeconds: z
      .number()
      .int()
      .min(10)
      .max(30 * 86_400)
      .default(86_400),
  })
  .superRefine((settings, context) => {
    if (settings.listen === undefined && settings.bridge === undefined) {
      context.addIssue({
        code: 'custom',
        message: 'set "listen" (devices connect to it), "bridge" (it connects to a broker), or both',
      });
    }
    try {
      const mapping = mappingOf(settings);
      if (mapping.isEmpty)
        context.addIssue({
          code: 'custom',
          path: ['presets'],
          message: 'name a preset or give rules: nothing is mapped',
        });
    } catch (error) {
      context.addIssue({
        code: 'custom',
        path: ['inbound'],
        message: `a rule cannot be used: ${(error as Error).message}`,
      });
    }
  });

export type Settings = z.output<typeof settingsSchema>;
export type ListenSettings = NonNullable<Settings['listen']>;
export type BridgeSettings = NonNullable<Settings['bridge']>;
export type UserSettings = ListenSettings['users'][number];

/** @throws Error that names the rule */
export function mappingOf(settings: Pick<Settings, 'presets' | 'inbound' | 'outbound'>): Mapping {
  checkReached(settings.inbound);
  const own: Dialect = { name: 'rules', inbound: settings.inbound, outbound: settings.outbound };
  const chosen = settings.presets.flatMap(({ preset: name, base }: { preset: PresetName; base?: string | undefined }) =>
    preset(name, base),
  );
  return new Mapping([own, ...chosen]);
}

function hasDevice(template: string): boolean {
  try {
    return parsePattern(template).names.join() === 'device';
  } catch {
    return false;
  }
}

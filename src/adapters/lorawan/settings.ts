/** What the operator may set. */
import { limits } from '../../base/limits.ts';
import { z } from '../../gateway/index.ts';

const text = z.string().min(1).max(256);
const certificate = z.union([z.literal('host'), z.strictObject({ certificateFile: text, keyFile: text })]);

const downlink = z.strictObject({
  /** Of the server's API: `https://eu1.cloud.thethings.network`, or that of chirpstack-rest-api. Nothing else is ever called. */
  url: z.stringFormat(
    'http:// or https:// URL without user and query',
    (value) => /^https?:\/\/[^@?#\s]+$/.test(value) && URL.canParse(value),
  ),
  /** API key: `{ "$file": "path" }`, so that the settings hold no secret. */
  token: z.string().min(1).max(4096),
  /** The Things Stack: id of the webhook, in whose name downlinks are sent. */
  webhookId: text.default('mooring'),
  /** Port of a downlink whose command says none (`fPort`). */
  fPort: z.number().int().min(1).max(223).default(1),
  /** Whether downlinks are acknowledged by the device where the command says nothing (`confirmed`). */
  confirmed: z.boolean().default(false),
  /** Authorities that the server's certificate may come from, PEM: `{ "$file": "path" }`. Absent = those that the system trusts. */
  ca: z.string().min(1).optional(),
});

const network = z.strictObject({
  /** Part of the address: `/lorawan/NAME`. */
  name: z.stringFormat('lower-case letters, digits and "-"', /^[a-z0-9-]{1,32}$/),
  kind: z.enum(['the-things-stack', 'chirpstack']),
  /** What the server shows, `Authorization: Bearer SECRET`: `{ "$file": "path" }`. Short ones are guessed. */
  secret: z.string().min(8).max(1024),
  /** Id of a device in the hub. */
  devices: text.default('{devEui}').refine((value) => value.split('{devEui}').length === 2, 'needs {devEui}'),
  devicesMax: z.number().int().min(1).max(limits.lorawanDevicesMax).default(limits.lorawanDevices),
  /** `decoded`: what the server has decoded, as JSON, or else the bytes; `bytes`; `whole`: all that the server says. */
  body: z.enum(['decoded', 'bytes', 'whole']).default('decoded'),
  downlink: downlink.optional(),
});

export const settingsSchema = z
  .strictObject({
    host: text.optional(),
    port: z.number().int().min(0).max(65_535).default(8890),
    tls: certificate.optional(),
    /** Without TLS the secret is read by everyone on the way: only where this is said. */
    plain: z.boolean().default(false),
    connectionsMax: z.number().int().min(1).max(10_000).default(200),
    /** Absent = half of them: more where all servers come through one proxy. */
    connectionsPerAddressMax: z.number().int().min(1).max(10_000).optional(),
    networks: z.array(network).min(1).max(limits.lorawanNetworksMax),
  })
  .superRefine(({ tls, plain, networks }, context) => {
    const wrong = (message: string) => context.addIssue({ code: 'custom', message });
    if ((tls !== undefined) === plain)
      wrong('set "tls" ("host", or certificateFile and keyFile); or "plain": true where the way to it is private');
    if (new Set(networks.map(({ name }) => name)).size < networks.length) wrong("a network's name comes twice");
  });

export type Settings = z.output<typeof settingsSchema>;
export type NetworkSettings = Settings['networks'][number];
export type DownlinkSettings = NonNullable<NetworkSettings['downlink']>;

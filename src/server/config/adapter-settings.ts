/** The setting `adapters`: modules for protocols of their own, each with what the operator lets it do. */
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import type { SettingMeta } from './setting.ts';

/** A device id, or one that begins so: `zb-*`. */
const pattern = z.string().regex(/^[A-Za-z0-9\-:.+%_#*?!(),=@$']{1,128}$/);
const patterns = z.array(pattern).max(100).default([]);

const entrySchema = z.strictObject({
  /** A built-in's name, or the path of a module. */
  adapter: z.string().min(1).max(4096),
  name: z
    .string()
    .regex(new RegExp(`^[a-z][a-z0-9-]{0,${limits.adapterNameCharsMax - 1}}$`))
    .optional(),
  settings: z.record(z.string(), z.unknown()).default({}),
  /** `process` = one of its own; `hub` = beside the hub's own loop, which it can stop: for adapters that are trusted like the hub. */
  run: z.enum(['process', 'hub']).default('process'),
  vouchFor: patterns,
  certificatesOf: patterns,
  sharedKeysOf: patterns,
  create: z.strictObject({ max: z.int().min(1).max(1_000_000).default(limits.adapterCreatedMax) }).optional(),
  hubCertificate: z.boolean().default(false),
  memoryMiB: z.int().min(64).max(65_536).default(limits.adapterMemoryMiB),
  messagesPerSecond: z.int().min(1).max(10_000_000).default(limits.adapterMessagesPerSecond),
});

export type AdapterSettings = Readonly<z.infer<typeof entrySchema>>;

/** Under which name it runs. */
export function adapterNameOf({ adapter, name }: Pick<AdapterSettings, 'adapter' | 'name'>): string {
  if (name !== undefined) return name;
  const base = adapter.split(/[/\\]/).pop() ?? adapter;
  const words = base.replace(/\.[^.]*$/, '').toLowerCase();
  return (
    words
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^[^a-z]+|-$/g, '')
      .slice(0, limits.adapterNameCharsMax) || 'adapter'
  );
}

const listOf = (value: unknown): unknown => {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
};

const listSchema = z
  .array(entrySchema)
  .max(limits.adaptersMax)
  .refine((entries) => new Set(entries.map(adapterNameOf)).size === entries.length);

export function adapterSettings(documented: <T extends z.ZodType>(schema: T, meta: SettingMeta) => T) {
  return {
    adapters: documented(z.preprocess(listOf, listSchema).default([]), {
      topic: 'Adapters',
      meaning:
        'Adapters for devices that speak a protocol of their own (`docs/gateway.md`): a list of objects. `adapter` is `line`, ' +
        'another built-in one, or the path of a module; `name` tells two of a kind apart; `settings` are its own. `run` `process` ' +
        '(default) gives it a process, `hub` the loop of the hub. What it may do: `vouchFor`, `certificatesOf`, `sharedKeysOf` name ' +
        'devices (`zb-*` = all that begin so) that it may vouch for, whose certificates it may say to have seen, whose shared ' +
        'keys it may have; `create` `{"max": 1000}` lets it make devices that it vouches for; `hubCertificate` gives it the ' +
        "hub's certificate and key. Bounds: `memoryMiB`, `messagesPerSecond`.",
      form: `a list of up to ${limits.adaptersMax} objects in JSON, each with adapter, and names that differ`,
      otherwise: 'none',
      secret: true,
    }),
  };
}

/** What the operator says of a gateway beside the devices: one JSON file, whose first part is an entry of the hub's setting `adapters`. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { ADAPTER_NAME } from '../load.ts';

/** A device id, or one that begins so: `zb-*`. */
const patterns = z
  .array(z.string().regex(/^[A-Za-z0-9\-:.+%_#*?!(),=@$']{1,128}$/))
  .max(100)
  .default([]);

const schema = z.strictObject({
  /** A built-in's name, or the path of a module, relative to the file. */
  adapter: z.string().min(1).max(4096).optional(),
  name: z.string().regex(ADAPTER_NAME).optional(),
  settings: z.record(z.string(), z.unknown()).default({}),
  vouchFor: patterns,
  certificatesOf: patterns,
  sharedKeysOf: patterns,
  create: z.strictObject({ max: z.int().min(1).max(1_000_000).default(limits.gatewayCreatedMax) }).optional(),

  /** Where queue, memory and proofs lie. */
  folder: z.string().min(1).default('mooring-gateway'),
  queueMiB: z
    .number()
    .min(1)
    .max(1024 * 1024)
    .default(limits.gatewayQueueBytesDefault / 1024 / 1024),
  whenFull: z.enum(['refuse', 'dropOldest']).default('refuse'),
  /** How long live messages may wait for others, where the link is paid by the byte. */
  lingerSeconds: z.number().min(0).max(600).default(0),
  /** Silence after which the connection counts as lost; the hub sends an empty frame in each quarter of it. */
  idleSeconds: z
    .number()
    .min(10)
    .max(3600)
    .default(limits.gatewayIdleMs / 1000),
  /** The hub's HTTPS port, by which files of devices come and go; absent = that of the login. */
  httpsPort: z.int().min(1).max(65_535).optional(),
  /** Certificate chain and key in PEM, for listeners with `certificate: 'host'`. */
  certificateFile: z.string().optional(),
  keyFile: z.string().optional(),
  /** Health and metrics by HTTP on 127.0.0.1; absent = not served. */
  statusPort: z.int().min(0).max(65_535).optional(),
});

export type GatewayConfig = Readonly<z.infer<typeof schema>>;

/** The configuration cannot be used; the message says why. */
export class GatewayConfigError extends Error {
  override readonly name = 'GatewayConfigError';
}

export interface LoadedConfig {
  readonly config: GatewayConfig;
  /** What paths in it are relative to. */
  readonly base: string;
}

/**
 * @param file Absent = everything by flags
 * @param flags Win over the file; undefined ones say nothing
 * @throws GatewayConfigError
 */
export function loadGatewayConfig(
  file: string | undefined,
  flags: Readonly<Record<string, unknown>>,
  cwd: string,
): LoadedConfig {
  const full = file === undefined ? undefined : path.resolve(cwd, file);
  const told = full === undefined ? {} : readJson(full);
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const settings = { ...own(told.settings), ...own(given.settings) };
  const result = schema.safeParse({ ...told, ...given, settings });
  if (result.success) return { config: result.data, base: full === undefined ? cwd : path.dirname(full) };
  const problems = result.error.issues.map(({ path: place, message }) => `${place.join('.') || 'it'}: ${message}`);
  throw new GatewayConfigError(
    `The configuration${full === undefined ? '' : ` ${full}`} cannot be used. ${problems.join('; ')}`,
  );
}

const own = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

function readJson(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new GatewayConfigError(`The configuration ${file} cannot be read: ${(error as Error).message}.`);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new GatewayConfigError(`The configuration ${file} is no JSON object.`);
}

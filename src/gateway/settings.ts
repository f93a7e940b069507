/** Settings of an adapter: secrets from where they are kept, then the adapter's own schema. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { AdapterFault } from './load.ts';
import type { AdapterDefinition } from './types.ts';

/**
 * What the adapter's schema makes of `value`. Anywhere in it `{ "$env": "NAME" }` stands for a variable and `{ "$file": "path" }` for the
 * text of a file, without its last line break: so that settings hold no secret.
 * @param folder What `$file` is relative to
 * @throws AdapterFault with everything that is wrong; it names places, never values
 */
export async function checkSettings<Settings>(
  { name, settings }: AdapterDefinition<Settings>,
  value: unknown,
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Settings> {
  const result = await settings['~standard'].validate(resolved(value ?? {}, name, folder, env));
  if (result.issues === undefined) return result.value;
  const problems = result.issues.map(({ message, path: place = [] }) => {
    const names = place.map((part) => String(typeof part === 'object' ? part.key : part));
    return `${['settings', ...names].join('.')}: ${message}`;
  });
  throw new AdapterFault(`The adapter ${name} cannot use its settings. ${problems.join('; ')}`);
}

/** The settings that it takes, as JSON Schema; undefined where its schema does not say. */
export function describeSettings({
  settings,
}: Pick<AdapterDefinition, 'settings'>): Record<string, unknown> | undefined {
  return settings['~standard'].jsonSchema?.input({ target: 'draft-2020-12' });
}

function resolved(
  value: unknown,
  adapter: string,
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): unknown {
  if (Array.isArray(value)) return value.map((each) => resolved(each, adapter, folder, env));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  const [[word, from] = []] = entries;
  if (entries.length === 1 && typeof from === 'string') {
    if (word === '$env') {
      const found = env[from];
      if (found === undefined)
        throw new AdapterFault(`The adapter ${adapter} needs the variable ${from}: it is not set.`);
      return found;
    }
    if (word === '$file') {
      try {
        return readFileSync(path.resolve(folder, from), 'utf8').replace(/\r?\n$/, '');
      } catch (error) {
        throw new AdapterFault(`The adapter ${adapter} needs a file that cannot be read: ${(error as Error).message}`);
      }
    }
  }
  return Object.fromEntries(entries.map(([name, each]) => [name, resolved(each, adapter, folder, env)]));
}

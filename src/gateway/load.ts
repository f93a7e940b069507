/** Adapters by their names: the built-in ones, and modules of the operator, which find `mooring/gateway` wherever they lie. */
import { registerHooks } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { limits } from '../base/limits.ts';
import type { AdapterDefinition } from './types.ts';

/** Name -> its module, not imported before it is asked for. */
export type BuiltIns = Readonly<Record<string, () => Promise<{ readonly default: AdapterDefinition }>>>;

/** An adapter that cannot be used; the message says why and what to do. */
export class AdapterFault extends Error {
  override readonly name = 'AdapterFault';
}

/**
 * @param adapter A built-in's name, or the path of a module (`./meter.ts`, `/opt/meter.js`), relative to `folder`
 * @throws AdapterFault
 */
export async function loadAdapter(adapter: string, builtIns: BuiltIns, folder: string): Promise<AdapterDefinition> {
  const builtIn = Object.hasOwn(builtIns, adapter) ? builtIns[adapter] : undefined;
  if (builtIn !== undefined) return (await builtIn()).default;
  if (!/[./\\]/.test(adapter)) {
    const names = Object.keys(builtIns).join(', ');
    throw new AdapterFault(
      `There is no adapter ${adapter}. Built in are ${names}; a module of yours is named by its path.`,
    );
  }
  const file = path.resolve(folder, adapter);
  resolveGateway();
  let module: { readonly default?: unknown };
  try {
    module = await import(pathToFileURL(file).href);
  } catch (error) {
    throw new AdapterFault(`The adapter ${file} cannot be loaded: ${(error as Error).message}${placeOf(error)}`, {
      cause: error,
    });
  }
  return checked(module.default, file);
}

/** Where a module of the author's is wrong; '' = it is not known. */
function placeOf(error: unknown): string {
  // The first line of a stack that names a file: of a fault of syntax with its path, of others with its address.
  const place = /(?:^|\(|at |file:\/\/)(\/.+?):(\d+)(?::\d+)?\)?$/m.exec((error as Error).stack ?? '');
  if (place === null || place[1] === import.meta.filename) return '';
  return ` (line ${place[2]} of ${place[1]})`;
}

function checked(value: unknown, file: string): AdapterDefinition {
  const wrong = (what: string) => new AdapterFault(`The adapter ${file} ${what}. See docs/gateway.md.`);
  if (typeof value !== 'object' || value === null) throw wrong('has no default export');
  const { name, apiVersion, settings, create } = value as Partial<AdapterDefinition>;
  if (typeof name !== 'string' || !ADAPTER_NAME.test(name))
    throw wrong('needs a name of lower-case letters, digits and -');
  if (apiVersion !== 1)
    throw wrong(`is for version ${String(apiVersion)} of the interface, this host speaks version 1`);
  if (typeof settings?.['~standard']?.validate !== 'function') throw wrong('needs settings: a schema, as z.object({})');
  if (typeof create !== 'function') throw wrong('has no function create');
  return value as AdapterDefinition;
}

/** Of an adapter, and of one that is set up under a name of its own. */
export const ADAPTER_NAME = new RegExp(`^[a-z][a-z0-9-]{0,${limits.adapterNameCharsMax - 1}}$`);

let isResolving = false;

/** Modules outside of this package need no installed copy of it: `mooring/gateway` is what runs. */
export function resolveGateway(): void {
  if (isResolving) return;
  isResolving = true;
  const extension = path.extname(import.meta.url);
  const entries: Readonly<Record<string, string>> = {
    'mooring/gateway': new URL(`./index${extension}`, import.meta.url).href,
    'mooring/gateway/testing': new URL(`./testing/index${extension}`, import.meta.url).href,
  };
  registerHooks({
    resolve: (specifier, context, next) =>
      Object.hasOwn(entries, specifier)
        ? { url: entries[specifier], format: extension === '.ts' ? 'module-typescript' : 'module', shortCircuit: true }
        : next(specifier, context),
  });
}

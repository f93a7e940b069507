import { builtInAdapters } from '../../adapters/built-in.ts';
import { AdapterFault, loadAdapter } from '../../gateway/load.ts';
import { checkSettings } from '../../gateway/settings.ts';
import { type AdapterSettings, adapterNameOf } from '../config/adapter-settings.ts';

/** What keeps adapters from starting: modules that cannot be loaded, settings that their schemas refuse. Never holds a value. */
export async function checkAdapters(
  { adapters }: { readonly adapters: readonly AdapterSettings[] },
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const entry of adapters) {
    try {
      const definition = await loadAdapter(entry.adapter, builtInAdapters, process.cwd());
      await checkSettings(definition, entry.settings, process.cwd(), env);
    } catch (error) {
      if (!(error instanceof AdapterFault)) throw error;
      problems.push(`adapters, ${adapterNameOf(entry)}: ${error.message}`);
    }
  }
  return problems;
}

/** Settings of the place where files of devices are kept, and what is needed together. */
import { z } from 'zod';
import { objectionToConnectionString } from '../../stores/objects/azure/account.ts';
import type { SettingMeta } from './config.ts';
import { text } from './config-kinds.ts';

export type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

/** Names of containers, as the service takes them (documentation: "Naming containers"). */
const CONTAINER = /^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$/;

export function storeSettings(documented: Documented) {
  return {
    filesStore: documented(z.enum(['folder', 'azure', 'off']).default('folder'), {
      topic: 'Files',
      meaning:
        'Where files of devices are kept: `folder`, plain files in `filesFolder`; `azure`, a container of an Azure storage ' +
        'account, to which devices send without the hub; `off`, devices are told that this hub takes none.',
      form: 'folder, azure or off',
    }),
    filesFolder: documented(text(/[^\s]/).optional(), {
      topic: 'Files',
      meaning:
        'Folder of `filesStore` `folder`. With the others, what is on its way to the store lies here until that has it.',
      otherwise: '`<data-dir>/files`',
      form: 'a path',
    }),
    filesStoreCaFile: documented(text(/[^\s]/).optional(), {
      topic: 'Files',
      meaning:
        'Certificate (PEM) of the authority that has issued that of the store, where it is none that everybody trusts.',
      otherwise: 'none',
      form: 'a path',
    }),
    filesAzureConnectionString: documented(
      text(/[^\s]/)
        .refine((value) => objectionToConnectionString(value) === undefined)
        .optional(),
      {
        topic: 'Files',
        meaning: 'Connection string of the storage account of `filesStore` `azure`; its key signs the URLs of devices.',
        otherwise: 'none',
        form: 'a connection string with AccountName, AccountKey, and EndpointSuffix or BlobEndpoint (https; http on loopback only)',
        secret: true,
      },
    ),
    filesAzureContainer: documented(text(CONTAINER).default('hub-files'), {
      topic: 'Files',
      meaning: 'Container of `filesStore` `azure`. Made when missing.',
      form: '3 to 63 small letters, digits and inner hyphens',
    }),
  };
}

type StoreSettings = Partial<z.infer<z.ZodObject<ReturnType<typeof storeSettings>>>>;

/**
 * What a choice of store lacks. (A hub of several nodes will refuse a `filesStore` `folder` that the nodes do not share here, too:
 * there is no setting for such a hub yet.)
 */
export function storeProblems(settings: StoreSettings, isRefused: (name: keyof StoreSettings) => boolean): string[] {
  const lacks = (name: keyof StoreSettings): boolean => settings[name] === undefined && !isRefused(name);
  if (settings.filesStore === 'azure' && lacks('filesAzureConnectionString')) {
    return ['filesStore azure needs filesAzureConnectionString.'];
  }
  return [];
}

/** Settings of the place where files of devices are kept, and what is needed together. */
import { z } from 'zod';
import { objectionToConnectionString, objectionToEndpoint } from '../../stores/objects/azure/account.ts';
import { flag, text } from './config-kinds.ts';
import type { SettingMeta } from './setting.ts';

export type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

/** Names of containers, as the service takes them (documentation: "Naming containers"). */
const CONTAINER = /^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$/;

export function storeSettings(documented: Documented) {
  return {
    filesStore: documented(z.enum(['folder', 'azure', 's3', 'off']).default('folder'), {
      topic: 'Files',
      meaning:
        'Where files of devices are kept: `folder`, plain files in `filesFolder`; `azure`, a container of an Azure storage ' +
        'account, to which devices send without the hub; `s3`, a bucket of S3 or of what speaks like it, behind the hub; `off`, ' +
        'devices are told that this hub takes none.',
      form: 'folder, azure, s3 or off',
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
    filesS3Endpoint: documented(
      text(/^https?:\/\/[^/]+\/?$/)
        .refine(isEndpoint)
        .optional(),
      {
        topic: 'Files',
        meaning: 'Where the service of `filesStore` `s3` is, without the bucket.',
        otherwise: 'none',
        form: 'a URL of https (http on loopback only) without a path, as https://s3.eu-central-1.amazonaws.com',
      },
    ),
    filesS3Region: documented(text(/^[A-Za-z0-9-]{1,64}$/).default('us-east-1'), {
      topic: 'Files',
      meaning: 'Region of the bucket, which is part of each signature.',
      form: 'the name of a region',
    }),
    filesS3Bucket: documented(text(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/).optional(), {
      topic: 'Files',
      meaning: 'Bucket of `filesStore` `s3`. It must be there, and is for this hub alone.',
      otherwise: 'none',
      form: '3 to 63 small letters, digits, inner dots and hyphens',
    }),
    filesS3PathStyle: documented(flag().default(true), {
      topic: 'Files',
      meaning: 'Whether the bucket stands in the path of URLs; else in the name of the host, before `filesS3Endpoint`.',
      form: 'on or off',
    }),
    filesS3AccessKeyId: documented(text(/^[\x21-\x7e]{1,256}$/).optional(), {
      topic: 'Files',
      meaning:
        'Id of the key of `filesStore` `s3`. It may get, put, delete and list objects, and list and abort uploads in parts.',
      otherwise: 'none',
      form: '1 to 256 characters of ASCII without blanks',
    }),
    filesS3SecretAccessKey: documented(text(/^[\x21-\x7e]{1,256}$/).optional(), {
      topic: 'Files',
      meaning: 'The key itself.',
      otherwise: 'none',
      form: '1 to 256 characters of ASCII without blanks',
      secret: true,
    }),
  };
}

type StoreSettings = Partial<z.infer<z.ZodObject<ReturnType<typeof storeSettings>>>>;

const isEndpoint = (value: string): boolean => URL.canParse(value) && objectionToEndpoint(new URL(value)) === undefined;

const needed: Readonly<Record<string, readonly (keyof StoreSettings)[]>> = {
  azure: ['filesAzureConnectionString'],
  s3: ['filesS3Endpoint', 'filesS3Bucket', 'filesS3AccessKeyId', 'filesS3SecretAccessKey'],
};

/** What a choice of store lacks. */
export function storeProblems(settings: StoreSettings, isRefused: (name: keyof StoreSettings) => boolean): string[] {
  const lacks = (name: keyof StoreSettings): boolean => settings[name] === undefined && !isRefused(name);
  const { filesStore = 'folder' } = settings;
  return (needed[filesStore] ?? []).filter(lacks).map((name) => `filesStore ${filesStore} needs ${name}.`);
}

/** Opens the store of files that the settings name. */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { ObjectError, type ObjectStore } from '../core/files/object-store.ts';
import { readConnectionString } from '../stores/objects/azure/account.ts';
import { openFolderStore } from '../stores/objects/folder/folder-store.ts';
import type { Outcome } from '../stores/objects/remote/store-client.ts';
import type { Settings } from './config/config.ts';

interface Around {
  /** Other nodes may use the same folder. */
  readonly isOneOfMany: boolean;
  readonly clock: Clock;
  readonly log: Log;
  observe(outcome: Outcome, seconds: number): void;
}

/**
 * @param folder of the store on the disk, unless the settings say another
 * @returns undefined = this hub keeps no files
 * @throws Error whose message says what to do, when the store can never be used with these settings; one that only cannot
 *   be reached is told of, and files wait for it: the hub has more to do than files
 */
export async function openStore(settings: Settings, folder: string, around: Around): Promise<ObjectStore | undefined> {
  const { isOneOfMany, clock, log, observe } = around;
  const place = settings.filesFolder ?? folder;
  switch (settings.filesStore) {
    case 'off':
      return undefined;
    case 'folder':
      return openFolderStore({ folder: place, clock, isShared: isOneOfMany });
    case 'azure': {
      // Loaded by the hubs that use it: a start has enough to read.
      const { openAzureStore } = await import('../stores/objects/azure/azure-store.ts');
      const store = await openAzureStore({
        account: readConnectionString(settings.filesAzureConnectionString ?? ''),
        container: settings.filesAzureContainer,
        ca: authorityOf(settings),
        ...{ folder: place, clock, observe },
      });
      return reached(store, () => store.prepare(), 'See filesAzureConnectionString and filesAzureContainer.', log);
    }
    case 's3': {
      const {
        filesS3Endpoint = '',
        filesS3Bucket = '',
        filesS3AccessKeyId = '',
        filesS3SecretAccessKey = '',
      } = settings;
      const { openS3Store } = await import('../stores/objects/s3/s3-store.ts');
      const store = await openS3Store({
        bucket: {
          ...{ endpoint: new URL(filesS3Endpoint), name: filesS3Bucket, isPathStyle: settings.filesS3PathStyle },
          key: {
            ...{ accessKeyId: filesS3AccessKeyId, secretAccessKey: filesS3SecretAccessKey },
            region: settings.filesS3Region,
          },
        },
        ca: authorityOf(settings),
        ...{ folder: place, isShared: isOneOfMany, clock, observe },
      });
      const remedy = 'See filesS3Bucket, filesS3Region, filesS3AccessKeyId and filesS3SecretAccessKey.';
      return reached(store, () => store.check(), remedy, log);
    }
  }
}

/** Names the folder of a store on the disk: nodes that share it read the same name. 16 hex digits. @throws Error */
export function placeOf(folder: string): string {
  const file = path.join(folder, '.place');
  const place = randomBytes(8).toString('hex');
  const own = `${file}.${place}`;
  // It is there whole, or not: another node may read it at the same time.
  writeFileSync(own, place, { flag: 'wx', mode: 0o600, flush: true });
  try {
    linkSync(own, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(own);
  }
  return readFileSync(file, 'utf8');
}

/** @throws Error */
async function reached(
  store: ObjectStore,
  prepare: () => Promise<void>,
  remedy: string,
  log: Log,
): Promise<ObjectStore> {
  try {
    await prepare();
  } catch (error) {
    if (!(error instanceof ObjectError) || error.kind === 'denied') {
      await store.close();
      throw new Error(`The store of files (${store.kind}) cannot be used: ${(error as Error).message}. ${remedy}`);
    }
    log.warn({ error }, 'the store of files cannot be reached; files wait for it');
  }
  return store;
}

/** @throws Error */
function authorityOf({ filesStoreCaFile }: Settings): string | undefined {
  if (filesStoreCaFile === undefined) return undefined;
  try {
    return readFileSync(filesStoreCaFile, 'utf8');
  } catch (error) {
    throw new Error(`filesStoreCaFile cannot be read: ${(error as Error).message}.`);
  }
}

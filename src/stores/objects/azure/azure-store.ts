/**
 * Files in a container of an Azure storage account. Devices send to the account itself, by signed URLs that the hub makes;
 * what goes through the hub are files of back ends, and what is read here. The account keeps blocks, and makes a blob of
 * them in one step: that is what makes every object whole.
 */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import { Gate } from '../../../base/gate.ts';
import { limits } from '../../../base/limits.ts';
import {
  checkCondition,
  type ListedObject,
  ObjectError,
  type ObjectFacts,
  type ObjectStore,
} from '../../../core/files/object-store.ts';
import { DiskTurns } from '../disk/disk-turns.ts';
import { type Spooled, spooling } from '../disk/spool.ts';
import { Staging } from '../disk/staging.ts';
import { STAGING_FOLDER } from '../disk/unfinished.ts';
import { PathLocks } from '../path-locks.ts';
import { eachOf } from '../remote/each-of.ts';
import { type Outcome, type RequestBody, StoreClient } from '../remote/store-client.ts';
import { type AzureAccount, serviceSas, sharedKey } from './account.ts';
import { type BlobOptions, BlobService } from './blob-service.ts';

export interface AzureStoreParts {
  readonly account: AzureAccount;
  readonly container: string;
  /** Certificate (PEM) that the account's is trusted by, beside the usual ones. */
  readonly ca: string | undefined;
  /** Where files lie on their way to the account. Made where it is missing. */
  readonly folder: string;
  readonly clock: Clock;
  observe(outcome: Outcome, seconds: number): void;
}

/** Service: characters of a blob's name; bytes are never fewer. */
const PATH_BYTES_MAX = 1024;
/** Decoded bytes of the ids that the hub gives, of which the last are the number. */
const ID_BYTES = 48;
const NUMBER_BYTES = 6;

/** Opens the store and sends nothing to the account: `check` does that. @throws Error when the folder cannot be used */
export async function openAzureStore(parts: AzureStoreParts): Promise<AzureStore> {
  const { account, container, clock } = parts;
  const folder = path.join(parts.folder, STAGING_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const turns = new DiskTurns(folder);
  // Removes what a crash has left.
  const locks = new PathLocks();
  const staging = await Staging.open({ folder, turns, locks, dropped: () => {} });
  const client = new StoreClient(parts);
  const service = new BlobService({
    ...{ endpoint: account.endpoint, container, client, now: () => clock.now() },
    sign: (...request) => ({ Authorization: sharedKey(account, ...request) }),
  });
  const places = new Gate(limits.fileStorePutsMax);

  /** @throws ObjectError */
  async function upload(objectPath: string, content: Spooled, options: BlobOptions): Promise<ObjectFacts> {
    const part = (offset: number, bytes: number): RequestBody => ({ bytes, open: () => content.read(offset, bytes) });
    if (content.bytes <= limits.fileStoreWholeBytesMax) {
      return service.putBlob(objectPath, part(0, content.bytes), options);
    }
    const partBytes = Math.max(limits.fileStorePartBytes, Math.ceil(content.bytes / limits.fileBlocksMax));
    // All ids of one blob have one length, those of blocks that another client has left there as well.
    const [left] = await service.uncommitted(objectPath);
    const idBytes = left === undefined ? ID_BYTES : Math.max(NUMBER_BYTES, Buffer.from(left.id, 'base64').length);
    const mark = randomBytes(ID_BYTES)
      .toString('hex')
      .slice(0, idBytes - NUMBER_BYTES);
    const ids = Array.from({ length: Math.ceil(content.bytes / partBytes) }, (_, nth) =>
      Buffer.from(mark + String(nth).padStart(NUMBER_BYTES, '0')).toString('base64'),
    );
    await eachOf(ids, limits.fileStorePartsAtOnceMax, (id, nth) => {
      const offset = nth * partBytes;
      return service.putBlock(objectPath, id, part(offset, Math.min(partBytes, content.bytes - offset)));
    });
    return service.putBlockList(objectPath, ids, content.bytes, options);
  }

  async function* listed(prefix: string): AsyncGenerator<ListedObject> {
    let marker: string | undefined;
    do {
      const { objects, next } = await service.list(prefix, marker, limits.fileStorePageMax);
      yield* objects;
      marker = next;
    } while (marker !== undefined);
  }

  return {
    kind: 'azure',
    pathBytesMax: PATH_BYTES_MAX,
    direct: {
      hostName: account.endpoint.slice(account.endpoint.indexOf('//') + 2),
      containerName: container,
      sign: (objectPath, rights, expiresAt) => serviceSas(account, { container, path: objectPath }, rights, expiresAt),
    },
    prepare: () => service.demandContainer(),

    async put(objectPath, source, options) {
      checkCondition(options.condition, await service.head(objectPath));
      return spooling(folder, turns, source, options, (content) =>
        places.run(() => locks.run(objectPath, () => upload(objectPath, content, options))),
      );
    },

    async stage(objectPath, id, source, options) {
      const [known] = await service.uncommitted(objectPath);
      if (known !== undefined && known.id.length !== id.length) throw new ObjectError('blockId');
      await spooling(folder, turns, source, options, ({ bytes, read }) =>
        places.run(() => service.putBlock(objectPath, id, { bytes, open: () => read(0, bytes) })),
      );
      return { bytes: options.bytes };
    },

    commit: (objectPath, ids, options) =>
      locks.run(objectPath, async () => {
        const blocks = new Map((await service.uncommitted(objectPath)).map(({ id, bytes }) => [id, bytes]));
        const bytes = ids.reduce((sum, id) => {
          const found = blocks.get(id);
          if (found === undefined) throw new ObjectError('unknownBlock');
          return sum + found;
        }, 0);
        if (bytes > options.bytesMax) throw new ObjectError('tooLarge');
        return service.putBlockList(objectPath, ids, bytes, options);
      }),

    stagedBytes: async (objectPath) =>
      (await service.uncommitted(objectPath)).reduce((sum, { bytes }) => sum + bytes, 0),
    head: (objectPath) => service.head(objectPath),
    read: (objectPath, range) => service.read(objectPath, range),
    delete: (objectPath, condition = {}) =>
      locks.run(objectPath, async () => {
        const found = Object.keys(condition).length === 0 ? undefined : await service.head(objectPath);
        if (found !== undefined) checkCondition(condition, found);
        return service.delete(objectPath);
      }),

    async list(prefix, { after, limit }) {
      const found: ListedObject[] = [];
      // The service's own marks of a page's place mean nothing to others, so that a later page is looked for from the start.
      for await (const object of listed(prefix)) {
        if (after !== undefined && object.path <= after) continue;
        found.push(object);
        if (found.length === limit) break;
      }
      return found;
    },

    async deleteAll(prefix) {
      let count = 0;
      for (;;) {
        const { objects } = await service.list(prefix, undefined, limits.fileStorePageMax);
        if (objects.length === 0) return count;
        await eachOf(objects, limits.fileStoreWorkAtOnceMax, (object) => service.delete(object.path));
        count += objects.length;
      }
    },

    // The service drops blocks that nobody commits a week after the last of them.
    expire: async () => {},
    usage: async () => undefined,
    freeBytes: async () => undefined,
    check: () => service.check(),
    async close() {
      await staging.close();
      client.close();
    },
  };
}

export interface AzureStore extends ObjectStore {
  /** Makes the container where there is none. @throws ObjectError */
  prepare(): Promise<void>;
}

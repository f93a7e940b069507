/**
 * Files in a bucket of S3, or of what speaks like it. Devices send to the hub: S3 takes no part below 5 MiB but the last, and
 * devices send smaller blocks. So blocks lie on the hub's disk until the list commits them, and go to the bucket then, in
 * parts of the store's own. An object gets its name when S3 has all of it: by one PUT, or when its parts are completed.
 */
import { mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import { Gate } from '../../../base/gate.ts';
import { limits } from '../../../base/limits.ts';
import {
  type CommitOptions,
  type Condition,
  checkCondition,
  type ListedObject,
  ObjectError,
  type ObjectFacts,
  type ObjectStore,
} from '../../../core/files/object-store.ts';
import { checkedSource } from '../checked-source.ts';
import { sumOfList } from '../disk/block-list.ts';
import { DiskTurns } from '../disk/disk-turns.ts';
import { openUnfinished } from '../disk/open-unfinished.ts';
import { type Spooled, spooling } from '../disk/spool.ts';
import { STAGING_FOLDER } from '../disk/unfinished.ts';
import { everySoOften } from '../every-so-often.ts';
import { PathLocks } from '../path-locks.ts';
import { eachOf } from '../remote/each-of.ts';
import { type Outcome, type RequestBody, StoreClient } from '../remote/store-client.ts';
import { UsageCounts } from '../usage.ts';
import { LeftUploads } from './left-uploads.ts';
import { isOfList, newMark } from './object-mark.ts';
import { type S3Bucket, type S3Facts, type S3Options, S3Service } from './s3-service.ts';

export interface S3StoreParts {
  readonly bucket: S3Bucket;
  /** Certificate (PEM) that the store's is trusted by, beside the usual ones. */
  readonly ca: string | undefined;
  /** Where blocks lie, and files on their way to the bucket. Made where it is missing. */
  readonly folder: string;
  readonly clock: Clock;
  /** Other processes may use the folder at the same time. Default: false. */
  readonly isShared?: boolean;
  observe(outcome: Outcome, seconds: number): void;
}

/** Service: bytes of a key in UTF-8. */
const PATH_BYTES_MAX = 1024;
/** Service: parts of one object. */
const PARTS_MAX = 10_000;

/** Opens the store and sends nothing to the bucket: `check` does that. @throws Error when the folder cannot be used */
export async function openS3Store(parts: S3StoreParts): Promise<ObjectStore> {
  const { bucket, clock } = parts;
  const folder = path.join(parts.folder, STAGING_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const turns = new DiskTurns(folder);
  const client = new StoreClient(parts);
  const service = new S3Service({ bucket, client, now: () => clock.now() });
  const locks = new PathLocks();
  const places = new Gate(limits.fileStorePutsMax);
  const left = new LeftUploads(service, clock);
  const groupOf = (objectPath: string): string => objectPath.slice(0, objectPath.indexOf('/'));
  const usage = new UsageCounts({
    groupOf,
    async *entries() {
      for await (const { path: objectPath, bytes } of keys('')) yield { group: groupOf(objectPath), bytes };
    },
  });
  const staging = await openUnfinished({ folder, turns, locks, usage, isShared: parts.isShared ?? false });

  const recountInTime = everySoOften(clock, limits.fileUsageCountMs, () => usage.recount(staging.all()));

  async function* keys(prefix: string) {
    let after: string | undefined;
    for (;;) {
      const { objects, isLast } = await service.list(prefix, after, limits.fileStorePageMax);
      yield* objects;
      if (isLast) return;
      after = objects.at(-1)?.path;
    }
  }

  async function head(objectPath: string): Promise<ObjectFacts | undefined> {
    const found = await service.head(objectPath);
    return found && factsOf(found);
  }

  /** Stores an object whole. The caller holds the path's lock. @param mark that no other object has */
  async function store(
    objectPath: string,
    content: Spooled,
    { contentType, condition, md5 }: Omit<CommitOptions, 'bytesMax'>,
    mark: string,
  ): Promise<ObjectFacts> {
    const current = await head(objectPath);
    checkCondition(condition, current);
    const options = { contentType, condition, mark, ...(md5 !== undefined && { md5 }) };
    let lost: unknown;
    try {
      await places.run(() => upload(objectPath, content, options));
    } catch (error) {
      lost = error;
    }
    // Where the answer was lost, or a second try met what the first had stored, the object is there all the same.
    const found = lost === undefined ? await service.head(objectPath) : await service.head(objectPath).catch(() => {});
    if (lost !== undefined && found?.mark !== mark) throw lost;
    if (found === undefined) throw new ObjectError('unavailable', 'an object was removed while it was stored');
    usage.add(objectPath, found.bytes - (current?.bytes ?? 0), current === undefined ? 1 : 0);
    return factsOf(found);
  }

  async function upload(objectPath: string, content: Spooled, options: S3Options): Promise<void> {
    const part = (offset: number, bytes: number): RequestBody => ({ bytes, open: () => content.read(offset, bytes) });
    if (content.bytes <= limits.fileStoreWholeBytesMax) {
      return service.putObject(objectPath, part(0, content.bytes), options);
    }
    const partBytes = Math.max(limits.fileStorePartBytes, Math.ceil(content.bytes / PARTS_MAX));
    const offsets = Array.from({ length: Math.ceil(content.bytes / partBytes) }, (_, nth) => nth * partBytes);
    const id = await service.beginParts(objectPath, options);
    left.begun(id);
    try {
      const etags = await eachOf(offsets, limits.fileStorePartsAtOnceMax, (offset, nth) =>
        service.putPart(objectPath, id, nth + 1, part(offset, Math.min(partBytes, content.bytes - offset))),
      );
      await service.completeParts(objectPath, id, etags, options.condition);
    } catch (error) {
      // What cannot be aborted now is found later.
      await service.abortParts(objectPath, id).catch(() => {});
      throw error;
    } finally {
      left.ended(id);
    }
  }

  /** The caller holds the path's lock. */
  async function remove(objectPath: string, condition: Condition = {}): Promise<boolean> {
    const found = await service.head(objectPath);
    if (found === undefined) return false;
    checkCondition(condition, factsOf(found));
    await service.delete(objectPath);
    usage.add(objectPath, -found.bytes, -1);
    return true;
  }

  return {
    kind: 's3',
    pathBytesMax: PATH_BYTES_MAX,

    async put(objectPath, source, options) {
      checkCondition(options.condition, await head(objectPath));
      return spooling(folder, turns, source, options, (content) =>
        locks.run(objectPath, async () => {
          const facts = await store(objectPath, content, options, newMark());
          await staging.drop(objectPath);
          return facts;
        }),
      );
    },

    async stage(objectPath, id, source, options) {
      const checked = checkedSource(source, options);
      const offsetMax = options.bytesMax + (await staging.bytesOf(objectPath));
      const content = { source: checked.source, bytes: options.bytes, offsetMax };
      await locks.share(objectPath, () => staging.write(objectPath, id, content));
      usage.add(objectPath, options.bytes, 0);
      return { bytes: options.bytes };
    },

    commit: (objectPath, ids, options) =>
      locks.run(objectPath, async () => {
        const blocks = await staging.blocks(objectPath, ids);
        try {
          // S3 may need longer than a client waits: the list that comes again, at whichever node, is the same one.
          const sum = sumOfList(ids, options.upload);
          if (blocks.isOver && sum !== undefined) {
            const found = await service.head(objectPath);
            if (found !== undefined && isOfList(found.mark, sum)) return factsOf(found);
          }
          const list = await blocks.list(ids);
          if (list.bytes > options.bytesMax) throw new ObjectError('tooLarge');
          const facts = await store(objectPath, list, options, newMark(sum));
          await staging.drop(objectPath);
          return facts;
        } finally {
          await blocks.close();
        }
      }),

    stagedBytes: (objectPath) => staging.bytesOf(objectPath),
    head,
    read: (objectPath, range) => service.read(objectPath, range),
    delete: (objectPath, condition) => locks.run(objectPath, () => remove(objectPath, condition)),

    async list(prefix, { after, limit }) {
      const found: ListedObject[] = [];
      for (let last = after; found.length < limit; ) {
        const { objects, isLast } = await service.list(prefix, last, limit - found.length);
        // A list of S3 does not say what an object was stored with.
        const heads = await eachOf(objects, limits.fileStoreWorkAtOnceMax, (object) => head(object.path));
        for (const [nth, facts] of heads.entries()) if (facts !== undefined) found.push({ ...objects[nth], ...facts });
        if (isLast) break;
        last = objects.at(-1)?.path;
      }
      return found;
    },

    async deleteAll(prefix) {
      let count = 0;
      for await (const object of keys(prefix)) {
        if (await locks.run(object.path, () => remove(object.path))) count += 1;
      }
      await staging.dropAll(prefix);
      return count;
    },

    async expire(before) {
      await staging.expire(before);
      await left.abort(before);
      if (parts.isShared === true) await recountInTime();
    },
    usage: (prefix) => usage.of(prefix),
    async freeBytes() {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
    check: () => service.check(),
    async close() {
      await staging.close();
      client.close();
    },
  };
}

const factsOf = ({ mark: _, ...facts }: S3Facts): ObjectFacts => facts;

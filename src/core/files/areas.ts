/**
 * Areas: containers of the hub's own store for imports and exports of the registry. The address of one is signed, lets its bearer read
 * and write files in it, and says until when; what lies in it goes with it, for there may be keys in it.
 */
import type { Clock } from '../../base/clock.ts';
import { limits as bounds } from '../../base/limits.ts';
import { type Random, uuid } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { JobContainer } from '../registry-jobs/ports.ts';
import type { JobArea } from '../registry-jobs/room.ts';
import type { Pace } from '../throttling/pace.ts';
import { type Blob, openBlob } from './blob.ts';
import { BlobError } from './blob-error.ts';
import { objectionTo } from './names.ts';
import { type ByteSource, ObjectError, type ObjectStore } from './object-store.ts';
import { type BlobGrant, signQuery, verifyQuery } from './signed-url.ts';
import type { FileSpace } from './space.ts';
import { FILES_CONTAINER, type FileLimits } from './types.ts';

/**
 * No id holds a `~`. Areas lie below it, each under its own id, which begins with the second in which it ends; behind it is the place of a
 * store that other nodes do not reach.
 */
export const AREAS_FOLDER = '~registry/';
const AREA = /^~registry\/(\d{10}-[0-9a-f-]{36}(?:_[0-9a-f]{16})?)(?:\/(.*))?$/;
const ELSEWHERE =
  'The area is in the folder of another node of the hub: ask that node, or give the hub a store of files that all its nodes reach (filesStore azure or s3).';

export interface AreasParts {
  readonly store: ObjectStore | undefined;
  /** Names where the store is, in 16 hex digits, where not every node of the hub reaches it; absent = all do. */
  readonly place?: string;
  readonly space: FileSpace;
  readonly pace: Pace;
  readonly limits: FileLimits;
  readonly secret: Uint8Array;
  hostName(): string;
  readonly clock: Clock;
  readonly random: Random;
}

export interface Areas {
  /** @throws HubError DefaultStorageEndpointNotConfigured */
  make(lifeMs: number): JobArea;
  /**
   * The container of an address that `make` has given; undefined = it is none of those, or is over.
   * @throws HubError BlobContainerValidationError: it is at another node
   */
  open(uri: string): JobContainer | undefined;
  /** Whether an address leads to an area at another node, and its time is not over. Nothing proves that it is one of this hub. */
  isElsewhere(uri: string): boolean;
  /** Whether an address has the form of those, be it good or not. */
  isAddress(uri: string): boolean;
  /** A file in one, by a path below the files' container. @throws BlobError AuthenticationFailed, InvalidUri (also where it is at another node) */
  blob(path: string, query: URLSearchParams): Blob;
  /** Removes what lies in areas that are over. */
  sweep(): Promise<void>;
}

const rights = new Set(['read', 'write'] as const);

export function createAreas(parts: AreasParts): Areas {
  const { store, space, secret, clock } = parts;
  const tail = parts.place === undefined ? '' : `_${parts.place}`;
  // Addresses of before there were places say nothing.
  const isOf = (area: string): boolean => !area.includes('_') || area.endsWith(`_${parts.place}`);

  /** What a signed path in an area opens, where it is one. */
  function opened(path: string, query: URLSearchParams): { grant: BlobGrant; area: string; name: string } | undefined {
    const [, id, name = ''] = AREA.exec(path) ?? [];
    if (id === undefined) return undefined;
    const area = AREAS_FOLDER + id;
    const grant = verifyQuery(area, query, secret, clock.now());
    return grant?.correlationId === id ? { grant, area, name } : undefined;
  }

  /** Below the files' container; undefined = it leads elsewhere. */
  function pathIn(uri: string): string | undefined {
    const prefix = `/${FILES_CONTAINER}/`;
    const pathname = URL.canParse(uri) ? new URL(uri).pathname : '';
    // Some clients encode the `~`.
    return pathname.startsWith(prefix)
      ? pathname.slice(prefix.length).replace(/%7e/gi, '~').replace(/\/$/, '')
      : undefined;
  }

  return {
    make(lifeMs) {
      if (store === undefined) throw new HubError('DefaultStorageEndpointNotConfigured');
      const expiresAt = Math.floor((clock.now() + lifeMs) / 1000) * 1000;
      const id = `${String(expiresAt / 1000).padStart(10, '0')}-${uuid(parts.random)}${tail}`;
      const path = AREAS_FOLDER + id;
      const query = signQuery({ path, rights, correlationId: id, expiresAt }, secret);
      return { uri: `https://${parts.hostName()}/${FILES_CONTAINER}/${path}${query}`, expiresAt };
    },
    open(uri) {
      const path = pathIn(uri);
      if (store === undefined || path === undefined) return undefined;
      // Who signed it is what counts: the hub may have several names.
      const found = opened(path, new URL(uri).searchParams);
      if (found === undefined || found.name !== '') return undefined;
      if (!isOf(found.area)) throw new HubError('BlobContainerValidationError', ELSEWHERE);
      return areaContainer(store, space, `${found.area}/`);
    },
    isElsewhere(uri) {
      const [, id] = AREA.exec(pathIn(uri) ?? '') ?? [];
      return id !== undefined && !isOf(id) && Number(id.slice(0, 10)) * 1000 > clock.now();
    },
    isAddress: (uri) => AREA.test(pathIn(uri) ?? ''),
    blob(path, query) {
      const found = opened(path, query);
      if (store === undefined || found === undefined) throw new BlobError('AuthenticationFailed');
      if (!isOf(found.area)) throw new BlobError('InvalidUri', ELSEWHERE);
      if (objectionTo(found.name) !== undefined) throw new BlobError('InvalidUri');
      const { grant, area } = found;
      return openBlob({
        ...{ store, space, pace: parts.pace, limits: parts.limits, clock },
        // Of an area all bytes count together, as those of a device do.
        ...{ bearer: { deviceId: area }, folder: `${area}/`, grant: { ...grant, path } },
        async demandGoingOn() {
          if (clock.now() - grant.expiresAt >= bounds.stagedBlocksKeptMs) throw new BlobError('AuthenticationFailed');
        },
        stored: async () => {},
      });
    },
    async sweep() {
      const before = clock.now() - bounds.stagedBlocksKeptMs;
      const found = (await store?.list(AREAS_FOLDER, { limit: bounds.sweepFilesMax })) ?? [];
      const ids = new Set(found.map(({ path }) => AREA.exec(path)?.[1]).filter((id) => id !== undefined));
      for (const id of ids) {
        if (Number(id.slice(0, 10)) * 1000 < before) await store?.deleteAll(`${AREAS_FOLDER + id}/`);
      }
    },
  };
}

function areaContainer(store: ObjectStore, space: FileSpace, folder: string): JobContainer {
  const pathOf = (name: string): string => {
    const objection = objectionTo(name);
    if (objection !== undefined) throw new HubError('ArgumentInvalid', `The file name ${objection}.`);
    return folder + name;
  };
  return {
    head: (name) => store.head(pathOf(name)),
    async read(name, start) {
      const facts = await store.head(pathOf(name));
      if (facts === undefined) return undefined;
      const range = start === 0 ? undefined : { start, end: facts.bytes - 1 };
      const found = await store.read(pathOf(name), range);
      return found && { bytes: found.facts.bytes, etag: found.facts.etag, body: found.body };
    },
    async stage(name, blockId, bytes) {
      const coming = { source: once(bytes), bytes: bytes.length };
      await space.letIn(store, { folder: undefined, deviceId: undefined }, coming, (source) =>
        store.stage(pathOf(name), blockId, source, { bytes: bytes.length, bytesMax: bytes.length }),
      );
    },
    async commit(name, blockIds, bytes) {
      const options = { bytesMax: Number.MAX_SAFE_INTEGER, contentType: 'text/plain; charset=utf-8', condition: {} };
      const facts = await store.commit(pathOf(name), blockIds, options);
      if (facts.bytes !== bytes) throw new ObjectError('incomplete', 'the blocks are not those that were written');
    },
    close: async () => {},
  };
}

async function* once(bytes: Uint8Array): ByteSource {
  yield bytes;
}

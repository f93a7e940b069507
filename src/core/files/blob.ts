/** One file as the bearer of a signed URL sees it: what the URL allows, within what the device may use. */
import type { Clock } from '../../base/clock.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Pace } from '../throttling/pace.ts';
import { BlobError, type BlobErrorCode } from './blob-error.ts';
import { goingOn } from './going-on.ts';
import {
  type ByteSource,
  type Condition,
  type ContentOptions,
  ObjectError,
  type ObjectErrorKind,
  type ObjectFacts,
  type ObjectStore,
} from './object-store.ts';
import { type ChooseRange, type OpenPart, openPart } from './open-part.ts';
import type { BlobGrant } from './signed-url.ts';
import type { FileSpace } from './space.ts';
import type { BlobRight, FileLimits } from './types.ts';

/** What a client states of the content it sends. */
export interface Content {
  readonly source: ByteSource;
  /** As stated; absent = unknown until it ends. */
  readonly bytes?: number;
  readonly sums?: ContentOptions['sums'];
}

export interface ContentFacts {
  readonly contentType: string;
  readonly condition: Condition;
  /** Base64; kept with the file. */
  readonly md5?: string;
}

/** Every operation throws BlobError only. */
export interface Blob {
  readonly path: string;
  /** Whose signed URL it is. */
  readonly bearer: IdentityKey;
  put(content: Content, facts: ContentFacts): Promise<ObjectFacts>;
  stage(blockId: string, content: Content): Promise<void>;
  commit(blockIds: readonly string[], facts: ContentFacts): Promise<ObjectFacts>;
  head(): Promise<ObjectFacts>;
  /** The file's facts come first: what part is wanted may depend on them. */
  read(choose: ChooseRange): Promise<OpenPart>;
  delete(condition: Condition): Promise<void>;
}

export interface BlobParts {
  readonly store: ObjectStore;
  readonly limits: FileLimits;
  readonly grant: BlobGrant;
  readonly bearer: IdentityKey;
  /** The part of the container whose bytes are counted together. */
  readonly folder: string;
  readonly space: FileSpace;
  readonly pace: Pace;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Asked while something is under way, and before it is stored. @throws BlobError when it may not go on */
  demandGoingOn(): Promise<void>;
  /** Something is stored under the path. @throws BlobError when it was removed again, ObjectError */
  stored(facts: ObjectFacts): Promise<void>;
}

export function openBlob(parts: BlobParts): Blob {
  const { store, limits, grant, bearer, folder, space, pace, clock } = parts;
  const { deviceId } = bearer;
  const { path } = grant;
  const demand = (right: BlobRight): void => {
    if (!grant.rights.has(right)) throw new BlobError('AuthorizationPermissionMismatch');
  };

  /** Stores what comes, where there is room for it. */
  async function taken<Result>(
    { source, bytes, sums }: Content,
    keep: (source: ByteSource, options: ContentOptions) => Promise<Result>,
  ): Promise<Result> {
    const bytesMax = Math.max(0, limits.fileBytesMax - (await store.stagedBytes(path)));
    if (bytes !== undefined && bytes > bytesMax) throw new BlobError('RequestBodyTooLarge');
    const options = { bytesMax, ...(bytes !== undefined && { bytes }), ...(sums !== undefined && { sums }) };
    const coming = { source: goingOn(pace.slowed(source, deviceId), parts.demandGoingOn, { clock, isStored: true }) };
    return space.letIn(store, { folder, deviceId }, { ...coming, ...(bytes !== undefined && { bytes }) }, (admitted) =>
      keep(admitted, options),
    );
  }

  async function lasting(work: Promise<ObjectFacts>): Promise<ObjectFacts> {
    const facts = await work;
    await parts.stored(facts);
    return facts;
  }

  return {
    path,
    bearer,
    async put(content, facts) {
      demand('write');
      return translated(
        lasting(taken(content, (source, options) => store.put(path, source, { ...options, ...facts }))),
      );
    },
    async stage(blockId, content) {
      demand('write');
      const { bytes } = content;
      if (bytes === undefined) throw new BlobError('MissingContentLengthHeader');
      // Service: no block is empty.
      if (bytes === 0) throw new BlobError('InvalidHeaderValue', 'A block must have content.');
      await translated(taken(content, (source, options) => store.stage(path, blockId, source, { ...options, bytes })));
    },
    async commit(blockIds, facts) {
      demand('write');
      // The list may have come slowly.
      await parts.demandGoingOn();
      return translated(
        lasting(store.commit(path, blockIds, { bytesMax: limits.fileBytesMax, upload: grant.correlationId, ...facts })),
      );
    },
    async head() {
      demand('read');
      const facts = await translated(store.head(path));
      if (facts === undefined) throw new BlobError('BlobNotFound');
      return facts;
    },
    async read(choose) {
      demand('read');
      const open = await translated(openPart(store, path, choose));
      if (open === undefined) throw new BlobError('BlobNotFound');
      const body = pace.slowed(open.body, deviceId);
      return { ...open, body: goingOn(body, parts.demandGoingOn, { clock, isStored: false }) };
    },
    async delete(condition) {
      demand('write');
      if (!(await translated(store.delete(path, condition)))) throw new BlobError('BlobNotFound');
    },
  };
}

const codes: Readonly<Record<ObjectErrorKind, BlobErrorCode>> = {
  condition: 'ConditionNotMet',
  exists: 'BlobAlreadyExists',
  tooLarge: 'RequestBodyTooLarge',
  incomplete: 'InvalidInput',
  md5: 'Md5Mismatch',
  crc64: 'Crc64Mismatch',
  unknownBlock: 'InvalidBlockList',
  blockId: 'InvalidBlobOrBlock',
  tooManyBlocks: 'BlockCountExceedsLimit',
  full: 'QuotaExceeded',
  unavailable: 'ServerBusy',
  denied: 'ServerBusy',
};

async function translated<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof BlobError) throw error;
    // What a source of ours has refused, a store has only as one that broke off.
    if (error instanceof ObjectError && error.cause instanceof BlobError) throw error.cause;
    if (error instanceof ObjectError) throw new BlobError(codes[error.kind], undefined, error);
    throw new BlobError('InternalError', undefined, error);
  }
}

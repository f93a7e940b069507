/** One file as the bearer of a signed URL sees it: what the URL allows, within what the device may use. */
import type { IdentityKey } from '../identity/types.ts';
import type { Pace } from '../throttling/pace.ts';
import { BlobError, type BlobErrorCode } from './blob-error.ts';
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
  delete(): Promise<void>;
}

export interface BlobParts {
  readonly store: ObjectStore;
  readonly limits: FileLimits;
  readonly grant: BlobGrant;
  readonly bearer: IdentityKey;
  /** The part of the container whose bytes are counted together. */
  readonly folder: string;
  readonly pace: Pace;
}

export function openBlob({ store, limits, grant, bearer, folder, pace }: BlobParts): Blob {
  const { path } = grant;
  const demand = (right: BlobRight): void => {
    if (!grant.rights.has(right)) throw new BlobError('AuthorizationPermissionMismatch');
  };

  /** How many bytes may still come. @throws BlobError when a stated number is more */
  async function room(stated: number | undefined): Promise<number> {
    const [device, all, staged] = await Promise.all([store.usage(folder), store.usage(''), store.stagedBytes(path)]);
    const ofFile = limits.fileBytesMax - staged;
    const ofDevice = limits.deviceBytesMax - (device?.bytes ?? 0);
    const ofHub = limits.filesBytesMax - (all?.bytes ?? 0);
    if (ofDevice <= 0 || ofHub <= 0) throw new BlobError('QuotaExceeded');
    const bytesMax = Math.min(ofFile, ofDevice, ofHub);
    if (stated !== undefined && stated > bytesMax) {
      throw new BlobError(stated > ofFile ? 'RequestBodyTooLarge' : 'QuotaExceeded');
    }
    return Math.max(0, bytesMax);
  }

  return {
    path,
    bearer,
    async put({ source, bytes, sums }, facts) {
      demand('write');
      const bytesMax = await room(bytes);
      const stated = { ...(bytes !== undefined && { bytes }), ...(sums !== undefined && { sums }) };
      return translated(store.put(path, pace.slowed(source, bearer.deviceId), { bytesMax, ...stated, ...facts }));
    },
    async stage(blockId, { source, bytes, sums }) {
      demand('write');
      if (bytes === undefined) throw new BlobError('MissingContentLengthHeader');
      const bytesMax = await room(bytes);
      const slowed = pace.slowed(source, bearer.deviceId);
      await translated(store.stage(path, blockId, slowed, { bytesMax, bytes, ...(sums !== undefined && { sums }) }));
    },
    async commit(blockIds, facts) {
      demand('write');
      return translated(store.commit(path, blockIds, { bytesMax: limits.fileBytesMax, ...facts }));
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
      return { ...open, body: pace.slowed(open.body, bearer.deviceId) };
    },
    async delete() {
      demand('write');
      if (!(await translated(store.delete(path)))) throw new BlobError('BlobNotFound');
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
    if (error instanceof ObjectError) throw new BlobError(codes[error.kind], undefined, error);
    throw new BlobError('InternalError', undefined, error);
  }
}

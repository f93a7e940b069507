/**
 * Where the bytes of files are. A store keeps whole objects by path, and blocks that belong to none yet. One contract
 * suite (`stores/contract/object-store.ts`) runs over every implementation.
 *
 * What every store promises: what is there is whole (a reader sees the old object or the new one, never a part); what
 * `put`, `stage` and `commit` have answered survives a crash of the hub and of the machine as far as the store's medium
 * keeps its word; nothing of an object that was not answered is ever seen under its path.
 */
export interface ObjectStore {
  /** For people and health: `folder`, `azure`, `s3`. */
  readonly kind: string;
  /** Bytes in UTF-8 of the longest path; undefined = as long as a file's name may be. */
  readonly pathBytesMax?: number;
  /** Where devices send to the service behind the store, and not through the hub. */
  readonly direct?: DirectAccess;

  /** Stores an object whole. `source` is read at the store's pace. @throws ObjectError */
  put(path: string, source: ByteSource, options: PutOptions): Promise<ObjectFacts>;
  /**
   * Keeps a block for a later `commit`; one with the same id replaces it. @param id 1 to 64 bytes, base64 as the client sent it
   * @throws ObjectError
   */
  stage(path: string, id: string, source: ByteSource, options: StageOptions): Promise<{ readonly bytes: number }>;
  /**
   * Makes an object of staged blocks, in this order; those that are not named are dropped. A list that comes again for the
   * same upload, as where its answer was lost, is answered as it was while the object is there and no block has come since.
   * @throws ObjectError unknownBlock, condition, tooLarge
   */
  commit(path: string, ids: readonly string[], options: CommitOptions): Promise<ObjectFacts>;
  /** Bytes of the blocks that are staged for a path. */
  stagedBytes(path: string): Promise<number>;

  head(path: string): Promise<ObjectFacts | undefined>;
  /** Opens an object. The bytes are those of `facts.etag` to the end, whatever is stored meanwhile. */
  read(path: string, range?: ByteRange): Promise<OpenObject | undefined>;
  /** False = there is none. @throws ObjectError condition */
  delete(path: string, condition?: Condition): Promise<boolean>;
  /** Objects whose path begins with `prefix`, in order of path, at most `limit`, behind `after`. */
  list(prefix: string, page: { readonly after?: string; readonly limit: number }): Promise<readonly ListedObject[]>;
  /** Drops all that is stored or staged under paths that begin with `prefix`; the number of objects. */
  deleteAll(prefix: string): Promise<number>;

  /**
   * Drops blocks that were staged before `before` (UTC milliseconds) and never committed; where the service behind the store
   * does so in a time of its own, nothing.
   */
  expire(before: number): Promise<void>;
  /** What is stored and staged under paths that begin with `prefix` (`''` = all); undefined where the store does not count. */
  usage(prefix: string): Promise<Usage | undefined>;
  /** Bytes that can still be stored, where that is known. */
  freeBytes(): Promise<number | undefined>;
  /** Asks whether the store can be used now. @throws ObjectError; `denied` where it never will be with these settings */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** The storage service's own signed URLs: `https://{hostName}/{containerName}/{path}{query}`. */
export interface DirectAccess {
  /** May hold a port, and a path that the service puts before containers. */
  readonly hostName: string;
  readonly containerName: string;
  /** The query with its `?`. Nothing ends it before `expiresAt` (UTC milliseconds, whole seconds). */
  sign(path: string, rights: ReadonlySet<'read' | 'write'>, expiresAt: number): string;
}

export interface Usage {
  readonly bytes: number;
  /** Whole objects. */
  readonly objects: number;
}

/** A piece is good until the next one is asked for: who keeps it longer copies it. */
export type ByteSource = AsyncIterable<Uint8Array>;

export interface ObjectFacts {
  readonly bytes: number;
  /** Unquoted; changes with every change of the object. */
  readonly etag: string;
  /** UTC milliseconds. */
  readonly lastModified: number;
  readonly contentType: string;
  /** Base64 of the MD5 sum of the content, where the client has stated it. */
  readonly md5?: string;
}

export interface ListedObject extends ObjectFacts {
  readonly path: string;
}

/** Inclusive, as HTTP has it; `end` at most `bytes - 1`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface OpenObject {
  readonly facts: ObjectFacts;
  /** Must be read to its end, or let go. */
  readonly body: ByteSource;
}

/** Ends the reading of a body of which nobody wants anything: begun first, for a generator that is not hears of no end. */
export async function letGo(body: ByteSource): Promise<void> {
  const pieces = body[Symbol.asyncIterator]();
  await pieces.next();
  await pieces.return?.();
}

export interface Condition {
  /** `*` = only if nothing is there. */
  readonly ifNoneMatch?: string;
  /** `*` = only if something is there. */
  readonly ifMatch?: string;
}

export interface ContentOptions {
  /** More is refused with `tooLarge`, as soon as it has come. */
  readonly bytesMax: number;
  /** Where the client has stated how many there are: fewer is `incomplete`. */
  readonly bytes?: number;
  /** What the content must sum to, where the client has stated it. */
  readonly sums?: { readonly md5?: string; readonly crc64?: string };
}

/** Of a block the number of bytes is always known: a store may choose the block's place by it. */
export interface StageOptions extends ContentOptions {
  readonly bytes: number;
}

export interface PutOptions extends ContentOptions {
  readonly contentType: string;
  readonly condition: Condition;
  /** Kept with the object. */
  readonly md5?: string;
}

export interface CommitOptions {
  readonly bytesMax: number;
  /** Names the upload that it ends; absent = the list comes once only. */
  readonly upload?: string;
  readonly contentType: string;
  readonly condition: Condition;
  readonly md5?: string;
}

export type ObjectErrorKind =
  /** The condition does not hold; `exists` where the object was to be new. */
  | 'condition'
  | 'exists'
  | 'tooLarge'
  /** The source ended early, or failed. */
  | 'incomplete'
  /** A sum is another than the client has stated. */
  | 'md5'
  | 'crc64'
  | 'unknownBlock'
  /** Ids of one object must have one length. */
  | 'blockId'
  | 'tooManyBlocks'
  /** There is no room. */
  | 'full'
  /** The store cannot be reached or fails; trying again may help. */
  | 'unavailable'
  /** The service behind the store does not know the hub's key, or has no such bucket or container. */
  | 'denied';

/** An expected "no" of a store. The message is for the log. */
export class ObjectError extends Error {
  override readonly name = 'ObjectError';
  readonly kind: ObjectErrorKind;

  constructor(kind: ObjectErrorKind, message: string = kind, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

/** Whether a condition holds for what is there. @throws ObjectError condition, exists */
export function checkCondition({ ifMatch, ifNoneMatch }: Condition, current: ObjectFacts | undefined): void {
  if (ifNoneMatch === '*' && current !== undefined) throw new ObjectError('exists');
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*' && current?.etag === ifNoneMatch)
    throw new ObjectError('condition');
  if (ifMatch === '*' && current === undefined) throw new ObjectError('condition');
  if (ifMatch !== undefined && ifMatch !== '*' && current?.etag !== ifMatch) throw new ObjectError('condition');
}

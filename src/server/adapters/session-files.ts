/** Files of one session behind an adapter: by the rooms that devices reach over HTTPS, with the same bounds, grants and receipts. */
import { limits } from '../../base/limits.ts';
import type { Blob } from '../../core/files/blob.ts';
import { BlobError } from '../../core/files/blob-error.ts';
import type { FilesRoom } from '../../core/files/files.ts';
import type { ByteRange } from '../../core/files/object-store.ts';
import type { Hub } from '../../core/hub.ts';
import type { DevicePrincipal, IdentityKey } from '../../core/identity/types.ts';
import { Refused } from '../../gateway/refused.ts';
import type { SentFilePart } from './words.ts';

export interface SessionFilesParts {
  readonly hub: Pick<Hub, 'files'>;
  readonly rooms: Pick<FilesRoom, 'blobs' | 'downloads'>;
  readonly principal: DevicePrincipal;
  readonly key: IdentityKey;
}

interface Upload {
  readonly correlationId: string;
  readonly blob: Blob;
  readonly contentType: string;
  readonly blockIds: string[];
}

const BLOCK_ID_DIGITS = 6;

export class SessionFiles {
  readonly #parts: SessionFilesParts;
  readonly #uploads = new Map<string, Upload>();
  #isClosed = false;

  constructor(parts: SessionFilesParts) {
    this.#parts = parts;
  }

  /** @throws HubError FileNotFound and as `Downloads.fetch`, Refused */
  async read(name: string, from: number, length: number): Promise<SentFilePart> {
    const { rooms, principal, key } = this.#parts;
    demandCount(from, Number.MAX_SAFE_INTEGER, 'from');
    demandCount(length, limits.adapterFilePartBytesMax, 'length');
    const open = await rooms.downloads.fetch(principal, key, name, ({ bytes }): ByteRange | 'none' => {
      const end = Math.min(bytes, from + length);
      return from >= end ? 'none' : { start: from, end: end - 1 };
    });
    const pieces: Buffer[] = [];
    for await (const piece of open.body) pieces.push(Buffer.from(piece));
    const { bytes: total, etag, contentType } = open.facts;
    return { bytes: Buffer.concat(pieces).toString('base64'), total, etag, contentType };
  }

  /** @returns what names the upload @throws HubError as `Files.beginUpload`, Refused */
  async begin(name: string, contentType: string): Promise<string> {
    const { hub, rooms, principal, key } = this.#parts;
    const { correlationId, blobName, sasToken } = await hub.files.beginUpload(principal, key, name);
    try {
      const blob = await asRefusal(rooms.blobs.blob(blobName, new URLSearchParams(sasToken)));
      if (this.#isClosed) throw new Refused('closed', 'The session has ended.');
      this.#uploads.set(correlationId, { correlationId, blob, contentType, blockIds: [] });
      return correlationId;
    } catch (error) {
      // Until its URL ends it would take one of the places that the device has for uploads.
      await hub.files.endUpload(principal, key, correlationId, false).catch(() => {});
      throw error;
    }
  }

  /** A part is on the disk when it resolves. @throws Refused */
  async write(id: string, bytes: Buffer): Promise<void> {
    const upload = this.#known(id);
    demandCount(bytes.length, limits.adapterFilePartBytesMax, 'a part');
    if (bytes.length === 0) return;
    const blockId = Buffer.from(String(upload.blockIds.length).padStart(BLOCK_ID_DIGITS, '0')).toString('base64');
    upload.blockIds.push(blockId);
    await asRefusal(upload.blob.stage(blockId, { source: once(bytes), bytes: bytes.length }));
  }

  /** Whole: the file is there, and back ends are told. Otherwise nothing of it stays. @throws HubError as `Files.endUpload`, Refused */
  async end(id: string, isWhole: boolean): Promise<void> {
    const { hub, principal, key } = this.#parts;
    const { correlationId, blob, blockIds, contentType } = this.#known(id);
    this.#uploads.delete(id);
    try {
      if (isWhole) await asRefusal(blob.commit(blockIds, { contentType, condition: {} }));
    } catch (error) {
      await hub.files.endUpload(principal, key, correlationId, false).catch(() => {});
      throw error;
    }
    await hub.files.endUpload(principal, key, correlationId, isWhole);
  }

  /** The session has ended: what was not finished is given up. */
  close(): void {
    this.#isClosed = true;
    for (const id of this.#uploads.keys()) this.end(id, false).catch(() => {});
  }

  #known(id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload === undefined) throw new Refused('invalid', 'There is no such upload, or it has ended.');
    return upload;
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function demandCount(value: number, max: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max)
    throw new Refused('invalid', `The number of bytes of ${what} is from 0 to ${max}.`);
}

/** @throws Refused for what the room of files does not take */
async function asRefusal<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    switch (error.code) {
      case 'RequestBodyTooLarge':
      case 'BlockCountExceedsLimit':
        throw new Refused('tooLarge', error.message);
      case 'QuotaExceeded':
        throw new Refused('queueFull', error.message);
      case 'ServerBusy':
      case 'InternalError':
        throw new Refused('unreachable', error.message);
      // Their signed URLs are of that store, which an adapter does not reach.
      case 'AuthenticationFailed':
        throw new Refused('invalid', 'The upload has ended, or the files of the hub are in a store elsewhere.');
      default:
        throw new Refused('invalid', error.message);
    }
  }
}

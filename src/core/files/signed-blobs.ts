/** What signed URLs open: the file of the upload or the grant that each was made for, with which it ends. */
import type { Clock } from '../../base/clock.ts';
import { limits as bounds } from '../../base/limits.ts';
import type { Identity, IdentityKey } from '../identity/types.ts';
import type { Pace } from '../throttling/pace.ts';
import { openBlob } from './blob.ts';
import { BlobError } from './blob-error.ts';
import { fetching, type ReceiptParts } from './fetch-receipt.ts';
import { folderOf, HUB_FOLDER, isMeant, ownerOf } from './names.ts';
import type { ObjectStore } from './object-store.ts';
import type { FileRecords, GrantRecords } from './ports.ts';
import type { Blobs } from './room.ts';
import { type BlobGrant, verifyQuery } from './signed-url.ts';
import type { FileSpace } from './space.ts';
import { removeStored } from './store-refusals.ts';
import type { FileGrant, FileLimits } from './types.ts';

export interface BlobsParts extends ReceiptParts {
  /** Undefined = this hub keeps no files. */
  readonly store: ObjectStore | undefined;
  readonly records: Pick<FileRecords, 'find'>;
  readonly grants: Pick<GrantRecords, 'find' | 'progress'>;
  readonly identities: { get(key: IdentityKey): Promise<Pick<Identity, 'generationId' | 'status'> | undefined> };
  readonly limits: FileLimits;
  readonly space: FileSpace;
  readonly pace: Pace;
  readonly secret: Uint8Array;
  readonly clock: Clock;
}

/** Who holds a signed URL. */
interface Bearer {
  readonly key: IdentityKey;
  readonly generationId: string;
  readonly path: string;
  readonly receipt?: FileGrant;
}

export function createBlobs(parts: BlobsParts): Blobs {
  const { store, records, grants, identities, limits, space, pace, secret, clock } = parts;

  /** Whose URL it is, for which grant, and which file it opens. @throws BlobError */
  async function bearer({ path, correlationId }: BlobGrant): Promise<Bearer> {
    if (!path.startsWith(HUB_FOLDER)) {
      const key = ownerOf(path);
      const upload = await records.find(key, correlationId);
      if (upload?.isOpen && isMeant(upload.path, path)) {
        return { key, generationId: upload.generationId, path: upload.path };
      }
    } else {
      const receipt = await grants.find(correlationId);
      if (receipt !== undefined && isMeant(receipt.path, path) && receipt.expiresAt > clock.now()) {
        return { key: receipt.key, generationId: receipt.generationId, path: receipt.path, receipt };
      }
    }
    throw new BlobError('AuthenticationFailed');
  }

  /** A URL ends with its device, whatever it says itself. @throws BlobError */
  async function demandEnabled({ deviceId }: IdentityKey): Promise<void> {
    if ((await identities.get({ deviceId }))?.status !== 'enabled') throw new BlobError('AuthenticationFailed');
  }

  const isThere = async ({ key, generationId }: Bearer): Promise<boolean> =>
    (await identities.get(key))?.generationId === generationId;

  /**
   * What has begun goes on until a caller ends the upload or the grant, or the identity; its time alone ends only what has not
   * begun, and the rest as long after it as blocks are kept. @throws BlobError
   */
  async function demandGoingOn(signed: BlobGrant, held: Bearer): Promise<void> {
    await demandEnabled(held.key);
    const overTimeMs = clock.now() - signed.expiresAt;
    if (overTimeMs < 0) await bearer(signed);
    else if (overTimeMs >= bounds.stagedBlocksKeptMs || !(await isThere(held))) {
      throw new BlobError('AuthenticationFailed');
    }
  }

  return {
    async blob(path, query) {
      const signed = verifyQuery(path, query, secret, clock.now());
      if (signed === undefined || store === undefined) throw new BlobError('AuthenticationFailed');
      const held = await bearer(signed);
      const { key, receipt, path: meant } = held;
      await demandEnabled(key);
      const blob = openBlob({
        ...{ store, limits, space, pace, clock, bearer: key, folder: folderOf(key) },
        grant: { ...signed, path: meant },
        demandGoingOn: () => demandGoingOn(signed, held),
        // Stored in the moment in which the files of its identity were removed: its turn has not come then.
        async stored(facts) {
          if (!limits.deletesWithIdentity || (await isThere(held))) return;
          await removeStored(store, meant, facts);
          throw new BlobError('AuthenticationFailed');
        },
      });
      if (receipt === undefined) return blob;
      return { ...blob, read: async (choose) => fetching(await blob.read(choose), receipt, parts) };
    },
  };
}

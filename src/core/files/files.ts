import type { Clock } from '../../base/clock.ts';
import { limits as bounds } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type Random, uuid } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { Identity, IdentityKey } from '../identity/types.ts';
import type { Recorder } from '../monitoring/types.ts';
import type { Pace } from '../throttling/pace.ts';
import type { UploadRate } from '../throttling/upload-rate.ts';
import { AREAS_FOLDER, type Areas, createAreas } from './areas.ts';
import { fileCalls } from './calls.ts';
import { createDownloads } from './downloads.ts';
import { FetchTellings } from './fetch-receipt.ts';
import { folderOf, pathOf, urlPathOf } from './names.ts';
import type { ObjectStore } from './object-store.ts';
import type { FileRecords, GrantRecords } from './ports.ts';
import type { RolloutRecords } from './rollout-types.ts';
import { createRollouts, type RolloutMeans } from './rollouts.ts';
import type { Blobs, Downloads, Files, Rollouts } from './room.ts';
import { createBlobs } from './signed-blobs.ts';
import { signQuery } from './signed-url.ts';
import { FileSpace } from './space.ts';
import { demandPath, translated } from './store-refusals.ts';
import { FILES_CONTAINER, type FileLimits } from './types.ts';

/** All of it, as the assembly of the hub has it. */
export interface FilesRoom {
  readonly files: Guarded<Files>;
  readonly downloads: Guarded<Downloads>;
  readonly rollouts: Guarded<Rollouts>;
  /** Carries rollouts on. */
  step(means: Omit<RolloutMeans, 'grant'>): Promise<void>;
  /** A signed URL is its own proof: there is no principal to ask for. */
  readonly blobs: Blobs;
  /** Containers for imports and exports of the registry. */
  readonly areas: Pick<Areas, 'make' | 'open' | 'isAddress' | 'isElsewhere'>;
  /** The identity is gone, and its signed URLs with it. */
  forget(key: IdentityKey): Promise<void>;
  /** For the hub's own metrics. */
  totals(): ReturnType<FileRecords['totals']>;
  /** Does what time has done to what lies at this node; and to what all nodes share, where that is this one's. */
  sweep(isSharedToo: boolean): Promise<void>;
}

/** What is asked of an identity before its files are touched. */
type Owner = Pick<Identity, 'generationId' | 'status'>;

export interface FilesParts {
  readonly guard: Guard;
  /** Undefined = this hub keeps no files. */
  readonly store: ObjectStore | undefined;
  /** As `AreasParts.place`. */
  readonly place?: string;
  readonly records: FileRecords;
  readonly grants: GrantRecords;
  readonly rollouts: RolloutRecords;
  readonly identities: { get(key: IdentityKey): Promise<Owner | undefined> };
  readonly limits: FileLimits;
  readonly pace: Pace;
  readonly uploadRate: Pick<UploadRate, 'demand'>;
  /** Signs URLs: `FileRecords.secret`. */
  readonly secret: Uint8Array;
  /**
   * Under which name devices reach the blob endpoint; with a port only where that cannot be avoided. Asked each time: the
   * port may be known after the hub is made.
   */
  hostName(): string;
  /** Hears of uploads and downloads. */
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function createFiles(parts: FilesParts): FilesRoom {
  const { records, identities, limits, secret, clock, random } = parts;
  const demandStore = (): ObjectStore => {
    if (parts.store === undefined) throw new HubError('DefaultStorageEndpointNotConfigured');
    return parts.store;
  };
  const listeners = new Set<() => void>();
  const notificationsMayWait = (): void => {
    for (const listener of listeners) listener();
  };

  /** Devices whose files are being removed with them. One of the same id that is made anew waits: its own must not go along. */
  const removals = new Map<string, Promise<unknown>>();
  const formerRemoved = async ({ deviceId }: IdentityKey): Promise<void> => {
    await removals.get(deviceId);
  };

  async function owner(key: IdentityKey): Promise<Owner> {
    const identity = await identities.get(key);
    if (identity !== undefined) return identity;
    throw key.moduleId === undefined
      ? new HubError('DeviceNotFound', `There is no device ${key.deviceId}.`)
      : new HubError('ModuleNotFound', `There is no module ${key.moduleId} of device ${key.deviceId}.`);
  }

  /** Where a file is, without a signature. */
  function uriOf(path: string): string {
    const { hostName, containerName } = parts.store?.direct ?? {
      hostName: parts.hostName(),
      containerName: FILES_CONTAINER,
    };
    return `https://${hostName}/${containerName}/${urlPathOf(path)}`;
  }

  async function checkRoom(key: IdentityKey): Promise<void> {
    const usage = await translated(demandStore().usage(folderOf(key)));
    const hit = (name: string, current: number, max: number): HubError =>
      new HubError('IotHubQuotaExceeded', undefined, {
        limit: { name, scope: `device ${key.deviceId}`, current, max },
      });
    if (usage === undefined) return;
    if (usage.bytes >= limits.deviceBytesMax) throw hit('fileBytesPerDeviceMax', usage.bytes, limits.deviceBytesMax);
    if (usage.objects >= bounds.filesPerDeviceMax)
      throw hit('filesPerDeviceMax', usage.objects, bounds.filesPerDeviceMax);
  }

  const files: Files = {
    async beginUpload(_principal, key, name) {
      const path = pathOf(key, name);
      const { direct } = demandStore();
      demandPath(demandStore(), path);
      parts.uploadRate.demand(key);
      const { generationId } = await owner(key);
      await formerRemoved(key);
      await checkRoom(key);
      const now = clock.now();
      const correlationId = uuid(random);
      // Whole seconds, as the URL says it.
      const expiresAt = Math.floor((now + limits.uploadMs) / 1000) * 1000;
      const upload = { correlationId, key, generationId, path, openedTime: now, expiresAt };
      const outcome = await records.open(upload, limits.uploadsOpenMax, now);
      if (outcome.kind === 'gone') throw new HubError('DeviceNotFound', `There is no device ${key.deviceId} any more.`);
      if (outcome.kind === 'full') {
        throw new HubError('DeviceMaximumActiveFileUploadLimitExceeded', undefined, {
          limit: {
            name: 'fileUploadsOpenMax',
            scope: `device ${key.deviceId}`,
            current: outcome.open,
            max: limits.uploadsOpenMax,
          },
        });
      }
      const rights = new Set(['read', 'write'] as const);
      const ticket = { correlationId, blobName: path };
      if (direct !== undefined) {
        const { hostName, containerName } = direct;
        return { ...ticket, hostName, containerName, sasToken: direct.sign(path, rights, expiresAt) };
      }
      const sasToken = signQuery({ path, rights, correlationId, expiresAt }, secret);
      return { ...ticket, hostName: parts.hostName(), containerName: FILES_CONTAINER, sasToken };
    },

    async endUpload(_principal, key, correlationId, isSuccess) {
      const upload = await records.find(key, correlationId);
      if (upload === undefined) throw new HubError('InvalidFileUploadCorrelationId');
      const now = clock.now();
      if (!upload.isOpen) return;
      if (upload.expiresAt <= now) throw new HubError('ExpiredFileUploadCorrelationId');
      const facts = isSuccess ? await translated(demandStore().head(upload.path)) : undefined;
      if (isSuccess && facts === undefined) {
        throw new HubError('InvalidStorageEndpointOrBlob', `Nothing was uploaded as ${upload.path}.`);
      }
      const notification = facts && {
        key,
        path: upload.path,
        blobUri: uriOf(upload.path),
        bytes: facts.bytes,
        lastModified: facts.lastModified,
        enqueuedTime: now,
        expiresAt: now + limits.notificationTtlMs,
      };
      if (!(await records.close(key, correlationId, notification, now)) || notification === undefined) return;
      const { deviceId, moduleId } = key;
      parts.recorder.record({
        type: 'fileUploaded',
        deviceId,
        ...(moduleId !== undefined && { moduleId }),
        correlationId,
        file: upload.path,
        bytes: notification.bytes,
      });
      notificationsMayWait();
    },

    async takeNotification() {
      return records.lock({ lockToken: uuid(random), lockMs: limits.notificationLockMs }, clock.now());
    },

    async settleNotification(_principal, lockToken, settlement) {
      const max = limits.notificationDeliveryCountMax;
      const settled = await records.settle(lockToken, settlement, max, clock.now());
      if (settled && settlement === 'abandon') notificationsMayWait();
      return settled;
    },

    watchNotifications(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };

  const space = new FileSpace(limits);
  const tellings = new FetchTellings();
  const areas = createAreas({ ...parts, space });
  const ofIdentities = createBlobs({ ...parts, space, tellings });
  const blobs: Blobs = {
    blob: async (path, query) =>
      path.startsWith(AREAS_FOLDER) ? areas.blob(path, query) : ofIdentities.blob(path, query),
  };
  const { downloads, grant, demandFile } = createDownloads({ ...parts, space, tellings, formerRemoved });
  const { guard, log } = parts;
  const { rollouts, step } = createRollouts({
    ...{ guard, records: parts.rollouts, grants: parts.grants, demandFile, grantMs: limits.grantMs },
    ...{ clock, random, log },
  });

  return {
    files: parts.guard.room(files, fileCalls),
    downloads,
    rollouts,
    step: (means) => step({ ...means, grant }),
    blobs,
    areas,
    async forget(key) {
      const { deviceId } = key;
      const before = removals.get(deviceId);
      const removal = (async () => {
        await before;
        await Promise.all([records.forget(key), parts.grants.forget(key)]);
        if (limits.deletesWithIdentity) await parts.store?.deleteAll(folderOf(key));
      })();
      const over = removal.catch(() => {});
      removals.set(deviceId, over);
      try {
        await removal;
      } finally {
        if (removals.get(deviceId) === over) removals.delete(deviceId);
      }
    },
    totals: () => records.totals(clock.now()),
    async sweep(isSharedToo) {
      const now = clock.now();
      if (isSharedToo) {
        await records.sweep(bounds.sweepFilesMax, now);
        await parts.grants.sweep(now - bounds.fileReceiptsKeptMs, bounds.sweepFilesMax);
      }
      await areas.sweep();
      await parts.store?.expire(now - limits.uploadMs - bounds.stagedBlocksKeptMs);
    },
  };
}

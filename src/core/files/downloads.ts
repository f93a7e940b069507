/**
 * Files that back ends put for devices, and how devices get them: by their identity, or by a signed URL that fits into a
 * command, a desired property or the payload of a method. How far a device has come is its receipt.
 */
import type { Clock } from '../../base/clock.ts';
import { limits as bounds } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type Random, uuid } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { Identity, IdentityKey, Principal } from '../identity/types.ts';
import type { Recorder } from '../monitoring/types.ts';
import type { Pace } from '../throttling/pace.ts';
import { downloadCalls } from './calls.ts';
import { type FetchTellings, fetching } from './fetch-receipt.ts';
import { goingOn } from './going-on.ts';
import { folderOf, HUB_FOLDER, hubPathOf, pathOf, urlPathOf } from './names.ts';
import type { ObjectStore } from './object-store.ts';
import { type ChooseRange, type OpenPart, openPart } from './open-part.ts';
import type { GrantRecords } from './ports.ts';
import type { Downloads, FileOwner, GrantAnswer } from './room.ts';
import { signQuery } from './signed-url.ts';
import type { FileSpace } from './space.ts';
import { demandPath, removeStored, tooLarge, translated } from './store-refusals.ts';
import { FILES_CONTAINER, type FileGrant, type FileLimits } from './types.ts';

export interface DownloadsParts {
  readonly guard: Guard;
  readonly store: ObjectStore | undefined;
  readonly grants: GrantRecords;
  readonly identities: { get(key: IdentityKey): Promise<Pick<Identity, 'generationId' | 'status'> | undefined> };
  readonly limits: FileLimits;
  readonly secret: Uint8Array;
  readonly space: FileSpace;
  readonly tellings: FetchTellings;
  /** Resolves when files of a former device of this id are gone. */
  readonly formerRemoved: (key: IdentityKey) => Promise<void>;
  readonly pace: Pace;
  hostName(): string;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface DownloadsRoom {
  readonly downloads: Guarded<Downloads>;
  /** For rollouts: what `grant` does, for a policy that was asked before. */
  readonly grant: (
    name: string,
    keys: readonly IdentityKey[],
    expiresAt: number,
    by: string,
  ) => Promise<readonly GrantAnswer[]>;
  /** @throws HubError FileNotFound */
  readonly demandFile: (name: string) => Promise<void>;
}

const noIdentity = ({ moduleId }: IdentityKey): HubError =>
  new HubError(moduleId === undefined ? 'DeviceNotFound' : 'ModuleNotFound');

export function createDownloads(parts: DownloadsParts): DownloadsRoom {
  const { grants, identities, limits, secret, space, pace, clock, random } = parts;

  const store = (): ObjectStore => {
    if (parts.store === undefined) throw new HubError('DefaultStorageEndpointNotConfigured');
    return parts.store;
  };
  const pathIn = (owner: FileOwner, name: string): string => (owner === 'hub' ? hubPathOf(name) : pathOf(owner, name));
  const folderIn = (owner: FileOwner): string => (owner === 'hub' ? HUB_FOLDER : folderOf(owner));

  async function known(key: IdentityKey): Promise<Pick<Identity, 'generationId'>> {
    const identity = await identities.get(key);
    if (identity !== undefined) return identity;
    throw noIdentity(key);
  }

  /** @param deviceId whose bandwidth it takes; undefined = a back end reads */
  async function opened(path: string, choose: ChooseRange, deviceId: string | undefined): Promise<OpenPart> {
    const open = await translated(openPart(store(), path, choose));
    if (open === undefined) throw new HubError('FileNotFound', `There is no file ${path}.`);
    return { ...open, body: pace.slowed(open.body, deviceId) };
  }

  const downloads: Downloads = {
    async put(_principal, owner, name, { source, bytes, sums }, facts) {
      const path = pathIn(owner, name);
      demandPath(store(), path);
      const generationId = owner === 'hub' ? undefined : (await known(owner)).generationId;
      if (owner !== 'hub') await parts.formerRemoved(owner);
      const bytesMax = limits.fileBytesMax;
      if (bytes !== undefined && bytes > bytesMax) throw tooLarge();
      const stated = bytes === undefined ? {} : { bytes };
      const options = { bytesMax, ...stated, ...(sums !== undefined && { sums }), ...facts };
      const whose =
        owner === 'hub'
          ? { folder: undefined, deviceId: undefined }
          : { folder: folderOf(owner), deviceId: owner.deviceId };
      const content = { source: pace.slowed(source, undefined), ...stated };
      const stored = await translated(
        space.letIn(store(), whose, content, (admitted) => store().put(path, admitted, options)),
      );
      // As of signed URLs: stored in the moment in which the files of its identity were removed.
      if (owner === 'hub' || !limits.deletesWithIdentity) return stored;
      if ((await identities.get(owner))?.generationId === generationId) return stored;
      await translated(removeStored(store(), path, stored));
      throw noIdentity(owner);
    },
    read: (_principal, owner, name, choose) => opened(pathIn(owner, name), choose, undefined),
    async list(_principal, owner, page) {
      if (owner !== 'hub') await parts.formerRemoved(owner);
      return translated(store().list(folderIn(owner), page));
    },
    async remove(_principal, owner, name, condition) {
      if (!(await translated(store().delete(pathIn(owner, name), condition)))) throw new HubError('FileNotFound');
    },

    grant: (principal, name, keys, expiresAt) =>
      grantTo(name, keys, expiresAt, principal.kind === 'policy' ? principal.policyName : ''),
    grants: (_principal, of, page) => grants.list('name' in of ? { path: hubPathOf(of.name) } : of, page),
    async revoke(_principal, id) {
      if (!(await grants.revoke(id))) throw new HubError('FileNotFound', 'There is no such grant.');
    },

    async fetch(principal, key, name, choose) {
      const grant = await grants.findByName(key, name, clock.now());
      const isOf = principal.kind !== 'device' || grant?.generationId === principal.generationId;
      const isGranted = grant !== undefined && isOf;
      const path = isGranted ? grant.path : pathOf(key, name);
      const open = await opened(path, choose, key.deviceId);
      const demand = () => demandGoingOn(principal, key, isGranted ? grant : undefined);
      const going = { ...open, body: goingOn(open.body, demand, { clock, isStored: false }) };
      return isGranted ? fetching(going, grant, parts) : going;
    },
  };

  /** As of signed URLs: what has begun goes on until a caller ends it. @throws HubError */
  async function demandGoingOn(principal: Principal, key: IdentityKey, grant: FileGrant | undefined): Promise<void> {
    const [device, identity] = await Promise.all([identities.get({ deviceId: key.deviceId }), identities.get(key)]);
    const isSame = principal.kind !== 'device' || identity?.generationId === principal.generationId;
    const isGranted =
      grant === undefined || clock.now() >= grant.expiresAt || (await grants.find(grant.id)) !== undefined;
    if (device?.status !== 'enabled' || !isSame || !isGranted) throw new HubError('FileNotFound');
  }

  async function demandFile(name: string): Promise<void> {
    if ((await translated(store().head(hubPathOf(name)))) !== undefined) return;
    throw new HubError('FileNotFound', `There is no file ${name}.`);
  }

  async function grantTo(
    name: string,
    keys: readonly IdentityKey[],
    expiresAt: number,
    grantedBy: string,
  ): Promise<readonly GrantAnswer[]> {
    const path = hubPathOf(name);
    const now = clock.now();
    if (expiresAt <= now || expiresAt > now + limits.grantMs) {
      throw new HubError('ArgumentInvalid', `The expiry must lie within ${limits.grantMs / 1000} seconds from now.`);
    }
    await demandFile(name);
    const wanted = await Promise.all(
      keys.map(async (key): Promise<FileGrant | undefined> => {
        const identity = await identities.get(key);
        if (identity === undefined) return undefined;
        const { generationId } = identity;
        const id = uuid(random);
        return { id, key, generationId, path, name, createdTime: now, expiresAt, grantedBy, fetched: undefined };
      }),
    );
    const there = wanted.filter((grant) => grant !== undefined);
    const outcomes = await grants.grant(there, bounds.fileGrantsPerDeviceMax, now);
    const byId = new Map(there.map((grant, nth) => [grant.id, outcomes[nth]]));
    return wanted.map((grant, nth): GrantAnswer => {
      const outcome = grant === undefined ? 'gone' : byId.get(grant.id);
      if (grant === undefined || outcome === 'gone') return { key: keys[nth], error: 'DeviceNotFound' };
      if (outcome === 'full') return { key: keys[nth], error: 'IotHubQuotaExceeded' };
      return { key: keys[nth], grant: { id: grant.id, url: urlOf(grant), expiresAt } };
    });
  }

  function urlOf(grant: FileGrant): string {
    const rights = new Set(['read'] as const);
    const query = signQuery({ path: grant.path, rights, correlationId: grant.id, expiresAt: grant.expiresAt }, secret);
    return `https://${parts.hostName()}/${FILES_CONTAINER}/${urlPathOf(grant.path)}${query}`;
  }

  return { downloads: parts.guard.room(downloads, downloadCalls), grant: grantTo, demandFile };
}

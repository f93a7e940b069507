/** Opens what files of devices need: their store, what the tables remember of them, and the sweep in time. */
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import type { CommandQueue } from '../core/commands/ports.ts';
import type { Commands } from '../core/commands/room.ts';
import type { CommandMessage } from '../core/commands/types.ts';
import { createFiles, type FilesRoom } from '../core/files/files.ts';
import type { ObjectStore } from '../core/files/object-store.ts';
import type { FileRecords, GrantRecords } from '../core/files/ports.ts';
import type { RolloutRecords } from '../core/files/rollout-types.ts';
import type { Guard } from '../core/identity/guard.ts';
import type { IdentityStore } from '../core/identity/ports.ts';
import type { IdentityKey, Principal } from '../core/identity/types.ts';
import type { Recorder } from '../core/monitoring/types.ts';
import { createPace } from '../core/throttling/pace.ts';
import { UploadRate } from '../core/throttling/upload-rate.ts';
import type { Settings } from './config/config.ts';
import { fileLimits } from './config/file-settings.ts';
import { openStore, placeOf } from './file-store.ts';
import type { Shutdown } from './lifecycle.ts';
import { type StoreTraffic, storeTraffic } from './observe/store-traffic.ts';

export interface OpenFilesParts {
  readonly settings: Settings;
  /** Where the folder store is, unless the settings say another. */
  readonly folder: string;
  /** Under which the HTTPS port is reached, unless the settings say another. */
  readonly localName: string;
  readonly records: FileRecords;
  readonly grants: GrantRecords;
  readonly rollouts: RolloutRecords;
  readonly identities: IdentityStore;
  readonly guard: Guard;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly shutdown: Shutdown;
  /** Whether the hub may have other nodes. */
  readonly isOneOfMany: boolean;
  /** Whether this node does for all what time does to files; absent = it is the only one. */
  readonly isOwnDuty?: () => boolean;
}

export interface OpenFiles {
  readonly room: FilesRoom;
  /** Undefined = this hub keeps no files. */
  readonly store: ObjectStore | undefined;
  /** What a store elsewhere was asked. */
  readonly traffic: StoreTraffic;
  /** The HTTPS port is open there; undefined = it is not opened. */
  listens(httpsPort: number | undefined): void;
  /** The name in the URLs of files. */
  hostName(): string;
}

const SECRET_BYTES = 32;
const HTTPS_PORT = 443;

/** @throws Error whose message says what to do, when the store cannot be used. */
export async function openFiles(parts: OpenFilesParts): Promise<OpenFiles> {
  const { settings, clock, log, shutdown } = parts;
  const traffic = storeTraffic('mooring_files_store', 'the store of files');
  const { isOneOfMany } = parts;
  const store = await openStore(settings, parts.folder, { isOneOfMany, clock, log, observe: traffic.observe });
  if (store !== undefined) shutdown.add('files', () => store.close());
  let port: number | undefined;
  const hostName = (): string => {
    const name = settings.hostName[0] ?? parts.localName;
    return settings.filesHostName ?? (port === undefined || port === HTTPS_PORT ? name : `${name}:${port}`);
  };
  const room = createFiles({
    guard: parts.guard,
    store,
    ...(isOneOfMany && settings.filesStore === 'folder' && { place: placeOf(settings.filesFolder ?? parts.folder) }),
    records: parts.records,
    grants: parts.grants,
    rollouts: parts.rollouts,
    identities: parts.identities,
    limits: fileLimits(settings),
    pace: createPace(fileLimits(settings), clock),
    uploadRate: new UploadRate(clock),
    secret: await parts.records.secret(parts.random.bytes(SECRET_BYTES)),
    hostName,
    recorder: parts.recorder,
    clock,
    random: parts.random,
    log,
  });
  const sweepFailed = 'uploads whose time is over could not be ended; it is tried again';
  shutdown.add(
    'sweep of files',
    repeat(limits.sweepFilesMs, () => room.sweep(parts.isOwnDuty?.() ?? true), sweepFailed, { clock, log }),
  );
  return {
    room,
    store,
    traffic,
    hostName,
    listens(httpsPort) {
      port = httpsPort;
    },
  };
}

/** Carries rollouts on in time. @returns what ends it, and resolves when nothing is under way. */
export function carryRollouts(
  { room }: Pick<OpenFiles, 'room'>,
  commands: Pick<Commands, 'send'>,
  queue: Pick<CommandQueue, 'find'>,
  around: { readonly clock: Clock; readonly log: Log; readonly isOwnDuty?: () => boolean },
): () => Promise<void> {
  const principal: Principal = {
    kind: 'policy',
    policyName: 'rollout',
    permissions: new Set(['ServiceConnect']),
    scope: [],
    expiresAt: Number.POSITIVE_INFINITY,
  };
  const means = {
    async tell(target: IdentityKey, message: CommandMessage) {
      await commands.send(principal, target, message);
    },
    async outcome(target: IdentityKey, messageId: string) {
      const [command] = await queue.find(target, { messageId });
      return command?.state.kind === 'ended' ? command.state.outcome : undefined;
    },
  };
  const step = whereOwn(around.isOwnDuty, () => room.step(means));
  return repeat(limits.rolloutStepMs, step, 'rollouts could not be carried on', around);
}

/** Work of one node for all. */
function whereOwn(isOwn: (() => boolean) | undefined, run: () => Promise<void>): () => Promise<void> {
  return async () => {
    if (isOwn?.() !== false) await run();
  };
}

/** @returns what ends it, and resolves when no run is under way. */
function repeat(
  everyMs: number,
  run: () => Promise<void>,
  failed: string,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): () => Promise<void> {
  let ended = false;
  let running: Promise<void> = Promise.resolve();
  let cancel = (): void => {};
  const plan = (): void => {
    cancel = clock.after(everyMs, () => {
      running = run()
        .catch((error) => log.error({ error }, failed))
        .finally(() => {
          if (!ended) plan();
        });
    });
  };
  plan();
  return async () => {
    ended = true;
    cancel();
    await running;
  };
}

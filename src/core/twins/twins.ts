import type { Clock } from '../../base/clock.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { IdentityStore } from '../identity/ports.ts';
import { shareName } from '../identity/share-name.ts';
import type { Identity, IdentityKey, PresenceState, Principal } from '../identity/types.ts';
import { twinCalls } from './calls.ts';
import { deviceTwinText } from './json.ts';
import { errorOf } from './kept.ts';
import type { KeptTwin, TwinStore } from './ports.ts';
import { Reporting } from './reporting.ts';
import type { Twins, TwinView } from './room.ts';

export interface TwinsParts {
  readonly guard: Guard;
  readonly store: TwinStore;
  readonly identities: Pick<IdentityStore, 'get'>;
  readonly presence: { state(key: IdentityKey): Promise<PresenceState> };
  readonly commandDepths: (keys: readonly IdentityKey[]) => Promise<readonly number[]>;
  /** Whether changes are kept as events. */
  readonly withEvents: boolean;
  readonly clock: Pick<Clock, 'now'>;
}

export interface ReportTotals {
  readonly accepted: number;
  readonly refused: number;
  readonly calls: number;
}

export interface TwinsRoom {
  readonly twins: Guarded<Twins>;
  /** Of reported patches, since the start. */
  readonly totals: ReportTotals;
}

export function createTwins(parts: TwinsParts): TwinsRoom {
  const { store, identities, withEvents, clock } = parts;
  const reporting = new Reporting(store, clock, withEvents);

  const factsOf = (key: IdentityKey) => Promise.all([parts.presence.state(key), parts.commandDepths([key])]);
  const viewOf = async (
    identity: Identity,
    { twin, modelId, configurations }: KeptTwin,
    facts = factsOf(keyOf(identity)),
  ): Promise<TwinView> => {
    const [state, [depth]] = await facts;
    const view = { ...identity, ...state, cloudToDeviceMessageCount: depth };
    return { identity: view, twin, modelId, ...(configurations && { configurations }) };
  };
  const notThere = async (key: IdentityKey): Promise<HubError> => {
    const { deviceId, moduleId } = key;
    const device = moduleId === undefined ? undefined : await identities.get({ deviceId });
    return device === undefined ? notFound({ deviceId }) : notFound(key);
  };

  const room: Twins = {
    async get(principal, key) {
      const share = shareName(principal);
      // The document comes last, in a turn that has room for it, and is made into the answer in the same turn.
      const facts = factsOf(keyOf(key));
      const [identity, kept] = await Promise.all([
        identities.get(key),
        store.load(keyOf(key), undefined, share),
        facts,
      ]);
      if (identity !== undefined && identity.generationId === kept?.generationId) return viewOf(identity, kept, facts);
      // It was re-created between the two, or is not there.
      const now = await identities.get(key);
      const own = now && (await store.load(keyOf(key), now.generationId, share));
      if (now === undefined || own === undefined) throw await notThere(key);
      return viewOf(now, own);
    },
    async change(principal, key, change, ifMatch = '*') {
      const terms = { ifMatch, time: clock.now(), withEvents, share: shareName(principal) };
      const outcome = await store.change(keyOf(key), change, terms);
      if (outcome.kind === 'refused') throw errorOf(outcome);
      const identity = await identities.get(key);
      if (outcome.kind === 'gone' || identity === undefined) throw await notThere(key);
      // What was changed has been deleted meanwhile, and another is there: the change is not of that one.
      if (identity.generationId !== outcome.kept.generationId) throw notFound(key);
      return viewOf(identity, outcome.kept);
    },
    async readOwn(principal, key) {
      const kept = await store.load(keyOf(key), generationOf(principal), shareName(principal));
      if (kept === undefined) throw await notThere(key);
      return deviceTwinText(kept.twin);
    },
    async report(principal, key, patch) {
      const generationId = generationOf(principal) ?? (await store.load(keyOf(key)))?.generationId;
      if (generationId === undefined) throw await notThere(key);
      const outcome = await reporting.add({ key: keyOf(key), generationId, patch });
      if (outcome.kind === 'refused') throw errorOf(outcome);
      if (outcome.kind === 'gone') throw await notThere(key);
      return outcome.version;
    },
    async nameModel(principal, key, modelId) {
      const generationId = ownGeneration(principal);
      const kept = await store.load(keyOf(key), generationId);
      // Nearly always the one that it has named before: nothing is written then.
      if (kept === undefined || kept.modelId === modelId) return;
      await store.nameModel(keyOf(key), generationId, modelId);
    },
    async ownVersion(principal, key) {
      const version = await store.desiredVersion(keyOf(key), ownGeneration(principal));
      if (version === undefined) throw await notThere(key);
      return version;
    },
    async ownChanges(principal, key, version, countMax) {
      const changes = await store.desiredSince(keyOf(key), ownGeneration(principal), version, countMax);
      if (changes === undefined) throw await notThere(key);
      return changes;
    },
  };
  return { twins: parts.guard.room(room, twinCalls), totals: reporting.totals };
}

function notFound({ deviceId, moduleId }: IdentityKey): HubError {
  return moduleId === undefined
    ? new HubError('DeviceNotFound', `The device ${deviceId} does not exist.`)
    : new HubError('ModuleNotFound', `The module ${moduleId} of ${deviceId} does not exist.`);
}

function generationOf(principal: Principal): string | undefined {
  return principal.kind === 'device' ? principal.generationId : undefined;
}

/** Only connections ask for these, and they have proved which generation they are of. */
function ownGeneration(principal: Principal): string {
  return generationOf(principal) ?? '';
}

/** Only the two fields that name an identity: a caller's object may carry more. */
function keyOf({ deviceId, moduleId }: IdentityKey): IdentityKey {
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}

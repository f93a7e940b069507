/** Twins of identities that come in a file. */
import { HubError } from '../errors.ts';
import type { Identity, IdentityKey } from '../identity/types.ts';
import type { ChangeOutcome, ReportOutcome, TwinRefusal, TwinStore } from '../twins/ports.ts';
import type { Twin, TwinChange } from '../twins/types.ts';
import type { ImportItem } from './device-line.ts';
import type { ImportedTwin } from './types.ts';

export interface TakenTwin {
  readonly item: ImportItem;
  readonly identity: Identity;
  /** It has just been created: nobody has touched its twin. */
  readonly isNew: boolean;
}

export interface ImportTwins {
  /** @returns for each, in order, why it was not taken; undefined = it was */
  take(twins: readonly TakenTwin[], now: number): Promise<readonly (HubError | undefined)[]>;
}

export interface ImportTwinsParts {
  readonly store: Pick<TwinStore, 'load' | 'change' | 'report'>;
  /** As `isAsImported` and `saysNothing` of the room of twins. */
  readonly rules: {
    isAsImported(twin: Twin, change: TwinChange): boolean;
    saysNothing(change: TwinChange): boolean;
  };
  readonly withEvents: boolean;
  /** Whether the one who has asked for the import may change twins. */
  readonly isAllowed: boolean;
}

export function importTwins({ store, rules, withEvents, isAllowed }: ImportTwinsParts): ImportTwins {
  /** Changes tags and desired properties; the version of the reported ones is told, where it is known. */
  async function change(taken: TakenTwin, twin: ImportedTwin, time: number): Promise<HubError | number | undefined> {
    const { item, identity, isNew } = taken;
    const key = keyOf(identity);
    // Each line of an export has a twinETag, mostly one of another hub: it counts where the mode says so.
    const isConditional = item.mode.endsWith('IfMatchETag');
    const conditionOf = item.mode === 'updateTwinIfMatchETag' ? (item.twinEtag ?? item.etag) : item.twinEtag;
    if (item.mode === 'updateTwinIfMatchETag' && !conditionOf) {
      return new HubError('ArgumentNull', `${item.mode} needs a twinETag.`);
    }
    if (isNew && (twin.change === undefined || rules.saysNothing(twin.change))) return FRESH;
    const kept = isNew ? undefined : await store.load(key, identity.generationId);
    if (!isNew && kept === undefined) return gone(key);
    const version = kept?.twin.reported.version ?? FRESH;
    if (twin.change === undefined || (kept !== undefined && rules.isAsImported(kept.twin, twin.change))) return version;
    // The ETag of a twin that has just been made is of another hub's.
    const ifMatch = isNew || !isConditional ? '*' : (conditionOf ?? '*');
    const outcome = await store.change(key, twin.change, { ifMatch, time, withEvents });
    return outcome.kind === 'done' ? outcome.kept.twin.reported.version : errorOf(outcome, key);
  }

  return {
    async take(twins, now) {
      const outcomes = await Promise.all(
        twins.map(async (taken) => {
          const { twin } = taken.item;
          if (twin === undefined || twin instanceof HubError) return twin;
          if (!isAllowed)
            return new HubError('IotHubUnauthorizedAccess', 'The policy that has asked may not write twins.');
          return change(taken, twin, now);
        }),
      );
      // What a device has reported here is newer than any file.
      const places = twins.flatMap(({ item }, at) =>
        outcomes[at] === FRESH && !(item.twin instanceof HubError) && item.twin?.reported !== undefined ? [at] : [],
      );
      const failures: (HubError | undefined)[] = outcomes.map((outcome) =>
        outcome instanceof HubError ? outcome : undefined,
      );
      if (places.length === 0) return failures;
      const reports = places.map((at) => {
        const { identity, item } = twins[at];
        const { text, sizeMax } = (item.twin as ImportedTwin).reported ?? { text: '{}', sizeMax: 0 };
        return { key: keyOf(identity), generationId: identity.generationId, patch: { text, sizeMax } };
      });
      const reported = await store.report(reports, { time: now, withEvents, isFirstOnly: true });
      for (const [nth, outcome] of reported.entries()) {
        if (outcome.kind !== 'done') failures[places[nth]] = errorOf(outcome, reports[nth].key);
      }
      return failures;
    },
  };
}

/** The version of reported properties of which no device has said anything. */
const FRESH = 1;

function errorOf(outcome: Exclude<ChangeOutcome | ReportOutcome, { kind: 'done' }>, key: IdentityKey): HubError {
  if (outcome.kind === 'gone') return gone(key);
  const { code, message }: TwinRefusal = outcome;
  return new HubError(code, message);
}

function gone({ deviceId, moduleId }: IdentityKey): HubError {
  return moduleId === undefined
    ? new HubError('DeviceNotFound', `The device ${deviceId} has gone meanwhile.`)
    : new HubError('ModuleNotFound', `The module ${moduleId} of ${deviceId} has gone meanwhile.`);
}

function keyOf({ deviceId, moduleId }: IdentityKey): IdentityKey {
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}

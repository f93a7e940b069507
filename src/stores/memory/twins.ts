import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ConfigurationStates } from '../../core/configurations/types.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { carryOut, lifecycleEvent, reportedContent } from '../../core/twins/changes.ts';
import { TwinChanges } from '../../core/twins/changes-told.ts';
import { reportAll } from '../../core/twins/kept.ts';
import type {
  DesiredNote,
  DesiredText,
  KeptTwin,
  KeptTwinEvent,
  ReportOutcome,
  TwinEvent,
  TwinStore,
} from '../../core/twins/ports.ts';
import { freshTwin } from '../../core/twins/rules.ts';
import type { Twin } from '../../core/twins/types.ts';
import type { MemoryIdentityStore } from './identities.ts';

export interface MemoryTwinStore extends TwinStore {
  peek(key: IdentityKey): KeptTwin | undefined;
  /** What configurations have made of it; it goes with its generation. */
  configure(key: IdentityKey, states: ConfigurationStates | undefined): void;
}

interface Entry {
  readonly generationId: string;
  configurations?: ConfigurationStates;
  modelId: string;
  twin: Twin;
  patches: readonly DesiredText[];
}

/** With events of other stores in memory among its own. */
export interface MemoryTwinStore extends TwinStore {
  keepEvent(event: TwinEvent): void;
}

/**
 * Twins of the identities of `identities`, in memory.
 * @param lifecycleClock Given where events of created and deleted identities are to be kept
 */
export function createMemoryTwinStore(
  identities: MemoryIdentityStore,
  lifecycleClock?: Pick<Clock, 'now'>,
): MemoryTwinStore {
  const entries = new Map<string, Entry>();
  const listeners = new Set<(note: DesiredNote) => void>();
  let events: readonly KeptTwinEvent[] = [];
  let lastSequence = 0;

  const entryOf = (key: IdentityKey, generationId?: string): Entry | undefined => {
    const identity = identities.peek(key);
    if (identity === undefined) {
      entries.delete(identityName(key));
      return undefined;
    }
    if (generationId !== undefined && identity.generationId !== generationId) return undefined;
    const known = entries.get(identityName(key));
    if (known?.generationId === identity.generationId) return known;
    const fresh: Entry = { generationId: identity.generationId, modelId: '', twin: freshTwin(), patches: [] };
    entries.set(identityName(key), fresh);
    return fresh;
  };
  const keptOf = ({ generationId, modelId, twin, configurations }: Entry): KeptTwin => ({
    ...{ generationId, modelId, twin },
    ...(configurations !== undefined && { configurations }),
  });
  const eventListeners = new Set<() => void>();
  const changes = new TwinChanges();
  const keep = (event: TwinEvent): void => {
    events = [...events, { ...event, sequence: ++lastSequence }];
    for (const listener of eventListeners) listener();
  };
  identities.watchOwnWrites(({ kind, identity }) => {
    const key = keyOf(identity);
    const last = entries.get(identityName(key));
    if (kind === 'deleted') entries.delete(identityName(key));
    if (kind === 'replaced' || lifecycleClock === undefined) return;
    const { generationId } = identity;
    const twin = kind === 'deleted' && last?.generationId === generationId ? last.twin : freshTwin();
    keep(lifecycleEvent(kind, { key, generationId, time: lifecycleClock.now() }, twin));
  });
  return {
    keepEvent: keep,
    async load(key, generationId) {
      const entry = entryOf(key, generationId);
      return entry && keptOf(entry);
    },
    async change(key, change, terms) {
      const entry = entryOf(key);
      if (entry === undefined) return { kind: 'gone' };
      const done = carryOut(entry.twin, change, terms);
      if (done.kind === 'refused') return done;
      const { generationId } = entry;
      const { twin, desired, event } = done;
      entry.twin = twin;
      if (event && terms.withEvents) keep({ key: keyOf(key), generationId, time: terms.time, ...event });
      if (desired !== undefined) {
        entry.patches = [...entry.patches, desired].slice(-limits.twinPatchesKept);
        for (const listener of listeners) listener({ key: keyOf(key), generationId, version: desired.version });
      }
      changes.changed(key, change);
      return { kind: 'done', kept: keptOf(entry) };
    },
    async report(reports, { time, withEvents, isFirstOnly = false }) {
      const all = reports.map(({ key, generationId, patch }): ReportOutcome => {
        const entry = entryOf(key, generationId);
        if (entry === undefined) return { kind: 'gone' };
        const before = entry.twin;
        const { version: known } = before.reported;
        if (isFirstOnly && known > freshTwin().reported.version) return { kind: 'done', version: known };
        const { twin, outcomes } = reportAll(before, [patch], time);
        entry.twin = twin;
        if (twin !== before && withEvents) {
          const version = twin.changes + twin.reported.version;
          const content = reportedContent(patch, twin.reported.version);
          keep({ key: keyOf(key), generationId, version, time, kind: 'update', content });
        }
        return outcomes[0];
      });
      changes.reported(reports, all);
      return all;
    },
    async nameModel(key, generationId, modelId) {
      const entry = entryOf(key, generationId);
      if (entry === undefined) return false;
      entry.modelId = modelId;
      changes.tell(key, 'model');
      return true;
    },
    watchChanges: (listener) => changes.watch(listener),
    desiredVersion: async (key, generationId) => entryOf(key, generationId)?.twin.desired.version,
    async desiredNewer(asked) {
      return asked.flatMap(({ key, generationId, version }) => {
        const current = entryOf(key, generationId)?.twin.desired.version ?? version;
        return current > version ? [{ key, generationId, version: current }] : [];
      });
    },
    async desiredSince(key, generationId, version, countMax) {
      const entry = entryOf(key, generationId);
      if (entry === undefined) return undefined;
      const current = entry.twin.desired.version;
      const patches = entry.patches.filter((patch) => patch.version > version);
      const isWhole = current <= version || patches[0]?.version === version + 1;
      return { version: current, patches: isWhole ? patches.slice(0, countMax) : undefined };
    },
    watchOwnWrites(listener) {
      const own = (note: DesiredNote): void => listener(note);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    peek(key) {
      const entry = entryOf(key);
      return entry && keptOf(entry);
    },
    configure(key, states) {
      const entry = entryOf(key);
      if (entry === undefined) return;
      const before = JSON.stringify(entry.configurations ?? {});
      if (states === undefined || Object.keys(states).length === 0) delete entry.configurations;
      else entry.configurations = states;
      if (before !== JSON.stringify(entry.configurations ?? {})) changes.tell(key, 'configurations');
    },
    events: async (countMax) => events.slice(0, countMax),
    async dropEvents(sequences) {
      const dropped = new Set(sequences);
      events = events.filter(({ sequence }) => !dropped.has(sequence));
    },
    watchEvents(listener) {
      const own = (): void => listener();
      eventListeners.add(own);
      return () => eventListeners.delete(own);
    },
  };
}

function keyOf({ deviceId, moduleId }: IdentityKey): IdentityKey {
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}

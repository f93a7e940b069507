import { limits } from '../../base/limits.ts';
import { Turns } from '../../base/turns.ts';
import type { ConfigurationStates } from '../../core/configurations/types.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { TwinChanges } from '../../core/twins/changes-told.ts';
import type { DesiredNote, KeptTwin, TwinStore } from '../../core/twins/ports.ts';
import type { TwinChange } from '../../core/twins/types.ts';
import type { TableCaller } from './caller.ts';
import { type TwinText, twinOf } from './twin-text.ts';

/** With what tells of changes that other stores have made, in the same tables. */
export interface ToldTwinStore extends TwinStore {
  /** @param withEvents Whether events may have been kept */
  tell(notes: readonly DesiredNote[], withEvents: boolean): void;
  /** These twins have been changed so. */
  changed(keys: readonly IdentityKey[], change: TwinChange): void;
  /** Their configurations stand otherwise than before. */
  restated(keys: readonly IdentityKey[]): void;
}

/**
 * Documents are put together by the reader, not on the thread of the tables.
 * @param marked Called when a change has left a mark for configurations
 */
export function createTableTwinStore(
  tables: TableCaller,
  identities: Pick<IdentityStore, 'watchOwnWrites'>,
  marked: () => void,
): ToldTwinStore {
  const turns = new Turns(() => limits.twinCharsPerTurn);
  /** Answers come in heaps, and a large document takes a millisecond and more. */
  const putTogether = async (text: TwinText, share: string): Promise<KeptTwin> => {
    const turn = turns.take(share, (text.document?.length ?? 0) + text.tail.length);
    if (turn !== undefined) await turn;
    return keptOf(text);
  };
  const listeners = new Set<(note: DesiredNote) => void>();
  const eventListeners = new Set<() => void>();
  const changes = new TwinChanges();
  const eventsMayWait = (): void => {
    for (const listener of eventListeners) listener();
  };
  identities.watchOwnWrites(({ kind }) => {
    if (kind !== 'replaced') eventsMayWait();
  });
  const tell = (notes: readonly DesiredNote[], withEvents: boolean): void => {
    if (withEvents) eventsMayWait();
    for (const note of notes) for (const listener of listeners) listener(note);
  };
  return {
    tell,
    changed(keys, change) {
      for (const key of keys) changes.changed(key, change);
    },
    restated(keys) {
      for (const key of keys) changes.tell(key, 'configurations');
    },
    async load(key, generationId, share = '') {
      const text = await tables.call('twins.load', key, generationId);
      return text && putTogether(text, share);
    },
    async change(key, change, terms) {
      const outcome = await tables.callThen('twins.change', [key, change, terms], ({ outcome, note, isMarked }) => {
        if (isMarked) marked();
        tell(note === undefined ? [] : [note], terms.withEvents);
        if (outcome.kind === 'done') changes.changed(key, change);
        return outcome;
      });
      if (outcome.kind !== 'done') return outcome;
      return { kind: 'done', kept: await putTogether(outcome.text, terms.share ?? '') };
    },
    report: (reports, terms) =>
      tables.callThen('twins.report', [reports, terms], ({ outcomes, isMarked }) => {
        if (isMarked) marked();
        if (terms.withEvents) eventsMayWait();
        changes.reported(reports, outcomes);
        return outcomes;
      }),
    nameModel: (key, generationId, modelId) =>
      tables.callThen('twins.nameModel', [key, generationId, modelId], ({ isNamed, isMarked }) => {
        if (isMarked) marked();
        if (isNamed) changes.tell(key, 'model');
        return isNamed;
      }),
    watchChanges: (listener) => changes.watch(listener),
    desiredVersion: (key, generationId) => tables.call('twins.desiredVersion', key, generationId),
    desiredNewer: async (asked) => (asked.length === 0 ? [] : tables.call('twins.desiredNewer', asked)),
    desiredSince: (key, generationId, version, countMax) =>
      tables.call('twins.desiredSince', key, generationId, version, countMax),
    watchOwnWrites(listener) {
      const own = (note: DesiredNote): void => listener(note);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    events: (countMax) => tables.call('twins.events', countMax),
    dropEvents: (sequences) => tables.call('twins.dropEvents', sequences),
    watchEvents(listener) {
      const own = (): void => listener();
      eventListeners.add(own);
      return () => eventListeners.delete(own);
    },
  };
}

function keptOf(text: TwinText): KeptTwin {
  const { generationId, modelId, states } = text;
  const configurations = states === null || states === '{}' ? undefined : (JSON.parse(states) as ConfigurationStates);
  return { generationId, modelId, twin: twinOf(text), ...(configurations && { configurations }) };
}

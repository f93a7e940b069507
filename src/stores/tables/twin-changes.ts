/** Changes of twins that back ends, jobs and configurations make, in tables. What devices report is in `twins.ts`. */
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { carryOut } from '../../core/twins/changes.ts';
import type { ChangeTerms, DesiredNote, TwinEvent, TwinRefusal } from '../../core/twins/ports.ts';
import type { TwinChange } from '../../core/twins/types.ts';
import { markTwin } from './configuration-marks.ts';
import { statesOf } from './configuration-rows.ts';
import { directOf } from './engine.ts';
import type { Transaction } from './schema.ts';
import { keepTwinEvents } from './twin-events.ts';
import { type TwinText, twinOf } from './twin-text.ts';
import { holdTwin, keepPatches, saveTwins } from './twins.ts';
import { documentsOf, type HeldTwin, holdTwins, type SavedTwin, type TwinPatch } from './twins-together.ts';

export interface TwinChanged {
  /** Configurations are to be looked at. */
  readonly isMarked?: boolean;
  readonly outcome: { readonly kind: 'done'; readonly text: TwinText } | { readonly kind: 'gone' } | TwinRefusal;
  readonly note?: DesiredNote;
}

/** What a back end wants, which leaves a mark for configurations. */
export async function changeTwin(
  tx: Transaction,
  key: IdentityKey,
  change: TwinChange,
  terms: ChangeTerms,
): Promise<TwinChanged> {
  const changed = await carryTwinChange(tx, key, change, terms);
  const { outcome } = changed;
  if (outcome.kind !== 'done') return changed;
  const states = await statesOf(tx, key, outcome.text.generationId);
  const isMarked = await markTwin(tx, key);
  return { ...changed, outcome: { kind: 'done', text: { ...outcome.text, states } }, isMarked };
}

/** The change alone, which configurations make as well. */
export async function carryTwinChange(
  tx: Transaction,
  key: IdentityKey,
  change: TwinChange,
  terms: ChangeTerms,
): Promise<TwinChanged> {
  const carried = carry(key, await holdTwin(tx, key), change, terms);
  await keep(tx, [carried]);
  return carried.changed;
}

/**
 * The change of each of them by itself, in order, until so many milliseconds were spent on it: of one at least. Those for which a server
 * was waited for do not count, as nobody else waits for those.
 * @param keys each of them once
 * @returns of as many as were done
 */
export async function carryTwinChanges(
  tx: Transaction,
  keys: readonly IdentityKey[],
  change: TwinChange,
  terms: ChangeTerms,
  msMax: number,
): Promise<readonly TwinChanged[]> {
  if (directOf(tx) === undefined) return carryTogether(tx, keys, change, terms, msMax);
  const begun = performance.now();
  const done: TwinChanged[] = [];
  for (const key of keys) {
    done.push(await carryTwinChange(tx, key, change, terms));
    if (performance.now() - begun >= msMax) break;
  }
  return done;
}

async function carryTogether(
  tx: Transaction,
  keys: readonly IdentityKey[],
  change: TwinChange,
  terms: ChangeTerms,
  msMax: number,
): Promise<readonly TwinChanged[]> {
  const held = await holdTwins(tx, keys);
  const done: TwinChanged[] = [];
  let spentMs = 0;
  while (done.length < keys.length && (done.length === 0 || spentMs < msMax)) {
    const some = fitting(held, done.length);
    const documents = await documentsOf(
      tx,
      some.map((at) => keys[at]),
    );
    const begun = performance.now();
    const carried: Carried[] = [];
    for (const [nth, at] of some.entries()) {
      carried.push(carry(keys[at], textOf(held[at], documents[nth]), change, terms));
      if (spentMs + performance.now() - begun >= msMax) break;
    }
    spentMs += performance.now() - begun;
    await keep(tx, carried);
    done.push(...carried.map(({ changed }) => changed));
  }
  return done;
}

/** The places from this one on whose documents may be read at once: one at least. */
function fitting(held: readonly (HeldTwin | undefined)[], from: number): readonly number[] {
  const places = [from];
  let bytes = held[from]?.documentBytes ?? 0;
  for (let at = from + 1; at < held.length; at++) {
    bytes += held[at]?.documentBytes ?? 0;
    if (bytes > limits.twinBytesTogetherMax) break;
    places.push(at);
  }
  return places;
}

function textOf(held: HeldTwin | undefined, document: string | null): TwinText | undefined {
  if (held === undefined) return undefined;
  const { generationId, modelId, tail } = held;
  return { generationId, modelId, document, tail, states: null };
}

/** What has become of a change, and what is to be kept of it. */
interface Carried {
  readonly changed: TwinChanged;
  readonly saved?: SavedTwin;
  readonly patch?: TwinPatch;
  readonly event?: TwinEvent;
}

function carry(key: IdentityKey, held: TwinText | undefined, change: TwinChange, terms: ChangeTerms): Carried {
  if (held === undefined) return { changed: { outcome: { kind: 'gone' } } };
  const before = twinOf(held);
  const done = carryOut(before, change, terms);
  if (done.kind === 'refused') return { changed: { outcome: done } };
  const { twin, desired, event } = done;
  if (twin === before) return { changed: { outcome: { kind: 'done', text: held } } };
  const { generationId, modelId } = held;
  const document = JSON.stringify(twin);
  return {
    changed: {
      outcome: { kind: 'done', text: { generationId, modelId, document, tail: '', states: null } },
      ...(desired && { note: { key, generationId, version: desired.version } }),
    },
    saved: { key, twin, document },
    ...(desired && { patch: { key, desired } }),
    ...(event && terms.withEvents && { event: { key, generationId, time: terms.time, ...event } }),
  };
}

async function keep(tx: Transaction, carried: readonly Carried[]): Promise<void> {
  await saveTwins(tx, carried.map(({ saved }) => saved).filter(isThere));
  await keepTwinEvents(tx, carried.map(({ event }) => event).filter(isThere));
  await keepPatches(tx, carried.map(({ patch }) => patch).filter(isThere));
}

const isThere = <Value>(value: Value | undefined): value is Value => value !== undefined;

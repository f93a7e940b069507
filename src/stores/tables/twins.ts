/**
 * Twins in tables. A reported patch that fits behind the tail is one statement; all else reads the twin under a lock, and writes it
 * as a whole.
 */
import { CompiledQuery } from 'kysely';
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { reportedContent } from '../../core/twins/changes.ts';
import { mayFollow, reportAll, reportedSize, tailEntry } from '../../core/twins/kept.ts';
import type {
  DesiredChanges,
  DesiredNote,
  Report,
  ReportOutcome,
  ReportTerms,
  TwinEvent,
} from '../../core/twins/ports.ts';
import { freshTwin } from '../../core/twins/rules.ts';
import type { ReportedPatch } from '../../core/twins/types.ts';
import { markReported, markTwin } from './configuration-marks.ts';
import { directOf, lockingRows, numbered, padded } from './engine.ts';
import type { Transaction } from './schema.ts';
import { byKey, keepTwinEvents } from './twin-events.ts';
import { type TwinText, twinOf } from './twin-text.ts';
import {
  documentsOf,
  holdTwins,
  keepPatchesTogether,
  type SavedTwin,
  saveTogether,
  type TwinPatch,
} from './twins-together.ts';

export async function loadTwin(
  tx: Transaction,
  key: IdentityKey,
  generationId?: string,
): Promise<TwinText | undefined> {
  const row = await tx
    .selectFrom('identities as identity')
    .leftJoin('twins as twin', (join) =>
      join
        .onRef('twin.device_id', '=', 'identity.device_id')
        .onRef('twin.module_id', '=', 'identity.module_id')
        .onRef('twin.generation_id', '=', 'identity.generation_id'),
    )
    .leftJoin('twin_documents as text', (join) =>
      join.onRef('text.device_id', '=', 'twin.device_id').onRef('text.module_id', '=', 'twin.module_id'),
    )
    .leftJoin('configured as own', (join) =>
      join
        .onRef('own.device_id', '=', 'identity.device_id')
        .onRef('own.module_id', '=', 'identity.module_id')
        .onRef('own.generation_id', '=', 'identity.generation_id'),
    )
    .select([
      'identity.generation_id as generation',
      'text.document',
      'twin.tail',
      'twin.model_id as model',
      'own.states',
    ])
    .where('identity.device_id', '=', key.deviceId)
    .where('identity.module_id', '=', key.moduleId ?? '')
    .executeTakeFirst();
  if (row === undefined || (generationId !== undefined && row.generation !== generationId)) return undefined;
  return {
    generationId: row.generation,
    modelId: row.model ?? '',
    document: row.document,
    tail: row.tail ?? '',
    states: row.states,
  };
}

export async function reportTwins(
  tx: Transaction,
  reports: readonly Report[],
  terms: ReportTerms,
): Promise<{ readonly outcomes: readonly ReportOutcome[]; readonly isMarked: boolean }> {
  const outcomes: ReportOutcome[] = new Array(reports.length);
  const events: TwinEvent[] = [];
  const changed: IdentityKey[] = [];
  for (const places of placesOfTwins(reports)) {
    const { key, generationId } = reports[places[0]];
    const patches = places.map((at) => reports[at].patch);
    const done = await reportOne(tx, key, generationId, patches, terms);
    if (done.versions.some((version) => version !== undefined)) changed.push(key);
    for (const [at, place] of places.entries()) {
      outcomes[place] = done.outcomes[at];
      const version = done.versions[at];
      if (version === undefined || !terms.withEvents) continue;
      const content = reportedContent(patches[at], version);
      events.push({ key, generationId, version: done.changes + version, time: terms.time, kind: 'update', content });
    }
  }
  if (events.length > 0) await keepTwinEvents(tx, events);
  return { outcomes, isMarked: await markReported(tx, changed) };
}

/** Which of the reports concern the same twin, in order; twins in that of their keys, so that none who hold several wait in a circle. */
function placesOfTwins(reports: readonly Report[]): Iterable<readonly number[]> {
  const places = new Map<string, number[]>();
  for (const [at, { key, generationId }] of reports.entries()) {
    // Neither id holds a slash.
    const name = `${key.deviceId}/${key.moduleId ?? ''}/${generationId}`;
    const known = places.get(name);
    if (known === undefined) places.set(name, [at]);
    else known.push(at);
  }
  return [...places.values()].sort(([a], [b]) => byKey(reports[a].key, reports[b].key));
}

/** Of reported properties of which no device has said anything. */
const FIRST_VERSION = freshTwin().reported.version;

interface Reported {
  readonly outcomes: readonly ReportOutcome[];
  /** The section's version after each patch; undefined where a patch changed nothing. */
  readonly versions: readonly (number | undefined)[];
  readonly changes: number;
}

async function reportOne(
  tx: Transaction,
  key: IdentityKey,
  generationId: string,
  patches: readonly ReportedPatch[],
  { time, isFirstOnly = false }: ReportTerms,
): Promise<Reported> {
  const isLater = (version: number): boolean => isFirstOnly && version > FIRST_VERSION;
  const asItIs = (version: number, changes: number): Reported => ({
    outcomes: patches.map(() => ({ kind: 'done', version })),
    versions: patches.map(() => undefined),
    changes,
  });
  if (isFirstOnly) {
    const query = tx
      .selectFrom('twins')
      .select(['reported_version', 'changes'])
      .where('device_id', '=', key.deviceId)
      .where('module_id', '=', key.moduleId ?? '')
      .where('generation_id', '=', generationId);
    const row = await lockingRows(tx, query).executeTakeFirst();
    if (row !== undefined && isLater(Number(row.reported_version))) {
      return asItIs(Number(row.reported_version), Number(row.changes));
    }
  }
  if (patches.every(mayFollow)) {
    const added = await addToTail(tx, key, generationId, patches, time);
    if (added !== undefined) return added;
  }
  const held = await holdTwin(tx, key, generationId);
  if (held === undefined) {
    return { outcomes: patches.map(() => ({ kind: 'gone' })), versions: patches.map(() => undefined), changes: 0 };
  }
  const before = twinOf(held);
  if (isLater(before.reported.version)) return asItIs(before.reported.version, before.changes);
  const { twin, outcomes } = reportAll(before, patches, time);
  if (twin !== before) await saveTwins(tx, [{ key, twin, document: JSON.stringify(twin) }]);
  let last = before.reported.version;
  const versions = outcomes.map((outcome) => {
    if (outcome.kind !== 'done' || outcome.version === last) return undefined;
    last = outcome.version;
    return last;
  });
  return { outcomes, versions, changes: twin.changes };
}

const ADD_TO_TAIL = `update twins set
    tail = tail || ?, reported_version = reported_version + ?, reported_size = reported_size + ?
  where device_id = ? and module_id = ? and generation_id = ? and reported_size <= ? and length(tail) <= ?
  returning reported_version, changes`;
const ADD_TO_TAIL_NUMBERED = numbered(ADD_TO_TAIL);

/** Undefined when the twin must be looked at: it is fresh or gone, its tail is long, or it may become too large. */
async function addToTail(
  tx: Transaction,
  key: IdentityKey,
  generationId: string,
  patches: readonly ReportedPatch[],
  time: number,
): Promise<Reported | undefined> {
  let text = '';
  let size = 0;
  for (const patch of patches) {
    text += tailEntry(patch, time);
    size += patch.sizeMax;
  }
  const parameters = [
    text,
    patches.length,
    size,
    key.deviceId,
    key.moduleId ?? '',
    generationId,
    limits.twinSectionBytesMax - size,
    limits.twinTailCharsMax - text.length,
  ];
  const direct = directOf(tx);
  const rows = (
    direct === undefined
      ? (await tx.executeQuery(CompiledQuery.raw(ADD_TO_TAIL_NUMBERED, parameters))).rows
      : direct.all(ADD_TO_TAIL, parameters)
  ) as readonly { readonly reported_version: number; readonly changes: number }[];
  if (rows.length === 0) return undefined;
  const first = Number(rows[0].reported_version) - patches.length + 1;
  const versions = patches.map((_, at) => first + at);
  return {
    outcomes: versions.map((version) => ({ kind: 'done', version })),
    versions,
    changes: Number(rows[0].changes),
  };
}

const HELD = `select identity.generation_id, twin.tail, twin.model_id, text.document from identities as identity
  left join twins as twin on twin.device_id = identity.device_id and twin.module_id = identity.module_id
  left join twin_documents as text on text.device_id = identity.device_id and text.module_id = identity.module_id
  where identity.device_id = ? and identity.module_id = ?`;

const ADD_TWIN = `insert into twins
    (device_id, module_id, generation_id, changes, desired_version, reported_version, reported_size, model_id, tail)
  values (?, ?, ?, ?, ?, ?, 0, '', '')`;

interface HeldRow {
  readonly generation_id: string;
  readonly tail: string | null;
  readonly model_id: string | null;
  readonly document: string | null;
}

/**
 * The twin, held until the transaction ends, without the states of configurations; undefined when there is no such identity (of that
 * generation).
 */
export async function holdTwin(
  tx: Transaction,
  key: IdentityKey,
  generationId?: string,
): Promise<TwinText | undefined> {
  const direct = directOf(tx);
  if (direct !== undefined) {
    const [row] = direct.all(HELD, [key.deviceId, key.moduleId ?? '']) as readonly HeldRow[];
    if (row === undefined || (generationId !== undefined && row.generation_id !== generationId)) return undefined;
    const { generation_id: generation, tail, model_id: modelId, document } = row;
    if (tail !== null) return { generationId: generation, modelId: modelId ?? '', document, tail, states: null };
    const { changes, desired, reported } = freshTwin();
    direct.all(ADD_TWIN, [key.deviceId, key.moduleId ?? '', generation, changes, desired.version, reported.version]);
    return { generationId: generation, modelId: '', document: null, tail: '', states: null };
  }
  const [held] = await holdTwins(tx, [key]);
  if (held === undefined || (generationId !== undefined && held.generationId !== generationId)) return undefined;
  const { generationId: generation, modelId, tail } = held;
  const [document] = await documentsOf(tx, [key]);
  return { generationId: generation, modelId, document, tail, states: null };
}

const SAVE_DOCUMENT = `insert into twin_documents (device_id, module_id, document) values (?, ?, ?)
  on conflict (device_id, module_id) do update set document = excluded.document`;
const SAVE_TWIN = `update twins set changes = ?, desired_version = ?, reported_version = ?, reported_size = ?, tail = ''
  where device_id = ? and module_id = ?`;

/** @param saved twins that are held, each of them once */
export async function saveTwins(tx: Transaction, saved: readonly SavedTwin[]): Promise<void> {
  if (saved.length === 0) return;
  const direct = directOf(tx);
  if (direct === undefined) return saveTogether(tx, saved);
  for (const { key, twin, document } of saved) {
    const { deviceId, moduleId = '' } = key;
    direct.all(SAVE_DOCUMENT, [deviceId, moduleId, document]);
    const versions = [twin.changes, twin.desired.version, twin.reported.version, reportedSize(twin)];
    direct.all(SAVE_TWIN, [...versions, deviceId, moduleId]);
  }
}

const ADD_PATCH = 'insert into twin_patches (device_id, module_id, version, patch) values (?, ?, ?, ?)';
const DROP_PATCHES = 'delete from twin_patches where device_id = ? and module_id = ? and version <= ?';

/** Keeps what devices are told, and drops the oldest of what they were. */
export async function keepPatches(tx: Transaction, patches: readonly TwinPatch[]): Promise<void> {
  if (patches.length === 0) return;
  const direct = directOf(tx);
  if (direct === undefined) return keepPatchesTogether(tx, patches);
  for (const { key, desired } of patches) {
    const { deviceId, moduleId = '' } = key;
    direct.all(ADD_PATCH, [deviceId, moduleId, desired.version, desired.text]);
    const old = desired.version - limits.twinPatchesKept;
    if (old > 0) direct.all(DROP_PATCHES, [deviceId, moduleId, old]);
  }
}

export async function nameModel(
  tx: Transaction,
  key: IdentityKey,
  generationId: string,
  modelId: string,
): Promise<{ readonly isNamed: boolean; readonly isMarked: boolean }> {
  if ((await holdTwin(tx, key, generationId)) === undefined) return { isNamed: false, isMarked: false };
  await tx
    .updateTable('twins')
    .set({ model_id: modelId })
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .execute();
  return { isNamed: true, isMarked: await markTwin(tx, key) };
}

export async function desiredVersion(
  tx: Transaction,
  key: IdentityKey,
  generationId: string,
): Promise<number | undefined> {
  const row = await tx
    .selectFrom('identities as identity')
    .leftJoin('twins as twin', (join) =>
      join
        .onRef('twin.device_id', '=', 'identity.device_id')
        .onRef('twin.module_id', '=', 'identity.module_id')
        .onRef('twin.generation_id', '=', 'identity.generation_id'),
    )
    .select('twin.desired_version as version')
    .where('identity.device_id', '=', key.deviceId)
    .where('identity.module_id', '=', key.moduleId ?? '')
    .where('identity.generation_id', '=', generationId)
    .executeTakeFirst();
  return row && Number(row.version ?? freshTwin().desired.version);
}

/** One statement. A fresh twin has no row, and nothing that is newer. */
export async function desiredNewer(tx: Transaction, asked: readonly DesiredNote[]): Promise<readonly DesiredNote[]> {
  assert(asked.length > 0 && asked.length <= limits.desiredLookAtOnce, 'a bounded number of twins is asked for');
  const rows = await tx
    .selectFrom('twins')
    .select(['device_id', 'module_id', 'generation_id', 'desired_version'])
    .where('device_id', 'in', padded(asked.map(({ key }) => key.deviceId)))
    .execute();
  const nameOf = (deviceId: string, moduleId: string, generationId: string): string =>
    JSON.stringify([deviceId, moduleId, generationId]);
  const versions = new Map(
    rows.map((row) => [nameOf(row.device_id, row.module_id, row.generation_id), Number(row.desired_version)]),
  );
  return asked.flatMap(({ key, generationId, version }) => {
    const current = versions.get(nameOf(key.deviceId, key.moduleId ?? '', generationId)) ?? version;
    return current > version ? [{ key, generationId, version: current }] : [];
  });
}

export async function desiredSince(
  tx: Transaction,
  key: IdentityKey,
  generationId: string,
  version: number,
  countMax: number,
): Promise<DesiredChanges | undefined> {
  const current = await desiredVersion(tx, key, generationId);
  if (current === undefined) return undefined;
  if (current <= version) return { version: current, patches: [] };
  const rows = await tx
    .selectFrom('twin_patches')
    .select(['version', 'patch'])
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .where('version', '>', version)
    .where('version', '<=', current)
    .orderBy('version')
    .limit(countMax)
    .execute();
  if (rows.length === 0 || Number(rows[0].version) !== version + 1) return { version: current, patches: undefined };
  return { version: current, patches: rows.map((row) => ({ version: Number(row.version), text: row.patch })) };
}

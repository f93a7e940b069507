import { sql } from 'kysely';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { BegunTwinEvents, KeptTwinEvent, TwinEvent } from '../../core/twins/ports.ts';
import { directOf, padded } from './engine.ts';
import { readFact, writeFact } from './migrations.ts';
import type { Transaction } from './schema.ts';

/** Events that one statement names. */
const EVENTS_PER_STATEMENT = 256;

const KEEP = `insert into twin_events (device_id, module_id, generation_id, version, time, kind, content)
  values (?, ?, ?, ?, ?, ?, ?)`;

/** Keeps what has changed, in the transaction of the change. */
export async function keepTwinEvents(tx: Transaction, events: readonly TwinEvent[]): Promise<void> {
  const direct = directOf(tx);
  if (direct !== undefined) {
    for (const { key, generationId, version, time, kind, content } of events) {
      direct.all(KEEP, [key.deviceId, key.moduleId ?? '', generationId, version, time, kind, content]);
    }
    return;
  }
  if (events.length === 0) return;
  // Numbered in the order in which they are given.
  await sql`
    insert into twin_events (device_id, module_id, generation_id, version, time, kind, content)
    select device_id, module_id, generation_id, version, time, kind, content
    from unnest(
      ${events.map(({ key }) => key.deviceId)}::text[], ${events.map(({ key }) => key.moduleId ?? '')}::text[],
      ${events.map(({ generationId }) => generationId)}::text[], ${events.map(({ version }) => version)}::bigint[],
      ${events.map(({ time }) => time)}::bigint[], ${events.map(({ kind }) => kind)}::text[],
      ${events.map(({ content }) => content)}::text[]
    ) with ordinality as kept (device_id, module_id, generation_id, version, time, kind, content, nth)
    order by nth
  `.execute(tx);
}

export async function twinEvents(tx: Transaction, countMax: number): Promise<readonly KeptTwinEvent[]> {
  const rows = await tx.selectFrom('twin_events').selectAll().orderBy('sequence').limit(countMax).execute();
  return rows.map((row) => ({
    sequence: Number(row.sequence),
    key: keyOf(row.device_id, row.module_id),
    generationId: row.generation_id,
    version: Number(row.version),
    time: Number(row.time),
    kind: row.kind as TwinEvent['kind'],
    content: row.content,
  }));
}

/** By name: with several nodes an older one may become visible after a newer one. */
export async function dropTwinEvents(tx: Transaction, sequences: readonly number[]): Promise<void> {
  const direct = directOf(tx);
  if (direct !== undefined) {
    for (const run of runsOf(sequences)) direct.all('delete from twin_events where sequence between ? and ?', run);
    return;
  }
  for (let at = 0; at < sequences.length; at += EVENTS_PER_STATEMENT) {
    const some = padded(sequences.slice(at, at + EVENTS_PER_STATEMENT));
    await tx.deleteFrom('twin_events').where('sequence', 'in', some).execute();
  }
}

export function keyOf(deviceId: string, moduleId: string): IdentityKey {
  return moduleId === '' ? { deviceId } : { deviceId, moduleId };
}

/** As the rows of both engines are ordered. */
export function byKey(a: IdentityKey, b: IdentityKey): number {
  if (a.deviceId !== b.deviceId) return a.deviceId < b.deviceId ? -1 : 1;
  const [left, right] = [a.moduleId ?? '', b.moduleId ?? ''];
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** First and last of each run of numbers that follow one another: none stands in a run that is not among them. */
function runsOf(sequences: readonly number[]): readonly (readonly [first: number, last: number])[] {
  const runs: [number, number][] = [];
  for (const sequence of sequences) {
    const run = runs.at(-1);
    if (run !== undefined && sequence === run[1] + 1) run[1] = sequence;
    else runs.push([sequence, sequence]);
  }
  return runs;
}

const BEGUN = 'twin_events_begun';

export async function begunTwinEvents(tx: Transaction): Promise<BegunTwinEvents | undefined> {
  const text = await readFact(tx, BEGUN);
  return text === undefined ? undefined : (JSON.parse(text) as BegunTwinEvents);
}

export async function keepBegunTwinEvents(tx: Transaction, begun: BegunTwinEvents): Promise<void> {
  await writeFact(tx, BEGUN, JSON.stringify(begun));
}

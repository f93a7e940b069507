import type { IdentityKey } from '../../core/identity/types.ts';
import type { KeptTwinEvent, TwinEvent } from '../../core/twins/ports.ts';
import { directOf, padded } from './engine.ts';
import type { Transaction } from './schema.ts';

/** Events of one statement: eight parameters each, below what both engines take. */
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
  for (let at = 0; at < events.length; at += EVENTS_PER_STATEMENT) {
    const rows = events.slice(at, at + EVENTS_PER_STATEMENT).map((event) => ({
      device_id: event.key.deviceId,
      module_id: event.key.moduleId ?? '',
      generation_id: event.generationId,
      version: event.version,
      time: event.time,
      kind: event.kind,
      content: event.content,
    }));
    await tx.insertInto('twin_events').values(rows).execute();
  }
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

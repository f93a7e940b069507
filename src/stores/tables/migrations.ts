import { type Kysely, sql } from 'kysely';
import { engineOf } from './engine.ts';
import type { EngineName } from './formats/counted-key.ts';
import { released } from './formats/released.ts';
import { unreleased } from './formats/unreleased.ts';
import type { Tables } from './schema.ts';

/** From each format to the next; the last one may be changed until it is released. */
const steps = (engine: EngineName): readonly (readonly string[])[] => [...released(engine), unreleased(engine)];

/** The format that this program writes. */
export const TABLES_FORMAT = steps('sqlite').length;

/**
 * Brings the tables to this program's format. Runs inside one transaction of the caller's, so that a crash leaves the old format
 * or the new one.
 * @throws Error when they have a format that this program does not know.
 */
export async function migrate(tx: Kysely<Tables>): Promise<void> {
  await sql`create table if not exists facts (name text not null primary key, value text not null)`.execute(tx);
  const found = Number((await readFact(tx, 'format')) ?? 0);
  if (!Number.isInteger(found) || found < 0 || found > TABLES_FORMAT) {
    throw new Error(
      `The tables have format ${found}, and this program reads formats up to ${TABLES_FORMAT}. ` +
        'Start the newer program that wrote them, or go back to a copy of the data folder that was made before.',
    );
  }
  for (const step of steps(engineOf(tx).name).slice(found)) {
    for (const statement of step) await sql.raw(statement).execute(tx);
  }
  if (found !== TABLES_FORMAT) await writeFact(tx, 'format', String(TABLES_FORMAT));
}

/** A fact about the tables as a whole. */
export async function readFact(tx: Kysely<Tables>, name: string): Promise<string | undefined> {
  const row = await tx.selectFrom('facts').select('value').where('name', '=', name).executeTakeFirst();
  return row?.value;
}

export async function writeFact(tx: Kysely<Tables>, name: string, value: string): Promise<void> {
  await tx
    .insertInto('facts')
    .values({ name, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute();
}

/** Makes the fact `room` so many characters long: whether that can be made durable is then known. Nobody reads it. */
export function touchFacts(tx: Kysely<Tables>, characters: number): Promise<void> {
  return writeFact(tx, 'room', '.'.repeat(characters));
}

import { CompiledQuery } from 'kysely';
import { directOf, numbered } from './engine.ts';
import type { Transaction } from './schema.ts';

/**
 * Carries out a statement as it is written, with `?` in the place of each parameter: for what is done for many rows in a step, where
 * the query builder would cost more than the database. Kept prepared, so of few texts.
 */
export async function rowsBy<Row>(
  tx: Transaction,
  text: string,
  parameters: readonly (string | number)[] = [],
): Promise<readonly Row[]> {
  const direct = directOf(tx);
  if (direct !== undefined) return direct.all(text, parameters) as readonly Row[];
  return (await tx.executeQuery(CompiledQuery.raw(numbered(text), [...parameters]))).rows as readonly Row[];
}

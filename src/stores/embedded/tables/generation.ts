/** Tables that are gone must not be taken for new ones: they have a name of their own, which is kept outside of them, too. */
import { randomUUID } from 'node:crypto';
import { readFact, writeFact } from '../../tables/migrations.ts';
import type { Transaction } from '../../tables/schema.ts';

/**
 * The generation of these tables, made when they have none.
 * @param wanted which ones must be here; undefined = any
 * @throws Error when they are others, or new
 */
export async function sameGeneration(tx: Transaction, wanted: string | undefined): Promise<string> {
  const found = await readFact(tx, 'generation');
  if (wanted !== undefined && found !== wanted) {
    const what = found === undefined ? 'everything in the tables is gone' : 'the tables are not those of this hub';
    throw new Error(
      `${what}. Put the right file back from a copy, or let the hub go on with these: ` +
        'mooring data repair --accept-loss tables',
    );
  }
  const generation = found ?? randomUUID();
  if (found === undefined) await writeFact(tx, 'generation', generation);
  return generation;
}

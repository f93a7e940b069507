/** The tables' thread: opens the file, then answers one batch of calls after the other. Talks to `thread.ts` only. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import { createKeyCipher, type KeyRing } from '../../tables/key-cipher.ts';
import { tableOperations } from '../../tables/operations.ts';
import { prepareTables } from '../../tables/prepare.ts';
import { sameGeneration } from './generation.ts';
import { type Answer, type Call, commitTogether, type Later, type Patient } from './group-commit.ts';
import { lookForDamage, wasLeftUnfinished } from './look.ts';
import { ensureQueryIndexes } from './query-indexes.ts';
import { kyselyOver, openDatabase } from './sqlite.ts';

export interface WorkerStart {
  readonly file: string;
  readonly ring: KeyRing;
  /** Which tables these must be; absent = any, also new ones. */
  readonly generation?: string;
  /** Places in documents whose values are to be indexed (`query-indexes.ts`). */
  readonly indexes: readonly string[];
}

export type Request =
  | {
      readonly kind: 'batch';
      readonly number: number;
      readonly calls: readonly Call[];
      /** As `commitTogether`. */
      readonly patient: Patient;
    }
  | { readonly kind: 'close' };

export type Reply =
  | { readonly kind: 'opened'; readonly generation: string }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'answers'; readonly number: number; readonly answers: readonly (Answer | Later)[] };

async function serve(port: MessagePort, { file, ring, generation: wanted, indexes }: WorkerStart): Promise<void> {
  const cipher = createKeyCipher(ring);
  const isUnclean = wasLeftUnfinished(file);
  const database = openDatabase(file);
  const tables = kyselyOver(database);
  let generation: string;
  try {
    lookForDamage(database, isUnclean ? limits.tablesLookUncleanMs : limits.tablesLookMs);
    database.exec('begin immediate');
    await prepareTables(tables, cipher, ring);
    generation = await sameGeneration(tables, wanted);
    ensureQueryIndexes(database, indexes);
    database.exec('commit');
  } catch (error) {
    database.close();
    throw error;
  }
  const parts = { database, tables, operations: tableOperations(cipher) };
  // The other side sends the next request only after the answer to the last, so nothing runs side by side here: two
  // transactions on one connection would be one.
  let isCommitting = false;
  port.on('message', async (request: Request) => {
    if (request.kind === 'batch') {
      assert(!isCommitting, 'one batch is committed at a time');
      isCommitting = true;
      const answers = await commitTogether(request.calls, parts, request.patient);
      isCommitting = false;
      port.postMessage({ kind: 'answers', number: request.number, answers } satisfies Reply);
    } else {
      database.close();
      port.close();
    }
  });
  port.postMessage({ kind: 'opened', generation } satisfies Reply);
}

assert(parentPort !== null, 'this file is the start of a worker thread');
const port = parentPort;
serve(port, workerData as WorkerStart).catch((error: unknown) => {
  const message = error instanceof Error ? error.message : String(error);
  port.postMessage({ kind: 'refused', message } satisfies Reply);
  port.close();
});

/** The tables' thread: opens the file, then answers one batch of calls after the other. Talks to `thread.ts` only. */
import type { DatabaseSync } from 'node:sqlite';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../../base/assert.ts';
import { createKeyCipher, type KeyCipher, type KeyRing } from '../../tables/key-cipher.ts';
import { migrate, readFact, writeFact } from '../../tables/migrations.ts';
import { tableOperations } from '../../tables/operations.ts';
import type { Transaction } from '../../tables/schema.ts';
import { type Answer, type Call, commitTogether } from './group-commit.ts';
import { kyselyOver, openDatabase } from './sqlite.ts';

export interface WorkerStart {
  readonly file: string;
  readonly ring: KeyRing;
}

export type Request = { readonly kind: 'batch'; readonly calls: readonly Call[] } | { readonly kind: 'close' };

export type Reply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'answers'; readonly answers: readonly Answer[] };

const KEY_CHECK = { fact: 'key_check', secret: 'the right key', context: ['facts', 'key_check'] } as const;

async function prepare(database: DatabaseSync, tables: Transaction, cipher: KeyCipher, ring: KeyRing): Promise<void> {
  database.exec('begin immediate');
  await migrate(tables);
  const check = await readFact(tables, KEY_CHECK.fact);
  if (check === undefined) {
    await writeFact(tables, KEY_CHECK.fact, cipher.seal(KEY_CHECK.secret, KEY_CHECK.context));
  } else {
    checkKey(check, cipher, ring);
  }
  database.exec('commit');
}

function checkKey(check: string, cipher: KeyCipher, ring: KeyRing): void {
  try {
    cipher.open(check, KEY_CHECK.context);
  } catch (error) {
    throw new Error(
      `The keys of devices and policies were sealed with another key than the one from ${ring.source} ` +
        `(${error instanceof Error ? error.message : String(error)}). Put the key file of this data folder back, or give ` +
        'the setting keyEncryptionKey the value that it had when the folder was made.',
      { cause: error },
    );
  }
}

async function serve(port: MessagePort, { file, ring }: WorkerStart): Promise<void> {
  const cipher = createKeyCipher(ring);
  const database = openDatabase(file);
  const tables = kyselyOver(database);
  try {
    await prepare(database, tables, cipher, ring);
  } catch (error) {
    database.close();
    throw error;
  }
  const parts = { database, tables, operations: tableOperations(cipher) };
  // The other side sends the next request only after the answer to the last, so nothing runs side by side here.
  port.on('message', async (request: Request) => {
    if (request.kind === 'batch') {
      const answers = await commitTogether(request.calls, parts);
      port.postMessage({ kind: 'answers', answers } satisfies Reply);
    } else {
      database.close();
      port.close();
    }
  });
  port.postMessage({ kind: 'opened' } satisfies Reply);
}

assert(parentPort !== null, 'this file is the start of a worker thread');
const port = parentPort;
serve(port, workerData as WorkerStart).catch((error: unknown) => {
  const message = error instanceof Error ? error.message : String(error);
  port.postMessage({ kind: 'refused', message } satisfies Reply);
  port.close();
});

/**
 * Many operations, one commit: each in a savepoint of its own, all answered after the commit. An operation that fails
 * takes only itself back; a commit that fails, or a disk that SQLite gives up on, fails all that write. What only reads is
 * answered then, too: a full disk can still be read.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { OperationName, TableOperations } from '../../tables/operations.ts';
import type { Transaction } from '../../tables/schema.ts';

export interface Call {
  readonly name: OperationName;
  readonly args: readonly unknown[];
}

/** `unavailable`: nothing was stored because the disk or the file failed; else the operation itself failed. */
export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly unavailable: boolean; readonly message: string };

/** Which calls of a batch may wait, and for how much time the others come first. */
export interface Patient {
  readonly from: number;
  readonly ms: number;
}

/** Of a call that was not begun, because those before it took all the time of a batch. */
export type Later = 'later';

export interface CommitParts {
  readonly database: DatabaseSync;
  readonly tables: Transaction;
  readonly operations: TableOperations;
}

/**
 * Carries out the calls in order and answers each, in the same order. Never throws.
 * @param patient Calls from `from` on are large, each; they are left for later once the batch has taken `ms`
 */
export async function commitTogether(
  calls: readonly Call[],
  parts: CommitParts,
  patient: Patient = { from: calls.length, ms: 0 },
): Promise<readonly (Answer | Later)[]> {
  const { database } = parts;
  const answers: (Answer | Later)[] = [];
  const begun = performance.now();
  try {
    database.exec(calls.some((call) => parts.operations[call.name].writes) ? 'begin immediate' : 'begin');
    for (const [at, call] of calls.entries()) {
      if (at > 0 && at >= patient.from && performance.now() - begun >= patient.ms) {
        answers.push('later');
        continue;
      }
      const answer = await inSavepoint(call, parts);
      answers.push(answer);
      // On a full or failing disk SQLite ends the whole transaction by itself.
      if (!database.isTransaction) throw new Error(messageOf(answer));
    }
    database.exec('commit');
    return answers;
  } catch (error) {
    if (database.isTransaction) rollBack(database);
    const message = error instanceof Error ? error.message : String(error);
    const refused: Answer = { ok: false, unavailable: true, message };
    const reads = calls.filter((call) => !parts.operations[call.name].writes);
    if (reads.length === 0 || reads.length === calls.length) return calls.map(() => refused);
    const read = await commitTogether(reads, parts);
    return calls.map((call) => (parts.operations[call.name].writes ? refused : (read[reads.indexOf(call)] ?? refused)));
  }
}

async function inSavepoint(call: Call, { database, tables, operations }: CommitParts): Promise<Answer> {
  const operation = operations[call.name];
  const run = operation.run as (tx: Transaction, ...args: readonly unknown[]) => Promise<unknown>;
  if (operation.writes) database.exec('savepoint operation');
  try {
    const value = await run(tables, ...call.args);
    if (operation.writes) database.exec('release operation');
    return { ok: true, value };
  } catch (error) {
    if (operation.writes && database.isTransaction) {
      database.exec('rollback to operation');
      database.exec('release operation');
    }
    const message = error instanceof Error ? error.message : String(error);
    return { ok: false, unavailable: false, message };
  }
}

function rollBack(database: DatabaseSync): void {
  try {
    database.exec('rollback');
  } catch {
    // The transaction is over either way, and the first error is the one to report.
  }
}

function messageOf(answer: Answer): string {
  return answer.ok ? 'the transaction ended by itself' : answer.message;
}

/**
 * A thread of its own that looks through the tables of a hub that runs, and then ends. It reads by a connection of its own, at the
 * lowest priority that the system gives a thread, a table at a time with a rest behind each: the threads that serve go first. In
 * WAL mode a reader holds up no writer.
 */
import os from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as rest } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import { lowerPriority } from '../../../base/thread-priority.ts';
import { checkTable, damagePattern, tableNames } from './look.ts';

export interface LookStart {
  readonly file: string;
  /** The table behind which the last look ended; absent = begin with the first. */
  readonly after?: string;
}

export interface LookReport {
  /** Milliseconds of reading, without the rests. */
  readonly spentMs: number;
  /** Tables that were looked at, in this order. */
  readonly tables: readonly string[];
  /** The time was over before the last table: the next look goes on behind this one. */
  readonly endedAt?: string;
  /** What is damaged, in words. */
  readonly damage?: string;
  /** Why it could not be looked, where that says nothing of the tables. */
  readonly failure?: string;
}

async function look({ file, after }: LookStart): Promise<LookReport> {
  const tables: string[] = [];
  let spentMs = 0;
  let database: DatabaseSync | undefined;
  let at = 'the list of tables';
  try {
    database = new DatabaseSync(file, { readOnly: true });
    database.exec('pragma cache_size = -512');
    const names = tableNames(database);
    for (const name of names.slice(after === undefined ? 0 : names.indexOf(after) + 1)) {
      at = `table ${name}`;
      const begun = performance.now();
      const damage = checkTable(database, name);
      const tookMs = performance.now() - begun;
      tables.push(name);
      spentMs += tookMs;
      if (damage !== undefined) return { spentMs, tables, damage: `${at}: ${damage}` };
      if (spentMs > limits.tablesBackgroundLookMs && name !== names.at(-1)) return { spentMs, tables, endedAt: name };
      await rest(tookMs * limits.tablesBackgroundRests);
    }
    return { spentMs, tables };
  } catch (error) {
    const { message } = error as Error;
    const what = damagePattern.test(message) ? { damage: `${at}: ${message}` } : { failure: message };
    return { spentMs, tables, ...what };
  } finally {
    close(database);
  }
}

function close(database: DatabaseSync | undefined): void {
  try {
    database?.close();
  } catch {
    // What was found is told already.
  }
}

assert(parentPort !== null, 'this file is the start of a worker thread');
const port: MessagePort = parentPort;
lowerPriority(os.constants.priority.PRIORITY_LOW);
port.postMessage(await look(workerData as LookStart));

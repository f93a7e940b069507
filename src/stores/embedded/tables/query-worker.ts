/**
 * The thread of queries: reads the tables by a connection of its own, which in WAL mode holds up no writer, and works on pages piece by
 * piece, one of each query in turn. Below the priority of those who serve devices. Talks to `query-thread.ts` only.
 */
import os from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as turn } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import { type ErrorCode, HubError, type LimitHit } from '../../../core/errors.ts';
import { runPage } from '../../../core/query/page.ts';
import type { FleetPage, PageRequest } from '../../../core/query/ports.ts';
import { fleetReader } from '../../tables/fleet.ts';
import type { Transaction } from '../../tables/schema.ts';
import { lowerPriority } from '../thread-priority.ts';
import { kyselyOver } from './sqlite.ts';

/** `now`: UTC milliseconds. */
export type QueryRequest =
  | { readonly kind: 'page'; readonly id: number; readonly request: PageRequest; readonly now: number }
  | { readonly kind: 'cancel'; readonly id: number };

/** Without a code it is a failure, and no refusal. */
export type QueryReply =
  | { readonly kind: 'page'; readonly id: number; readonly page: FleetPage }
  | {
      readonly kind: 'refused';
      readonly id: number;
      readonly message: string;
      readonly code?: ErrorCode;
      readonly limit?: LimitHit;
    };

/** Pages that are kept in memory: the tables' own connection has most of what is asked often. */
const CACHE_KIB = 16 * 1024;
const BUSY_TIMEOUT_MS = 5000;

export interface QueryStart {
  readonly file: string;
  /** As `ReaderOptions.indexes`. */
  readonly indexes: readonly string[];
}

function serve(port: MessagePort, tables: Transaction, indexes: ReadonlySet<string>): void {
  /** Pages that somebody waits for. */
  const wanted = new Set<number>();

  async function answer({ id, request, now }: QueryRequest & { readonly kind: 'page' }): Promise<QueryReply> {
    const end = performance.now() + limits.queryPageMs;
    wanted.add(id);
    try {
      const page = await runPage(request, fleetReader(tables, request, { now, indexes }), {
        async next() {
          await turn();
          if (!wanted.has(id)) throw new Error('nobody waits for it');
          return performance.now() > end ? 'late' : 'go';
        },
      });
      return { kind: 'page', id, page };
    } catch (error) {
      const { message } = error as Error;
      if (!(error instanceof HubError)) return { kind: 'refused', id, message };
      return { kind: 'refused', id, message, code: error.code, ...(error.limit && { limit: error.limit }) };
    } finally {
      wanted.delete(id);
    }
  }

  port.on('message', async (request: QueryRequest) => {
    if (request.kind === 'cancel') wanted.delete(request.id);
    else port.postMessage(await answer(request));
  });
}

assert(parentPort !== null, 'this file is the start of a worker thread');
lowerPriority(os.constants.priority.PRIORITY_BELOW_NORMAL);
const start = workerData as QueryStart;
const database = new DatabaseSync(start.file, { readOnly: true });
database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
database.exec(`pragma cache_size = -${CACHE_KIB}`);
serve(parentPort, kyselyOver(database), new Set(start.indexes));

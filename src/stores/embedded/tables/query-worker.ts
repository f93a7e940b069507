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
import { lowerPriority } from '../../../base/thread-priority.ts';
import { type ErrorCode, HubError, type LimitHit } from '../../../core/errors.ts';
import { explainPage } from '../../../core/query/explain.ts';
import { runPage } from '../../../core/query/page.ts';
import type {
  Explanation,
  FleetMatcher,
  FleetPage,
  FleetPlace,
  MatchedPiece,
  Pace,
  PageRequest,
  RowAsk,
} from '../../../core/query/ports.ts';
import type { Query } from '../../../core/query/syntax.ts';
import { collectionReader } from '../../tables/collections.ts';
import { TableMatching } from '../../tables/fleet-matcher.ts';
import type { Transaction } from '../../tables/schema.ts';
import { kyselyOver } from './sqlite.ts';

/** `now`: UTC milliseconds. */
export type QueryRequest =
  | { readonly kind: 'page' | 'explain'; readonly id: number; readonly request: PageRequest; readonly now: number }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'match'; readonly id: number; readonly asks: readonly RowAsk[]; readonly now: number }
  | {
      readonly kind: 'piece';
      readonly id: number;
      readonly query: number;
      readonly after: FleetPlace | undefined;
      readonly now: number;
    }
  // Neither of these is answered.
  | { readonly kind: 'add'; readonly query: number; readonly what: Query }
  | { readonly kind: 'remove'; readonly query: number };

/** Without a code it is a failure, and no refusal. */
export type QueryReply =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: QueryAnswer }
  | {
      readonly kind: 'refused';
      readonly id: number;
      readonly message: string;
      readonly code?: ErrorCode;
      readonly limit?: LimitHit;
    };

type PageWork = QueryRequest & { readonly kind: 'page' | 'explain' };
type QueryAnswer = FleetPage | Explanation | MatchedPiece | Matches;

export type Matches = Awaited<ReturnType<FleetMatcher['match']>>;

/** Pages that are kept in memory: the tables' own connection has most of what is asked often. */
const CACHE_KIB = 16 * 1024;
const BUSY_TIMEOUT_MS = 5000;

export interface QueryStart {
  readonly file: string;
  /** As `ReaderOptions.indexes`. */
  readonly indexes: readonly string[];
}

function serve(port: MessagePort, tables: Transaction, indexes: ReadonlySet<string>): void {
  /** Pages that a caller waits for. */
  const wanted = new Set<number>();

  const matching = new TableMatching(tables, indexes);

  async function page({ kind, id, request, now }: PageWork): Promise<FleetPage | Explanation> {
    const end = performance.now() + limits.queryPageMs;
    wanted.add(id);
    const pace: Pace = {
      async next() {
        await turn();
        if (!wanted.has(id)) throw new Error('nobody waits for it');
        return performance.now() > end ? 'late' : 'go';
      },
    };
    try {
      if (kind === 'page') return await runPage(request, collectionReader(tables, request, { now, indexes }), pace);
      return await explainPage(request, collectionReader(tables, request, { now, indexes, counts: true }), pace);
    } finally {
      wanted.delete(id);
    }
  }

  async function answer(id: number, work: () => Promise<QueryAnswer>): Promise<void> {
    try {
      port.postMessage({ kind: 'answer', id, answer: await work() } satisfies QueryReply);
    } catch (error) {
      const { message } = error as Error;
      const refusal =
        error instanceof HubError ? { code: error.code, ...(error.limit && { limit: error.limit }) } : undefined;
      port.postMessage({ kind: 'refused', id, message, ...refusal } satisfies QueryReply);
    }
  }

  port.on('message', (request: QueryRequest) => {
    switch (request.kind) {
      case 'page':
      case 'explain':
        return answer(request.id, () => page(request));
      case 'cancel':
        return wanted.delete(request.id);
      case 'match':
        return answer(request.id, () => matching.match(request.asks, request.now));
      case 'piece':
        return answer(request.id, () => matching.piece(request.query, request.after, request.now));
      case 'add':
        return matching.add(request.query, request.what);
      case 'remove':
        return matching.remove(request.query);
    }
  });
}

assert(parentPort !== null, 'this file is the start of a worker thread');
lowerPriority(os.constants.priority.PRIORITY_BELOW_NORMAL);
const start = workerData as QueryStart;
const database = new DatabaseSync(start.file, { readOnly: true });
database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
database.exec(`pragma cache_size = -${CACHE_KIB}`);
serve(parentPort, kyselyOver(database), new Set(start.indexes));

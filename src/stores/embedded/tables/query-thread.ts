/** Queries on a thread of their own (`query-worker.ts`), as its owner sees it. The thread begins with the first query. */
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import { HubError } from '../../../core/errors.ts';
import type {
  Explanation,
  FleetMatcher,
  FleetPage,
  FleetStore,
  MatchedPiece,
  PageRequest,
} from '../../../core/query/ports.ts';
import type { Query } from '../../../core/query/syntax.ts';
import { damagePattern } from './look.ts';
import type { Matches, QueryReply, QueryRequest, QueryStart } from './query-worker.ts';

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
}

export interface QueryThreadParts {
  /** The database's file, which is there. */
  readonly file: string;
  /** As `ReaderOptions.indexes`. */
  readonly indexes: readonly string[];
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Hears what is damaged. */
  readonly damaged: (what: string) => void;
}

export class QueryThread implements FleetStore {
  readonly #parts: QueryThreadParts;
  readonly #waiting = new Map<number, Waiting>();
  readonly #known = new Map<number, Query>();
  #worker: Worker | undefined;
  #last = 0;
  #isClosed = false;

  constructor(parts: QueryThreadParts) {
    this.#parts = parts;
  }

  page(request: PageRequest, signal: AbortSignal): Promise<FleetPage> {
    const now = this.#parts.clock.now();
    return this.#ask<FleetPage>((id) => ({ kind: 'page', id, request, now }), signal);
  }

  explain(request: PageRequest, signal: AbortSignal): Promise<Explanation> {
    const now = this.#parts.clock.now();
    return this.#ask<Explanation>((id) => ({ kind: 'explain', id, request, now }), signal);
  }

  /** Known by the thread, and by the next one if it ends. */
  readonly matcher: FleetMatcher = {
    add: (query) => {
      const id = ++this.#last;
      this.#known.set(id, query);
      this.#worker?.postMessage({ kind: 'add', query: id, what: query } satisfies QueryRequest);
      return id;
    },
    remove: (query) => {
      if (!this.#known.delete(query)) return;
      this.#worker?.postMessage({ kind: 'remove', query } satisfies QueryRequest);
    },
    match: (asks) => {
      const now = this.#parts.clock.now();
      return this.#ask<Matches>((id) => ({ kind: 'match', id, asks, now }));
    },
    piece: (query, after) => {
      const now = this.#parts.clock.now();
      return this.#ask<MatchedPiece>((id) => ({ kind: 'piece', id, query, after, now }));
    },
  };

  #ask<Answer>(requestOf: (id: number) => QueryRequest, signal?: AbortSignal): Promise<Answer> {
    if (this.#isClosed) return Promise.reject(unavailable('the tables are being closed'));
    // Nothing tells of it again.
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = ++this.#last;
    return new Promise<Answer>((resolve, reject) => {
      const worker = this.#begin();
      const cancel = (): void => {
        if (this.#waiting.delete(id)) worker.postMessage({ kind: 'cancel', id } satisfies QueryRequest);
        reject(signal?.reason);
      };
      const ended = (): void => signal?.removeEventListener('abort', cancel);
      this.#waiting.set(id, {
        resolve(answer) {
          ended();
          resolve(answer as Answer);
        },
        reject(error) {
          ended();
          reject(error);
        },
      });
      signal?.addEventListener('abort', cancel, { once: true });
      worker.postMessage(requestOf(id));
    });
  }

  /** Ends what is under way; resolves when nothing reads the file any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #begin(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const { file, indexes } = this.#parts;
    const source = new URL('./query-worker.ts', import.meta.url);
    // The published package holds JavaScript, and the names of workers are not rewritten by the compiler.
    const compiled = new URL(source.href.replace(/\.ts$/, '.js'));
    const worker = new Worker(import.meta.url.endsWith('.ts') ? source : compiled, {
      workerData: { file, indexes } satisfies QueryStart,
      resourceLimits: { maxOldGenerationSizeMb: limits.queryMemoryMiBMax },
    });
    this.#worker = worker;
    for (const [query, what] of this.#known) {
      worker.postMessage({ kind: 'add', query, what } satisfies QueryRequest);
    }
    worker.unref();
    let why = 'the thread of queries has ended';
    worker.on('message', (reply: QueryReply) => this.#answered(reply));
    worker.on('error', (error) => {
      why = error instanceof Error ? error.message : String(error);
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      if (!this.#isClosed) this.#parts.log.error({ reason: why }, 'the thread of queries has ended');
      // The next query begins another one.
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const { reject } of waiting) reject(unavailable(why));
    });
    return worker;
  }

  #answered(reply: QueryReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.kind === 'answer') waiting?.resolve(reply.answer);
    else if (reply.code !== undefined) {
      waiting?.reject(new HubError(reply.code, reply.message, { ...(reply.limit && { limit: reply.limit }) }));
    } else if (waiting !== undefined) {
      if (damagePattern.test(reply.message)) this.#parts.damaged(`a query met "${reply.message}"`);
      this.#parts.log.error({ error: reply.message }, 'a query failed');
      waiting.reject(new HubError('ServerError', undefined, { reason: reply.message }));
    }
  }
}

const unavailable = (reason: string): HubError => new HubError('ServiceUnavailable', undefined, { reason });

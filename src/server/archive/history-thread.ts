/**
 * History is unpacked in a thread of its own: a row group takes some tens of milliseconds, in which the loop that serves the doors would
 * stand still. The thread lives while history is read.
 */
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { ParquetDecoder } from '../../records/archive/parquet-reader.ts';
import type { HistoryAnswer, HistoryRequest } from './history-messages.ts';

type Kind<Wanted extends HistoryAnswer['kind']> = Extract<HistoryAnswer, { readonly kind: Wanted }>;
type Unnumbered<Request> = Request extends { readonly id: number } ? Omit<Request, 'id'> : never;

interface Waiting {
  resolve(answer: HistoryAnswer): void;
  reject(error: Error): void;
}

export interface ThreadedDecoder extends ParquetDecoder {
  close(): Promise<void>;
}

/** The thread starts with the first question, and ends when there was none for a while; one that dies is started again. */
export function createHistoryThread({ clock, log }: { readonly clock: Clock; readonly log: Log }): ThreadedDecoder {
  let worker: Worker | undefined;
  let isClosed = false;
  let lastId = 0;
  const waiting = new Map<number, Waiting>();
  let cancelEnd = (): void => {};

  function fail(error: Error): void {
    for (const one of waiting.values()) one.reject(error);
    waiting.clear();
  }

  function start(): Worker {
    const source = new URL('./history-worker.ts', import.meta.url);
    // The published package holds JavaScript, and the names of workers are not rewritten by the compiler.
    const compiled = new URL(source.href.replace(/\.ts$/, '.js'));
    const started = new Worker(import.meta.url.endsWith('.ts') ? source : compiled);
    started.unref();
    started.on('message', (answer: HistoryAnswer) => {
      const one = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (waiting.size === 0) endLater();
      if (answer.kind === 'failed') one?.reject(new Error(answer.message));
      else one?.resolve(answer);
    });
    const ended = (error: Error): void => {
      if (worker !== started) return;
      worker = undefined;
      fail(error);
    };
    started.on('error', (error: Error) => {
      log.error({ error }, 'the thread of history has failed; it is started again when history is read');
      ended(error);
    });
    started.once('exit', () => ended(new Error('the thread of history has ended')));
    return started;
  }

  function endLater(): void {
    cancelEnd = clock.after(limits.archiveThreadIdleMs, () => {
      const idle = worker;
      worker = undefined;
      void idle?.terminate();
    });
  }

  function ask(request: Unnumbered<HistoryRequest>, transfer: readonly ArrayBuffer[]): Promise<HistoryAnswer> {
    if (isClosed) return Promise.reject(new Error('the hub stops'));
    cancelEnd();
    worker ??= start();
    const target = worker;
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      target.postMessage({ ...request, id }, transfer);
    });
  }

  return {
    async layout(footer) {
      const { groups } = (await ask({ kind: 'layout', footer }, [footer])) as Kind<'layout'>;
      return groups;
    },
    async records(group, pieces, memory) {
      const transfer = [...pieces.map(({ bytes }) => bytes), ...(memory === undefined ? [] : [memory])];
      const { packed } = (await ask({ kind: 'records', group, pieces, memory }, transfer)) as Kind<'records'>;
      return packed;
    },
    async close() {
      isClosed = true;
      cancelEnd();
      const last = worker;
      worker = undefined;
      fail(new Error('the hub stops'));
      await last?.terminate();
    },
  };
}

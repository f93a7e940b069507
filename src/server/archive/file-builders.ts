/** Files of archives are made in a thread of their own, which lives while there is one to make. */
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { FileBuilder, FileBuilders } from '../../core/archive/ports.ts';
import { packEvents } from '../../records/archive/packed-events.ts';
import type { BuilderAnswer, BuilderRequest } from './builder-messages.ts';

type Done = Extract<BuilderAnswer, { readonly kind: 'done' }>;

interface Waiting {
  resolve(answer: Done): void;
  reject(error: Error): void;
}

export interface ThreadedBuilders extends FileBuilders {
  close(): Promise<void>;
}

/** The thread starts with the first file, and ends when none was made for a while; one that dies is started again. */
export function createFileBuilders({ clock, log }: { readonly clock: Clock; readonly log: Log }): ThreadedBuilders {
  let worker: Worker | undefined;
  let lastId = 0;
  const open = new Set<number>();
  const waiting = new Map<number, Waiting>();
  let cancelEnd = (): void => {};

  function start(): Worker {
    const source = new URL('./builder-worker.ts', import.meta.url);
    // The published package holds JavaScript, and the names of workers are not rewritten by the compiler.
    const compiled = new URL(source.href.replace(/\.ts$/, '.js'));
    const started = new Worker(import.meta.url.endsWith('.ts') ? source : compiled);
    started.unref();
    started.on('message', (answer: BuilderAnswer) => {
      const one = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (answer.kind === 'done') one?.resolve(answer);
      else one?.reject(new Error(`the file could not be made: ${answer.message}`));
    });
    const ended = (error: Error): void => {
      if (worker !== started) return;
      worker = undefined;
      open.clear();
      for (const one of waiting.values()) one.reject(error);
      waiting.clear();
    };
    started.on('error', (error: Error) => {
      log.error({ error }, "the archive's thread has failed; it is started again with the next file");
      ended(error);
    });
    started.once('exit', () => ended(new Error("the archive's thread has ended")));
    return started;
  }

  function ask(request: BuilderRequest, transfer: readonly ArrayBuffer[] = []): Promise<Done> {
    const target = worker;
    if (target === undefined || !open.has(request.id)) {
      return Promise.reject(new Error("the archive's thread has ended"));
    }
    return new Promise((resolve, reject) => {
      waiting.set(request.id, { resolve, reject });
      target.postMessage(request, transfer);
    });
  }

  function over(id: number): void {
    if (!open.delete(id)) return;
    worker?.postMessage({ kind: 'abandon', id } satisfies BuilderRequest);
    if (open.size === 0) {
      cancelEnd = clock.after(limits.archiveThreadIdleMs, () => {
        const idle = worker;
        worker = undefined;
        void idle?.terminate();
      });
    }
  }

  return {
    begin(scheme, firstSequence): FileBuilder {
      cancelEnd();
      worker ??= start();
      const id = ++lastId;
      open.add(id);
      const { format, eventHub, partition } = scheme;
      let begun: Promise<unknown> | undefined = ask({
        ...{ kind: 'begin', id, format },
        file: { eventHub, partition, firstSequence },
      });
      begun.catch(() => {});
      /** It goes to and fro: with new memory for each batch the runtime looks for garbage in all of it, again and again. */
      let memory: ArrayBuffer | undefined;
      return {
        async add(events) {
          await begun;
          begun = undefined;
          if (events.length === 0) return;
          const packed = packEvents(events, memory);
          memory = undefined;
          const answer = await ask({ kind: 'add', id, events: packed }, [packed.bytes.buffer, packed.places.buffer]);
          memory = answer.memory;
        },
        async finish() {
          await begun;
          const { pieces } = await ask({ kind: 'finish', id });
          over(id);
          return pieces;
        },
        abandon: () => over(id),
      };
    },
    async close() {
      cancelEnd();
      const last = worker;
      worker = undefined;
      open.clear();
      for (const one of waiting.values()) one.reject(new Error('the hub stops'));
      waiting.clear();
      await last?.terminate();
    },
  };
}

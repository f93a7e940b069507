/** Looks through the tables on a thread of its own (`look-worker.ts`), as its owner sees it. */
import { Worker } from 'node:worker_threads';
import { limits } from '../../../base/limits.ts';
import type { LookReport, LookStart } from './look-worker.ts';

export type { LookReport } from './look-worker.ts';

const MEMORY_MIB_MAX = 32;

/** One look at a time; one that ended before the last table is gone on with by the next. */
export class BackgroundLook {
  readonly #file: string;
  readonly #damaged: (what: string) => void;
  #after: string | undefined;
  #worker: Worker | undefined;
  #underWay: Promise<LookReport> | undefined;

  /** @param damaged hears what is damaged */
  constructor(file: string, damaged: (what: string) => void) {
    this.#file = file;
    this.#damaged = damaged;
  }

  /** Never rejects. */
  look(): Promise<LookReport> {
    this.#underWay ??= this.#run()
      .then((report) => {
        this.#after = report.endedAt;
        if (report.damage !== undefined) this.#damaged(report.damage);
        return report;
      })
      .finally(() => {
        this.#underWay = undefined;
        this.#worker = undefined;
      });
    return this.#underWay;
  }

  /** Ends a look that is under way; resolves when nothing reads the file any more. */
  async close(): Promise<void> {
    await this.#worker?.terminate();
    await this.#underWay;
  }

  #run(): Promise<LookReport> {
    const source = new URL('./look-worker.ts', import.meta.url);
    // The published package holds JavaScript, and the names of workers are not rewritten by the compiler.
    const compiled = new URL(source.href.replace(/\.ts$/, '.js'));
    const start: LookStart = { file: this.#file, ...(this.#after !== undefined && { after: this.#after }) };
    return new Promise((resolve) => {
      const failed = (failure: string): void => resolve({ spentMs: 0, tables: [], failure });
      let worker: Worker;
      try {
        worker = new Worker(import.meta.url.endsWith('.ts') ? source : compiled, {
          workerData: start,
          resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB_MAX },
        });
      } catch (error) {
        failed((error as Error).message);
        return;
      }
      this.#worker = worker;
      worker.unref();
      const late = setTimeout(() => void worker.terminate(), limits.tablesBackgroundEndMs).unref();
      worker.once('message', (report: LookReport) => resolve(report));
      worker.once('error', (error: unknown) => failed(error instanceof Error ? error.message : String(error)));
      worker.once('exit', () => {
        clearTimeout(late);
        failed('the look was ended');
      });
    });
  }
}

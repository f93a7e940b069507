import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Histogram } from './histogram.ts';
import type { PublisherLogin, PublisherTarget } from './publisher.ts';

export interface LoadOptions {
  readonly target: PublisherTarget;
  /** One per connection. */
  readonly logins: readonly PublisherLogin[];
  readonly threads: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** Messages per second in all (open loop); absent = as fast as acknowledgements come. */
  readonly ratePerSecond?: number;
  /** Called at the two ends of the measured part, to read the server's counters. */
  mark(end: 'begin' | 'end'): void;
}

export interface LoadResult {
  readonly acknowledged: number;
  readonly acknowledgedPerSecond: number;
  readonly latency: Histogram;
  /** Sent and not acknowledged within ten seconds after the load ended; 0 unless something is wrong. */
  readonly unacknowledged: number;
  /** Warm-up and drain included: what a durable server must hold afterwards. */
  readonly acknowledgedInAll: number;
  /** CPU seconds per second of this process (all threads) while it measured. */
  readonly generatorCores: number;
}

export interface WorkerShare {
  readonly target: PublisherTarget;
  readonly logins: readonly PublisherLogin[];
}

export type WorkerOrder =
  | { readonly kind: 'connect' }
  | { readonly kind: 'start'; readonly ratePerSecond?: number }
  | { readonly kind: 'send'; readonly count: number; readonly ratePerSecond: number; readonly limitMs: number }
  | { readonly kind: 'measure' }
  | { readonly kind: 'finish' };

export interface WorkerResult {
  readonly kind: 'result';
  readonly acknowledged: number;
  readonly seconds: number;
  readonly latency: Float64Array;
  readonly unacknowledged?: number;
  readonly acknowledgedInAll?: number;
}

type WorkerReport =
  | { readonly kind: 'connected' }
  | { readonly kind: 'sent' }
  | { readonly kind: 'failed'; readonly message: string }
  | Required<WorkerResult>;

/** Drives the load from `threads` worker threads and returns what was acknowledged in the measured part. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const threads = Math.min(options.threads, options.logins.length);
  const workers = Array.from({ length: threads }, (_, thread) => {
    const logins = options.logins.filter((_, at) => at % threads === thread);
    const share: WorkerShare = { target: options.target, logins };
    return new Worker(new URL('./worker.ts', import.meta.url), { workerData: share });
  });
  try {
    await Promise.all(workers.map((worker) => tell(worker, { kind: 'connect' }, 'connected')));
    const ratePerSecond = options.ratePerSecond === undefined ? undefined : options.ratePerSecond / threads;
    const failed = Promise.race(workers.map((worker) => rejectsOnFailure(worker)));
    failed.catch(() => {});
    for (const worker of workers) worker.postMessage({ kind: 'start', ratePerSecond } satisfies WorkerOrder);
    await Promise.race([seconds(options.warmupSeconds), failed]);
    for (const worker of workers) worker.postMessage({ kind: 'measure' } satisfies WorkerOrder);
    options.mark('begin');
    const begun = performance.now();
    const cpu = process.cpuUsage();
    await Promise.race([seconds(options.seconds), failed]);
    const used = process.cpuUsage(cpu);
    const generatorCores = (used.user + used.system) / 1000 / (performance.now() - begun);
    options.mark('end');
    const results = await Promise.all(workers.map((worker) => tell(worker, { kind: 'finish' }, 'result')));
    return { ...sum(results as Required<WorkerResult>[]), generatorCores };
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/**
 * Sends exactly `count` messages, no faster than `ratePerSecond`, and resolves when all are acknowledged.
 * @throws Error when that does not come about within `limitMs`.
 */
export async function sendMessages(
  count: number,
  ratePerSecond: number,
  target: PublisherTarget,
  logins: readonly PublisherLogin[],
  limitMs = 300_000,
): Promise<void> {
  const share: WorkerShare = { target, logins };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: share });
  try {
    await tell(worker, { kind: 'connect' }, 'connected');
    await tell(worker, { kind: 'send', count, ratePerSecond, limitMs }, 'sent');
  } finally {
    await worker.terminate();
  }
}

function sum(results: readonly Required<WorkerResult>[]): Omit<LoadResult, 'generatorCores'> {
  const latency = new Histogram();
  for (const result of results) latency.add(new Histogram(result.latency));
  const total = (of: (result: Required<WorkerResult>) => number): number =>
    results.reduce((all, result) => all + of(result), 0);
  return {
    latency,
    acknowledged: total((result) => result.acknowledged),
    acknowledgedPerSecond: total((result) => result.acknowledged / result.seconds),
    unacknowledged: total((result) => result.unacknowledged),
    acknowledgedInAll: total((result) => result.acknowledgedInAll),
  };
}

async function tell(worker: Worker, order: WorkerOrder, answer: WorkerReport['kind']): Promise<WorkerReport> {
  const failed = rejectsOnFailure(worker);
  failed.catch(() => {});
  worker.postMessage(order);
  for (;;) {
    const [report] = (await Promise.race([once(worker, 'message'), failed])) as [WorkerReport];
    if (report.kind === answer) return report;
  }
}

function rejectsOnFailure(worker: Worker): Promise<never> {
  return new Promise((_, reject) => {
    worker.on('message', (report: WorkerReport) => {
      if (report.kind === 'failed') reject(new Error(report.message));
    });
    worker.on('error', reject);
  });
}

const seconds = (count: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, count * 1000));

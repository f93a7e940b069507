/** One generator thread: its share of the connections. Told what to do by `load.ts`, one message per step. */
import { parentPort, workerData } from 'node:worker_threads';
import { Histogram } from './histogram.ts';
import type { WorkerOrder, WorkerResult, WorkerShare } from './load.ts';
import { Publisher } from './publisher.ts';

const CONNECTING_AT_ONCE = 50;
const DRAIN_MS = 10_000;
const TICK_MS = 1;

const port = parentPort;
if (port === null) throw new Error('worker.ts runs as a worker thread');
const share = workerData as WorkerShare;
const latency = new Histogram();
const payload = Buffer.alloc(share.target.payloadBytes, 'x');
const fail = (error: Error): void => port.postMessage({ kind: 'failed', message: error.message });
const publishers = share.logins.map((login) => new Publisher(login, share.target, latency, payload, fail));
let measuredFrom = 0;
let acknowledgedBefore = 0;
let pacing: NodeJS.Timeout | undefined;

const acknowledged = (): number => publishers.reduce((sum, publisher) => sum + publisher.acknowledged, 0);

async function connect(): Promise<void> {
  for (let at = 0; at < publishers.length; at += CONNECTING_AT_ONCE) {
    await Promise.all(publishers.slice(at, at + CONNECTING_AT_ONCE).map((publisher) => publisher.connect()));
  }
}

/** Open loop: message k of this thread is due at k / rate, on connection k modulo their number; `count` of them. */
function pace(ratePerSecond: number, count = Number.POSITIVE_INFINITY): void {
  const begun = performance.now();
  let k = 0;
  pacing = setInterval(() => {
    const now = performance.now();
    for (; k < count; k++) {
      const due = begun + (k / ratePerSecond) * 1000;
      if (due > now) return;
      publishers[k % publishers.length].publishDue(due);
    }
    clearInterval(pacing);
  }, TICK_MS);
}

/** Waits until everything that was sent is acknowledged; the rest counts as unacknowledged. */
async function drain(): Promise<number> {
  const left = (): number => publishers.reduce((sum, publisher) => sum + publisher.inFlight, 0);
  await until(() => left() === 0, DRAIN_MS);
  return left();
}

async function until(done: () => boolean, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!done() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
}

port.on('message', async (order: WorkerOrder) => {
  switch (order.kind) {
    case 'connect':
      await connect().catch(fail);
      port.postMessage({ kind: 'connected' });
      return;
    case 'start':
      if (order.ratePerSecond !== undefined) pace(order.ratePerSecond);
      else for (const publisher of publishers) publisher.start();
      return;
    case 'send':
      pace(order.ratePerSecond, order.count);
      await until(() => acknowledged() === order.count, order.limitMs);
      if (acknowledged() === order.count) port.postMessage({ kind: 'sent' });
      else fail(new Error(`${acknowledged()} of ${order.count} messages acknowledged in ${order.limitMs} ms`));
      return;
    case 'measure':
      latency.clear();
      acknowledgedBefore = acknowledged();
      measuredFrom = performance.now();
      return;
    case 'finish': {
      const result: WorkerResult = {
        kind: 'result',
        acknowledged: acknowledged() - acknowledgedBefore,
        seconds: (performance.now() - measuredFrom) / 1000,
        latency: latency.counts(),
      };
      clearInterval(pacing);
      for (const publisher of publishers) publisher.stop();
      const unacknowledged = await drain();
      for (const publisher of publishers) publisher.close();
      port.postMessage({ ...result, unacknowledged, acknowledgedInAll: acknowledged() });
      port.unref();
      return;
    }
  }
});

/** A hub that is busy, or whose database is away, is asked again: nobody looks on who would. */
import type { Clock } from '../../base/clock.ts';
import { asHubError } from '../../core/errors.ts';

/** Between one try and the next; after the last one it is given up. */
const pausesMs: readonly number[] = [500, 1000, 2000, 5000, 10_000, 20_000, 30_000];
const passing: ReadonlySet<string> = new Set(['ThrottlingException', 'ServiceUnavailable']);

/** @param work is told whether it was tried before: what it has done then may be done already @throws what `work` throws at last */
export async function patiently<T>(
  clock: Clock,
  signal: AbortSignal,
  work: (isAgain: boolean) => Promise<T>,
): Promise<T> {
  for (let at = 0; ; at++) {
    try {
      return await work(at > 0);
    } catch (error) {
      const pauseMs = pausesMs[at];
      if (pauseMs === undefined || signal.aborted || !passing.has(asHubError(error).code)) throw error;
      await pause(clock, pauseMs, signal);
      signal.throwIfAborted();
    }
  }
}

function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(ms, end);
    signal.addEventListener('abort', end);
  });
}

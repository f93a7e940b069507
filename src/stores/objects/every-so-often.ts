import type { Clock } from '../../base/clock.ts';

/** Does `work` when it is asked, but not again before `everyMs` have passed; for the first time when they have passed once. */
export function everySoOften(
  clock: Pick<Clock, 'monotonic'>,
  everyMs: number,
  work: () => Promise<void>,
): () => Promise<void> {
  let nextAt = clock.monotonic() + everyMs;
  return async () => {
    if (clock.monotonic() < nextAt) return;
    nextAt = clock.monotonic() + everyMs;
    await work();
  };
}

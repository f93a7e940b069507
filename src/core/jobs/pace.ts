import type { Clock } from '../../base/clock.ts';

/** So many a second, in pieces that may be larger than what is free: the next piece waits for it. */
export interface Pace {
  waitMs(): number;
  take(count: number): void;
}

export function createPace(perSecond: number, clock: Pick<Clock, 'monotonic'>): Pace {
  let freeAt = clock.monotonic();
  return {
    waitMs: () => Math.max(0, freeAt - clock.monotonic()),
    take(count) {
      freeAt = Math.max(freeAt, clock.monotonic()) + (count * 1000) / perSecond;
    },
  };
}

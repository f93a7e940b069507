/** A transfer goes on while it may: who lets files pass may have been told otherwise since it began. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ByteSource } from './object-store.ts';

/**
 * The same bytes, while `demand` does not throw: it is asked from time to time, and behind the last piece where what comes
 * is to be stored.
 */
export async function* goingOn(
  source: ByteSource,
  demand: () => Promise<void>,
  { clock, isStored }: { readonly clock: Pick<Clock, 'monotonic'>; readonly isStored: boolean },
): ByteSource {
  let asked = clock.monotonic();
  for await (const piece of source) {
    if (clock.monotonic() - asked >= limits.fileMayGoOnMs) {
      await demand();
      asked = clock.monotonic();
    }
    yield piece;
  }
  if (isStored) await demand();
}

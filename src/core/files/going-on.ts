/** A transfer goes on while it may: who lets files pass may have been told otherwise since it began. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ByteSource } from './object-store.ts';

/**
 * The same bytes, while `demand` does not throw: it is asked from time to time, and behind the last piece where what comes
 * is to be stored. No generator: pieces are many and small, and each would pass one more.
 */
export function goingOn(
  source: ByteSource,
  demand: () => Promise<void>,
  { clock, isStored }: { readonly clock: Pick<Clock, 'monotonic'>; readonly isStored: boolean },
): ByteSource {
  return {
    [Symbol.asyncIterator]() {
      const pieces = source[Symbol.asyncIterator]();
      let asked = clock.monotonic();
      /** A sender that is refused takes nothing more. */
      const demanded = async <Result>(then: () => Result | Promise<Result>): Promise<Result> => {
        try {
          await demand();
        } catch (refusal) {
          await pieces.return?.();
          throw refusal;
        }
        asked = clock.monotonic();
        return then();
      };
      const ended = (
        next: IteratorResult<Uint8Array>,
      ): IteratorResult<Uint8Array> | Promise<IteratorResult<Uint8Array>> => (next.done ? demanded(() => next) : next);
      const next = isStored ? () => pieces.next().then(ended) : () => pieces.next();
      return {
        next: () => (clock.monotonic() - asked < limits.fileMayGoOnMs ? next() : demanded(next)),
        return: async () => {
          await pieces.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

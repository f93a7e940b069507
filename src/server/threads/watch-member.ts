import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';

/**
 * Asks another member again and again whether it runs, and gives it up when it has not answered for `memberSilentBeatsMax` times
 * of `memberBeatMs`. Beats of this side count, not time: after a pause of the whole machine both sides have been silent, and
 * neither is given up for it.
 * @param ask resolves when the other side has answered; a rejection is no answer, and it is asked again with the next beat
 * @param giveUp called once at most; what the other side had is to be ended first where it may still serve
 * @returns ends the asking
 */
export function watchMember(clock: Clock, ask: () => Promise<void>, giveUp: () => void): Cancel {
  let silent = 0;
  let last: 'asked' | 'answered' | 'refused' = 'answered';
  let hasEnded = false;
  let cancel: Cancel = () => {};
  const beat = (): void => {
    silent = last === 'answered' ? 0 : silent + 1;
    if (silent >= limits.memberSilentBeatsMax) {
      hasEnded = true;
      giveUp();
      return;
    }
    if (last !== 'asked') {
      last = 'asked';
      ask().then(
        () => {
          last = 'answered';
        },
        // Not by the other side: the question did not reach it.
        () => {
          last = 'refused';
        },
      );
    }
    arm();
  };
  const arm = (): void => {
    if (!hasEnded) cancel = clock.after(limits.memberBeatMs, beat);
  };
  arm();
  return () => {
    hasEnded = true;
    cancel();
  };
}

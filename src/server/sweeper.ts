/**
 * Does in time what time does to commands: a lock that ends, a life that is over. One sweep at a time; the next one comes
 * when the last one said so, when a command that was stored or handed over since falls due, or after `sweepMsMax`,
 * whichever is first, but never within `sweepMsMin` of the last.
 */
import type { Cancel, Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import type { CommandQueue } from '../core/commands/ports.ts';
import type { CommandKeeping } from '../core/commands/room.ts';

export interface Sweeper {
  /** The same queue; the sweeper hears of everything that will fall due. */
  watch(queue: CommandQueue): CommandQueue;
  start(commands: Pick<CommandKeeping, 'sweep'>): void;
  /** Resolves when no sweep is running, and none will. */
  close(): Promise<void>;
}

export function createSweeper(clock: Clock, log: Log): Sweeper {
  let commands: Pick<CommandKeeping, 'sweep'> | undefined;
  let cancel: Cancel | undefined;
  let running: Promise<void> | undefined;
  /** UTC milliseconds for which the timer is set. */
  let planned = Number.POSITIVE_INFINITY;
  /** The earliest that fell due since the running sweep began, which may not have seen it. */
  let heardOf = Number.POSITIVE_INFINITY;
  let failing = false;

  function plan(at: number): void {
    cancel?.();
    const delayMs = Math.min(Math.max(at - clock.now(), limits.sweepMsMin), limits.sweepMsMax);
    planned = clock.now() + delayMs;
    cancel = clock.after(delayMs, () => {
      running = sweep().finally(() => {
        running = undefined;
        if (commands !== undefined) plan(Math.min(planned, heardOf));
      });
    });
  }

  async function sweep(): Promise<void> {
    heardOf = Number.POSITIVE_INFINITY;
    planned = Number.POSITIVE_INFINITY;
    try {
      planned = (await commands?.sweep()) ?? planned;
      failing = false;
    } catch (error) {
      if (!failing) log.error({ error }, 'commands whose time is over could not be ended; it is tried again');
      failing = true;
    }
  }

  function due(at: number): void {
    heardOf = Math.min(heardOf, at);
    if (commands !== undefined && running === undefined && at < planned) plan(at);
  }

  return {
    watch: (queue) => ({
      ...queue,
      async enqueue(command, bounds, now) {
        const outcome = await queue.enqueue(command, bounds, now);
        if (outcome.kind === 'enqueued') due(command.expiresAt);
        return outcome;
      },
      async lockNext(target, generationId, lock, now) {
        const taken = await queue.lockNext(target, generationId, lock, now);
        if (taken.length > 0) due(now + lock.lockMs);
        return taken;
      },
    }),
    start(given) {
      commands = given;
      // What fell due while the hub was down is swept at once.
      plan(clock.now());
    },
    async close() {
      commands = undefined;
      cancel?.();
      await running;
    },
  };
}

/**
 * An adapter beside the hub's own loop: the same frames, without a process. It is for adapters that are trusted like the hub: one
 * that hangs stops the hub, and one that leaks takes its memory.
 */
import type { AdapterSettings } from '../config/adapter-settings.ts';
import { runChild } from './child.ts';
import type { AdapterProcess, ProcessEvents } from './supervisor-types.ts';

export function openBeside(_settings: AdapterSettings, events: ProcessEvents): AdapterProcess {
  let isOver = false;
  let isHeld = false;
  let held: Buffer[] = [];
  const end = (reason: string): void => {
    if (isOver) return;
    isOver = true;
    setImmediate(() => events.ended(reason, ''));
  };
  const child = runChild(
    {
      write(bytes) {
        if (isOver) return true;
        if (isHeld) held.push(bytes);
        else events.received(bytes);
        return !isHeld;
      },
    },
    (code) => end(`it has exited with code ${code}`),
  );
  return {
    write(bytes) {
      if (isOver) return;
      try {
        child.received(bytes);
      } catch (error) {
        end(`it has failed: ${(error as Error).message}`);
      }
    },
    waiting: () => 0,
    hold(hold) {
      isHeld = hold;
      if (hold) return;
      const waiting = held;
      held = [];
      for (const bytes of waiting) events.received(bytes);
      child.drained();
    },
    kill() {
      child.abandon();
      end('it was ended');
    },
  };
}

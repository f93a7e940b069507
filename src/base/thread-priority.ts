import { readlinkSync } from 'node:fs';
import os from 'node:os';

/** Lets other threads go first. Linux knows threads by numbers of their own, and gives each a priority; elsewhere nothing happens. */
export function lowerPriority(priority: number): void {
  try {
    const thread = Number(/\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'))?.[1]);
    if (thread > 0) os.setPriority(thread, priority);
  } catch {
    // Not known here, or not allowed.
  }
}

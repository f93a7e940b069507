import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Longer than a busy machine needs for anything that a test awaits: only a fault takes so long. */
const WITHIN_MS = 25_000;

/**
 * Waits until something is so, and looks again and again: for facts that nobody announces.
 * @param what named by the failure
 * @param holds looked at at once, then after each pause of `everyMs`
 * @throws AssertionError when it has not become so within `withinMs`
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { everyMs = 5, withinMs = WITHIN_MS }: { readonly everyMs?: number; readonly withinMs?: number } = {},
): Promise<void> {
  for (const end = performance.now() + withinMs; !(await holds()); await delay(everyMs)) {
    assert.ok(performance.now() < end, `not within ${withinMs / 1000} s: ${what}`);
  }
}

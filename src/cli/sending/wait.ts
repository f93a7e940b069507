import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../api/client.ts';
import type { CommandTarget } from '../../api/command-calls.ts';
import type { TrackedCommand, TrailEntryJson } from '../../api/commands.ts';
import { Failure } from '../failure.ts';

/** The first steps of a command come fast, the later ones may take as long as the device. */
const POLL_MS_MIN = 100;
const POLL_MS_MAX = 2000;
const POLL_GROWTH = 1.5;

export interface WaitOptions {
  readonly target: CommandTarget;
  readonly sequence: number;
  readonly timeoutMs: number;
  readonly stop: AbortSignal;
  /** Each step of the trail, once, in order. */
  onStep(entry: TrailEntryJson): Promise<void>;
}

/**
 * Follows a command until it has ended, its time here is over, or the person has stopped it; the command as it then is.
 * @throws Failure when the hub no longer knows it.
 */
export async function followCommand(api: ApiClient, options: WaitOptions): Promise<TrackedCommand> {
  const { target, sequence, timeoutMs, stop } = options;
  const deadline = performance.now() + timeoutMs;
  let shown = 0;
  for (let pauseMs = POLL_MS_MIN; ; pauseMs = Math.min(pauseMs * POLL_GROWTH, POLL_MS_MAX)) {
    const [command] = (await api.commands.find(target, { sequence })).commands;
    if (command === undefined) {
      throw new Failure('The hub no longer knows the command.', { hint: 'Was the device deleted meanwhile?' });
    }
    for (const entry of command.trail.slice(shown)) await options.onStep(entry);
    if (command.trail.length > shown) pauseMs = POLL_MS_MIN;
    shown = Math.max(shown, command.trail.length);
    const leftMs = deadline - performance.now();
    if (command.state === 'ended' || leftMs <= 0 || stop.aborted) return command;
    await sleep(Math.min(pauseMs, leftMs), undefined, { signal: stop }).catch(() => {});
  }
}

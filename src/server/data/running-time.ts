/**
 * The hub's running time (`base/running-time.ts`) over restarts: `running-time.json` keeps it, with the marks by which each event
 * log knows how old its segments are. Losing the file makes events young again; they are kept longer, never shorter.
 */
import { readFileSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { firstLook, type KeptTime, nextLook, type Reading, type TimeSeen } from '../../base/running-time.ts';
import type { AgeMark, RunningTime } from '../../stores/embedded/event-log/age.ts';
import { systemFiles } from '../../stores/embedded/event-log/files.ts';

export const RUNNING_TIME_FILE = 'running-time.json';

const amount = z.number().min(0).max(Number.MAX_SAFE_INTEGER);
const fileSchema = z.object({
  passedMs: amount,
  /** UTC milliseconds that the clock showed. */
  wall: z.number(),
  marks: z.record(z.string(), z.array(z.tuple([amount, amount])).max(limits.ageMarksMax)),
});

/** A jump of the machine's clock. */
export interface ClockJump {
  /** Milliseconds, below 0 when the clock was set back. */
  readonly jumpMs: number;
  /** UTC milliseconds, as the clock shows it now. */
  readonly time: number;
}

export interface KeptRunningTime {
  of(log: string): RunningTime;
  /** The last jump, while it is shown. */
  recentJump(): ClockJump | undefined;
  /** @param tell hears of every jump; of one that was seen before, at once */
  watch(tell: (jump: ClockJump) => void): void;
  /** Looks at the clock now; the hub does so by itself every few seconds. */
  look(): void;
  /** Makes it durable; a failure is logged, and tried again the next time. */
  keep(): Promise<void>;
  close(): Promise<void>;
}

/** @param folder the data folder; one hub at a time */
export function openRunningTime(folder: string, clock: Clock, log: Log): KeptRunningTime {
  const file = path.join(folder, RUNNING_TIME_FILE);
  const kept = read(file, log);
  const followed = new Map<string, () => readonly AgeMark[]>();
  const watchers: ((jump: ClockJump) => void)[] = [];
  let last: (ClockJump & { readonly at: number }) | undefined;
  let seen: TimeSeen;
  let writing: Promise<void> = Promise.resolve();
  let cancel = (): void => {};
  let keptAt = clock.monotonic();

  const reading = (): Reading => ({ monotonic: clock.monotonic(), wall: clock.now() });
  const take = (look: { readonly seen: TimeSeen; readonly jumpMs: number }): void => {
    seen = look.seen;
    if (look.jumpMs === 0) return;
    const jump = { jumpMs: Math.round(look.jumpMs), time: seen.wall };
    last = { ...jump, at: seen.monotonic };
    log.warn(jump, 'the clock of this machine jumped; events do not age by it');
    for (const tell of watchers) tell(jump);
  };
  const look = (): void => take(nextLook(seen, reading()));
  const keep = (): Promise<void> => {
    writing = writing.then(async () => {
      const marks = Object.fromEntries([...followed].map(([name, marksOf]) => [name, marksOf()]));
      keptAt = clock.monotonic();
      try {
        await write(file, { passedMs: seen.passedMs, wall: seen.wall }, marks);
      } catch (error) {
        log.warn({ error }, 'the running time could not be kept; after a crash events may be kept for longer');
      }
    });
    return writing;
  };
  const arm = (): void => {
    cancel = clock.after(limits.clockLookMs, () => {
      arm();
      look();
      if (clock.monotonic() - keptAt >= limits.runningTimeKeptMs) void keep();
    });
  };

  const first = firstLook(kept, reading());
  seen = first.seen;
  take(first);
  arm();
  const passed = (): number => seen.passedMs + Math.max(0, clock.monotonic() - seen.monotonic);
  return {
    of: (name) => ({
      passed,
      stamp: () => passed() + seen.offMs,
      marks: kept?.marks[name] ?? [],
      follow: (marks) => void followed.set(name, marks),
    }),
    recentJump: () => (last !== undefined && clock.monotonic() - last.at < limits.clockJumpShownMs ? last : undefined),
    watch(tell) {
      watchers.push(tell);
      if (last !== undefined) tell(last);
    },
    look,
    keep,
    close() {
      cancel();
      look();
      return keep();
    },
  };
}

/** What is kept holds for a journal that is no longer there, as after an accepted loss. */
export function forgetRunningTime(folder: string): void {
  rmSync(path.join(folder, RUNNING_TIME_FILE), { force: true });
}

function read(file: string, log: Log): z.infer<typeof fileSchema> | undefined {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      log.warn({ file }, 'the running time cannot be read: events count as written just now, and are kept for longer');
    }
    return undefined;
  }
}

async function write(file: string, time: KeptTime, marks: Readonly<Record<string, readonly AgeMark[]>>): Promise<void> {
  const draft = `${file}.new`;
  const handle = await open(draft, 'w', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify({ ...time, marks })}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, file);
  await systemFiles.syncFolder(path.dirname(file));
}

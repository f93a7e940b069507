/** `mooring` as a process of its own, with what it writes. It never outlives the process that started it. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';

/** The folder of the program as it is here. */
export const thisProgram = path.join(import.meta.dirname, '..', '..');
/** A start on Kafka and PostgreSQL makes topics and tables; a busy machine may need minutes for it. */
export const READY_MS_MAX = 180_000;
const OUTPUT_CHARS_MAX = 4_000_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<Exit>;
  out(): string;
  err(): string;
  logged(pattern: RegExp): Promise<void>;
  /** Calls `look` now and after each piece of output, until it returns true. */
  watch(look: () => boolean): void;
}

const running = new Set<ChildProcess>();
const killAll = (): void => {
  for (const child of running) child.kill('SIGKILL');
};
process.on('exit', killAll);
// The test runner ends a file that takes too long by signal, and then there is no `exit`.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll();
    process.kill(process.pid, signal);
  });
}

/** Starts it with the flags and variables; `MOORING_…` of this process are left out. @param program its folder */
export function watched(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  program: string = thisProgram,
): Run {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MOORING_'));
  const child = spawn(process.execPath, [path.join(program, 'src', 'main.ts'), ...args], {
    cwd: program,
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let [out, err] = ['', ''];
  let looks: (() => boolean)[] = [];
  const look = (): void => {
    looks = looks.filter((one) => !one());
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out = (out + text).slice(-OUTPUT_CHARS_MAX);
    look();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = (err + text).slice(-OUTPUT_CHARS_MAX);
    look();
  });
  const ended = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    // `close` comes after the last output, `exit` may come before it.
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  const watch = (one: () => boolean): void => {
    if (!one()) looks.push(one);
  };
  const logged = (pattern: RegExp): Promise<void> => {
    const seen = new Promise<void>((resolve) => {
      watch(() => {
        const found = pattern.test(err);
        if (found) resolve();
        return found;
      });
    });
    return within(READY_MS_MAX, seen, () => `the log never matched ${pattern}\n${err}`);
  };
  return { child, ended, out: () => out, err: () => err, logged, watch };
}

/** @throws Error with all that it wrote, when it ends or stays silent instead of becoming ready; it has ended then. */
export async function readyOf(run: Run): Promise<void> {
  const said = (): string => `${run.out().replace(/SharedAccessKey=[^;\s]+/g, 'SharedAccessKey=…')}${run.err()}`;
  const ready = new Promise<void>((resolve) => {
    run.watch(() => {
      const found = /^ready$/m.test(run.out());
      if (found) resolve();
      return found;
    });
  });
  const early = run.ended.then(({ code, signal }) => {
    throw new Error(`the hub ended (${signal ?? code}) before it was ready\n${said()}`);
  });
  try {
    await within(READY_MS_MAX, Promise.race([ready, early]), () => `the hub was not ready in time\n${said()}`);
  } catch (error) {
    run.child.kill('SIGKILL');
    throw error;
  }
  early.catch(() => {});
}

export async function within<T>(limitMs: number, promise: Promise<T>, complaint: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(complaint())), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

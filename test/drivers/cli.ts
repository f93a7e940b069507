/**
 * Runs commands of the real CLI that go on until they are stopped, as processes of their own. Commands that end by
 * themselves: `runMooring` of `hub.ts`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import type { Exit } from './hub.ts';

const root = path.join(import.meta.dirname, '..', '..');
const WAIT_MS_MAX = 30_000;

export interface RunningCli extends AsyncDisposable {
  stdout(): string;
  stderr(): string;
  /** Whole lines of the standard output. */
  lines(): readonly string[];
  /** Resolves when there are so many lines, also before the call. */
  printed(lines: number): Promise<void>;
  /** Resolves when the notes (stderr) have matched, also before the call. */
  noted(pattern: RegExp): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it has ended; rejects with what it wrote when it does not. */
  end(): Promise<Exit>;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** `await using` kills it. @param input What it reads on standard input. */
export function startCli(args: readonly string[], input = ''): RunningCli {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MOORING_'));
  const child = spawn(process.execPath, [path.join(root, 'src', 'main.ts'), ...args], {
    env: Object.fromEntries(inherited),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const texts = { out: '', err: '' };
  let looks: (() => boolean)[] = [];
  const gather = (name: 'out' | 'err') => (text: string) => {
    texts[name] += text;
    looks = looks.filter((look) => !look());
  };
  child.stdout.setEncoding('utf8').on('data', gather('out'));
  child.stderr.setEncoding('utf8').on('data', gather('err'));
  let over: Exit | undefined;
  const ended = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child);
      over = { code, signal };
      looks = looks.filter((look) => !look());
      resolve(over);
    });
  });
  const lines = (): readonly string[] => texts.out.split('\n').slice(0, -1);
  const until = (what: string, done: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const fail = (): void => {
        const end = over === undefined ? 'waits still' : `ended with ${over.signal ?? over.code}`;
        reject(new Error(`mooring ${args[0]} ${end}, without ${what}\n${texts.err}\n${texts.out.slice(-2000)}`));
      };
      const timer = setTimeout(fail, WAIT_MS_MAX);
      const look = (): boolean => {
        if (!done() && over === undefined) return false;
        clearTimeout(timer);
        if (done()) resolve();
        else fail();
        return true;
      };
      if (!look()) looks.push(look);
    });
  return {
    stdout: () => texts.out,
    stderr: () => texts.err,
    lines,
    printed: (count) => until(`${count} lines`, () => lines().length >= count),
    noted: (pattern) => until(`a note like ${pattern}`, () => pattern.test(texts.err)),
    signal: (signal) => void child.kill(signal),
    end: async () => {
      await until('an end', () => over !== undefined);
      return ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

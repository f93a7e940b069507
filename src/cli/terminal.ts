import type { Writable } from 'node:stream';

/** What a command may touch of the process that runs it. */
export interface Terminal {
  /** Results. */
  readonly out: Output;
  /** Notes, progress, errors. */
  readonly err: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Whether the lines of this run are for a program (`--json`). */
  json: boolean;
  /**
   * Runs `work` with a signal that Ctrl-C, SIGTERM or a reader that went away (`| head`) aborts, so that it can clean
   * up. A second Ctrl-C ends the process at once.
   */
  untilStopped<T>(work: (stop: AbortSignal) => Promise<T>): Promise<T>;
}

export interface Output {
  readonly stream: Writable;
  /** Whether a person looks at it: colours, progress lines. */
  readonly isTerminal: boolean;
  /** Characters of a line; only meaningful on a terminal. */
  columns(): number;
}

/** The terminal of this process. */
export function systemTerminal(): Terminal {
  const stops = new Set<AbortController>();
  for (const stream of [process.stdout, process.stderr]) {
    // A reader that closes its end (`mooring device list | head`) is no error: there is nobody left to write to.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      for (const stop of stops) stop.abort();
    });
  }
  return {
    out: output(process.stdout),
    err: output(process.stderr),
    env: process.env,
    cwd: process.cwd(),
    json: false,
    async untilStopped(work) {
      const stop = new AbortController();
      const onSignal = (): void => {
        if (stop.signal.aborted) process.exit(130);
        stop.abort();
      };
      stops.add(stop);
      process.on('SIGINT', onSignal);
      process.on('SIGTERM', onSignal);
      try {
        return await work(stop.signal);
      } finally {
        stops.delete(stop);
        process.off('SIGINT', onSignal);
        process.off('SIGTERM', onSignal);
      }
    },
  };
}

function output(stream: NodeJS.WriteStream): Output {
  return { stream, isTerminal: stream.isTTY === true, columns: () => stream.columns || 80 };
}

/** Writes result lines; resolves when the reader has room again, so that a slow pipe slows the command. */
export function print(terminal: Terminal, text: string): Promise<void> {
  const { stream } = terminal.out;
  if (stream.destroyed || stream.write(`${text}\n`)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      stream.off('error', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
    stream.on('error', done);
  });
}

/** A line for the person, beside the results; programs (`--json`) get none. */
export function note(terminal: Terminal, text: string): void {
  if (!terminal.json) terminal.err.stream.write(`${text}\n`);
}

/** The life of the process: what was opened is closed in reverse; signals and unhandled errors end it in order. */
import type { ServerLog } from './observe/log.ts';

/** Steps of a stop, in reverse order of the steps of the start. */
export class Shutdown {
  readonly #steps: { readonly name: string; readonly run: () => unknown }[] = [];
  readonly #log: ServerLog;
  #running: Promise<void> | undefined;

  constructor(log: ServerLog) {
    this.#log = log;
  }

  /** `run` undoes what was just done. */
  add(name: string, run: () => unknown): void {
    this.#steps.push({ name, run });
  }

  /** Runs all steps once; one that fails is logged, and those behind it still run. */
  run(): Promise<void> {
    this.#running ??= this.#runAll();
    return this.#running;
  }

  async #runAll(): Promise<void> {
    for (const { name, run } of this.#steps.toReversed()) {
      try {
        await run();
      } catch (error) {
        this.#log.error({ step: name, error }, 'a step of the stop failed');
      }
    }
  }
}

/** A terminal signals the whole group, and `npm start` passes the signal on as well: that is one wish, not two. */
const SAME_WISH_MS = 1000;

/**
 * Resolves with the first stop signal; a second one, if it is not an echo of the first, ends the process at once.
 */
export function stopSignal(log: ServerLog): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let first: number | undefined;
    const take = (signal: NodeJS.Signals): void => {
      if (first === undefined) {
        first = performance.now();
        log.info({ signal }, 'stopping; a second signal ends the hub at once');
        resolve(signal);
      } else if (performance.now() - first > SAME_WISH_MS) {
        log.warn({ signal }, 'stopped at once, connections were not drained');
        log.flush();
        process.exit(1);
      }
    };
    process.on('SIGTERM', take);
    // The process that started the hub with a channel to it (`scripts/run.mjs`) is gone, and could pass on no signal any more.
    process.on('disconnect', () => take('SIGTERM'));
    // A listener would keep the channel, and the channel a process that has stopped.
    process.channel?.unref();
    process.on('SIGINT', take);
    // A terminal that is closed says SIGHUP; from a service manager it means "read your certificate again" (`serve.ts`).
    if (isOnTerminal()) process.on('SIGHUP', take);
  });
}

export const isOnTerminal = (): boolean => process.stdin.isTTY === true || process.stdout.isTTY === true;

/**
 * An error that nobody handled leaves the process in a state that nobody has thought of: it is logged and the
 * process ends. What was acknowledged is on disk.
 */
export function endOnUnhandledErrors(log: ServerLog): void {
  const end = (error: unknown): void => {
    log.error({ error }, 'an error was not handled: this is a fault of the hub, which ends');
    log.flush();
    process.exit(70);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}

/** Opens something of several parts, which add to the steps how they are closed: where one cannot be opened, none stays open. */
export async function openWhole<Value>(log: ServerLog, open: (steps: Shutdown) => Promise<Value>): Promise<Value> {
  const steps = new Shutdown(log);
  try {
    return await open(steps);
  } catch (error) {
    await steps.run();
    throw error;
  }
}

/**
 * The listener threads of a hub: starts them, opens doors on all of them, starts one again that has died, ends them.
 *
 * A thread owns no state that matters: what it had not acknowledged is sent again by its devices, and its connections
 * count as lost. So one that dies is replaced, the sooner the longer it has lived.
 */
import { Worker } from 'node:worker_threads';
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Door } from '../../protocols/shared/door.ts';
import type { HandshakeFailure } from '../../protocols/shared/handshake-failure.ts';
import { findPort } from '../../protocols/shared/listener.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { HandshakeFailures } from '../tls/handshake-failures.ts';
import { type EveryCall, openThreadLink, type ThreadLink } from './calls.ts';
import { type HubHostParts, hubStart, serveHub } from './hub-host.ts';
import { type LogStart, serveLog } from './log.ts';
import type { SharedTls } from './tls.ts';
import { watchMember } from './watch-member.ts';
import type { DoorSpec, ThreadCalls, ThreadStart } from './worker.ts';

export interface ThreadsParts extends HubHostParts {
  /** 2 or more. */
  readonly count: number;
  readonly tls: SharedTls;
  readonly logLevel: LogStart['level'];
  readonly metrics: Pick<Metrics, 'authenticationFailed'>;
  readonly handshakes: Pick<HandshakeFailures, 'failed'>;
  /** The program of the threads; absent = `worker.ts`. */
  readonly program?: URL;
}

/** A thread that runs. */
interface Running {
  readonly worker: Worker;
  readonly link: ThreadLink;
  readonly calls: ThreadCalls;
  /** Open connections by door, as last heard. */
  readonly connections: Map<string, number>;
  readonly since: number;
  readonly exited: Promise<void>;
  /** Its doors are open. */
  serves: boolean;
  /** Ends the asking whether it runs. */
  stopAsking: Cancel;
  /** The error that ended it. */
  failure?: unknown;
}

interface Slot {
  readonly number: number;
  /** Absent while it waits to be started again. */
  running?: Running;
  /** Deaths without a long life in between. */
  deaths: number;
  cancelRestart: Cancel;
}

/** Few, and asked of a thread also when it has fallen behind with everything else. */
const calls: EveryCall<ThreadCalls> = {
  hello: 'uncounted',
  open: 'uncounted',
  stopAccepting: 'uncounted',
  drain: 'uncounted',
  count: 'uncounted',
  end: 'uncounted',
};

export class ListenerThreads {
  readonly #parts: ThreadsParts;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #slots: readonly Slot[];
  readonly #doors = new Map<string, DoorSpec>();
  #stopping = false;
  /** How many have ever been started. */
  #started = 0;
  #delivered = 0;

  /** Resolves when all threads run. @throws Error when one cannot. */
  static async start(parts: ThreadsParts): Promise<ListenerThreads> {
    const threads = new ListenerThreads(parts);
    try {
      await Promise.all(threads.#slots.map((slot) => threads.#run(slot)));
    } catch (error) {
      await threads.stop();
      throw error;
    }
    return threads;
  }

  private constructor(parts: ThreadsParts) {
    this.#parts = parts;
    this.#clock = parts.hub.clock;
    this.#log = parts.hub.log;
    this.#slots = Array.from({ length: parts.count }, (_, number) => ({
      number: number + 1,
      deaths: 0,
      cancelRestart: () => {},
    }));
  }

  /** How many threads there are to be. */
  get size(): number {
    return this.#slots.length;
  }

  /** How many run and have their doors open. */
  get serving(): number {
    return this.#running().filter(({ serves }) => serves).length;
  }

  /** Opens a door on every thread. @throws Error whose message names the setting and what to do. */
  async open(wanted: DoorSpec): Promise<Door> {
    const port = await findPort({ ...wanted, log: this.#log });
    const spec = { ...wanted, port };
    const { name } = spec;
    this.#doors.set(name, spec);
    await this.#onAll((calls) => calls.open(spec));
    return {
      port,
      // A thread that ends meanwhile accepts no connection, and its connections are gone.
      stopAccepting: () => {
        this.#doors.delete(name);
        return this.#onAll((calls) => calls.stopAccepting(name).catch(() => {}));
      },
      drain: (withinMs) => this.#onAll((calls) => calls.drain(name, withinMs).catch(() => {})),
      connections: () => this.#running().reduce((sum, { connections }) => sum + (connections.get(name) ?? 0), 0),
    };
  }

  /** Events that threads have written to readers since the start, as of the last `count`. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Resolves when the doors' connections, and what was delivered, are those of now. */
  count(): Promise<void> {
    return this.#onAll((calls) => calls.count().catch(() => {}));
  }

  /** Ends all threads, when what they have taken is durable. Doors are drained before. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#slots.map(async ({ running, cancelRestart }) => {
        cancelRestart();
        if (running === undefined) return;
        const late = this.#clock.after(limits.threadEndMs, () => void running.worker.terminate());
        await running.calls.end().catch(() => {});
        await running.exited;
        late();
      }),
    );
  }

  #running(): readonly Running[] {
    return this.#slots.flatMap(({ running }) => running ?? []);
  }

  async #onAll(operation: (calls: ThreadCalls) => Promise<void>): Promise<void> {
    await Promise.all(this.#running().map(({ calls }) => operation(calls)));
  }

  /** Starts the slot's thread and opens every door on it. @throws Error when it cannot be started. */
  async #run(slot: Slot): Promise<void> {
    const running = this.#start(slot);
    slot.running = running;
    const giveUp = (): void => {
      this.#log.error({ thread: slot.number }, 'a listener thread does not answer and is ended');
      void running.worker.terminate();
    };
    const late = this.#clock.after(limits.threadStartMs, giveUp);
    try {
      await running.calls.hello();
      for (const spec of this.#doors.values()) await running.calls.open(spec);
      running.serves = true;
      // One that hangs serves nobody, and its devices' next connections would wait for it.
      running.stopAsking = watchMember(this.#clock, () => running.calls.hello(), giveUp);
    } catch (error) {
      await running.worker.terminate();
      throw running.failure ?? error;
    } finally {
      late();
    }
  }

  #start(slot: Slot): Running {
    const parts = this.#parts;
    const log = this.#log.child({ thread: slot.number });
    const start: ThreadStart = {
      threads: parts.count,
      hub: hubStart(parts),
      tls: parts.tls.current(),
      log: { level: parts.logLevel, fields: { thread: slot.number } },
    };
    const worker = new Worker(parts.program ?? workerFile(), { workerData: start });
    const link = openThreadLink(worker);
    const running: Running = {
      worker,
      link,
      calls: link.remote<ThreadCalls>('thread', calls),
      connections: new Map(),
      since: this.#clock.monotonic(),
      serves: false,
      stopAsking: () => {},
      exited: new Promise((resolve) => worker.once('exit', () => resolve())),
    };
    const ends = [serveHub(link, parts, `thread ${++this.#started}`), parts.tls.serve(link)];
    serveLog(link, this.#log);
    link.on('authenticationFailed', (check: string) => parts.metrics.authenticationFailed(check));
    link.on('handshakeFailed', (failure: HandshakeFailure) => parts.handshakes.failed(failure));
    link.on('delivered', (count: number) => {
      this.#delivered += count;
    });
    link.on('connections', ([name, count]: [string, number]) => void running.connections.set(name, count));
    worker.on('error', (error: unknown) => {
      running.failure = error;
      log.error({ error }, 'an error was not handled: this is a fault of the hub, a listener thread ends');
    });
    worker.once('exit', (code) => {
      // What the thread had sent has arrived by now: its batches stand before those of its devices' next connections.
      running.stopAsking();
      link.close();
      for (const end of ends) end();
      slot.running = undefined;
      if (!this.#stopping) this.#replace(slot, running, code);
    });
    return running;
  }

  #replace(slot: Slot, { since }: Running, code: number): void {
    const lived = this.#clock.monotonic() - since;
    slot.deaths = lived >= limits.threadStableMs ? 1 : slot.deaths + 1;
    const restartMs = Math.min(limits.threadRestartMsMin * 2 ** (slot.deaths - 1), limits.threadRestartMsMax);
    const fields = { thread: slot.number, code, deaths: slot.deaths, restartMs };
    this.#log.error(fields, 'a listener thread has ended; its connections are lost, and it is started again');
    slot.cancelRestart = this.#clock.after(restartMs, () => {
      this.#run(slot).then(
        () => this.#log.info({ thread: slot.number }, 'a listener thread was started again'),
        (error: unknown) => this.#log.error({ thread: slot.number, error }, 'a listener thread could not be started'),
      );
    });
  }
}

function workerFile(): URL {
  const source = new URL('./worker.ts', import.meta.url);
  // The published package holds JavaScript, and the names of workers are not rewritten by the compiler.
  return import.meta.url.endsWith('.ts') ? source : new URL(source.href.replace(/\.ts$/, '.js'));
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { commandOf } from './programs.ts';

const STDERR_CHARS = 4000;

/** One line of a client's output: JSON with the kind of event and what belongs to it. */
export interface ClientEvent {
  readonly kind: string;
  // biome-ignore lint/suspicious/noExplicitAny: each client's script and its test agree on the shape
  readonly [field: string]: any;
}

/** An error as the SDK's user sees it. */
export interface SdkError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
}

/** What a call into a client's script came to: one of the two. */
export interface Answer {
  // biome-ignore lint/suspicious/noExplicitAny: each client's script and its test agree on the shape
  readonly value?: any;
  readonly error?: SdkError;
}

/**
 * A stock SDK in a process of its own: Node reads NODE_EXTRA_CA_CERTS only at its start. The job goes in by standard input
 * (connection strings hold keys, and arguments are there for all to read), events come out line by line.
 */
export class Client {
  readonly #child: ChildProcess;
  #events: ClientEvent[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #name: string;
  #stderr = '';
  #calls = 0;
  #ended: string | undefined;

  static start(script: string, caFile: string, job: object): Client {
    return new Client(script, caFile, job);
  }

  private constructor(script: string, caFile: string, job: object) {
    this.#name = script;
    const { command, args } = commandOf(script);
    this.#child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: caFile, SSL_CERT_FILE: caFile, NODE_TEST_CONTEXT: undefined },
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.#take(line);
      this.#wake();
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_CHARS);
    });
    this.#child.on('close', (code, signal) => {
      this.#ended = `${script} ended with ${signal ?? code}: ${this.#stderr}`;
      this.#wake();
    });
    this.#child.stdin?.on('error', () => {});
    this.tell(job);
  }

  tell(order: object): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  /** Takes the first event of one of these kinds (that `match` accepts) out of those that came; waits for it. */
  async next(
    kinds: string | readonly string[],
    timeoutMs = 60_000,
    match: (event: ClientEvent) => boolean = () => true,
  ): Promise<ClientEvent> {
    const wanted = typeof kinds === 'string' ? [kinds] : kinds;
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const at = this.#events.findIndex((event) => wanted.includes(event.kind) && match(event));
      if (at >= 0) return this.#events.splice(at, 1)[0];
      if (this.#ended !== undefined) throw new Error(`no ${wanted.join(' or ')}: ${this.#ended}`);
      if (performance.now() >= deadline) {
        throw new Error(`${this.#name}: no ${wanted.join(' or ')} in ${timeoutMs} ms: ${this.#stderr}`);
      }
      await this.#newsOr(deadline);
    }
  }

  /** Events of this kind that have come and were not taken. */
  seen(kind: string): readonly ClientEvent[] {
    return this.#events.filter((event) => event.kind === kind);
  }

  /** Takes all events of this kind that have come. */
  takeAll(kind: string): readonly ClientEvent[] {
    const taken = this.seen(kind);
    if (taken.length > 0) this.#events = this.#events.filter((event) => event.kind !== kind);
    return taken;
  }

  /** Resolves with the next event of any kind, or after this time. */
  news(timeoutMs: number): Promise<void> {
    return this.#newsOr(performance.now() + timeoutMs);
  }

  /** Lets this time pass; an event of the kind ends it at once. */
  async quiet(kind: string, durationMs: number): Promise<void> {
    const deadline = performance.now() + durationMs;
    while (this.seen(kind).length === 0 && performance.now() < deadline) await this.#newsOr(deadline);
  }

  /** Calls into the client's script and waits for the answer to this very call. */
  call(op: string, ...args: readonly unknown[]): Promise<Answer> {
    return this.callWithin(60_000, op, ...args);
  }

  async callWithin(timeoutMs: number, op: string, ...args: readonly unknown[]): Promise<Answer> {
    const id = ++this.#calls;
    this.tell({ op, args, id });
    return (await this.next(`answer ${id}`, timeoutMs)) as unknown as Answer;
  }

  /** The same for a call that must succeed: its value. @throws Error with the SDK's own error name and message. */
  // biome-ignore lint/suspicious/noExplicitAny: each client's script and its test agree on the shape
  async must(op: string, ...args: readonly unknown[]): Promise<any> {
    return succeeded(op, await this.call(op, ...args));
  }

  /** Ends the process without a chance to say good-bye. What it has said before is there still. */
  async kill(): Promise<void> {
    if (this.#ended !== undefined) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }

  /** Ends the process by its input's end; by force if that is not enough. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    // Not `exit`: what it has written last may be on its way still.
    const exited = once(this.#child, 'close');
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await exited;
    clearTimeout(timer);
  }

  #take(line: string): void {
    try {
      this.#events.push(JSON.parse(line) as ClientEvent);
    } catch {
      // A process that is killed may leave half a line.
      this.#stderr += `\nunreadable: ${line.slice(0, 200)}`;
    }
  }

  /** Resolves with the next event of any kind, with the end of the process, or at the deadline. */
  #newsOr(deadline: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, deadline - performance.now());
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** @throws Error with the SDK's own error name and message */
// biome-ignore lint/suspicious/noExplicitAny: each client's script and its test agree on the shape
export function succeeded(op: string, { value, error }: Answer): any {
  if (error !== undefined) throw Object.assign(new Error(`${op}: ${error.message}`), { name: error.name });
  return value;
}

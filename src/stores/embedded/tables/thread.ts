/**
 * The tables' thread as its owner sees it. Calls queue here while a batch is being committed there, and become the next
 * batch: one commit in flight, never a wait on this side. When the thread dies, everything that waits, and everything
 * later, is refused as `ServiceUnavailable`: whether the last batch was stored is then not known.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import { HubError } from '../../../core/errors.ts';
import type { OperationArgs, OperationName, OperationResult } from '../../tables/operations.ts';
import type { Answer, Call, Later } from './group-commit.ts';
import { damagePattern } from './look.ts';
import type { Reply, Request, WorkerStart } from './worker.ts';

interface Waiting {
  readonly call: Call;
  settle(answer: Answer): void;
  reject(error: HubError): void;
}

export type TablesHealth =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string; readonly remedy: string };

export class TableThread {
  /** Which tables these are: made with them, in a row of theirs. */
  readonly generation: string;
  readonly #worker: Worker;
  readonly #log: Log;
  #queue: Waiting[] = [];
  #inFlight: readonly Waiting[] = [];
  /** Number of the batch that was sent last. */
  #batch = 0;
  #flushing = false;
  #ended: string | undefined;
  /** What an operation has met; the tables are as good as that until the hub is stopped. */
  #damaged: string | undefined;
  /** The disk took something last time it was asked for more than a little. */
  #hasRoom = true;
  #closing: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;
  readonly #exited: Promise<void>;

  /** @throws Error that says why the file was refused and what to do. */
  static async open(start: WorkerStart, log: Log): Promise<TableThread> {
    const source = new URL('./worker.ts', import.meta.url);
    // The published package holds JavaScript, and the names of workers are not rewritten by the compiler.
    const compiled = new URL(source.href.replace(/\.ts$/, '.js'));
    const worker = new Worker(import.meta.url.endsWith('.ts') ? source : compiled, { workerData: start });
    const [reply] = (await once(worker, 'message')) as [Reply];
    if (reply.kind === 'refused') throw new Error(`${start.file}: ${reply.message}`);
    assert(reply.kind === 'opened', 'the first reply is about the opening');
    return new TableThread(worker, log, reply.generation);
  }

  private constructor(worker: Worker, log: Log, generation: string) {
    this.generation = generation;
    this.#worker = worker;
    this.#log = log;
    worker.on('message', (reply: Reply) => {
      if (reply.kind !== 'answers') return;
      // The answer to another call would be believed.
      assert(reply.number === this.#batch, 'the answers are those of the batch on its way');
      this.#answered(reply.answers);
    });
    worker.on('error', (error) => this.#end(error instanceof Error ? error.message : String(error)));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#end(`exit ${code}`);
        resolve();
      });
    });
  }

  /** @throws HubError ServiceUnavailable, ServerError */
  call<Name extends OperationName>(name: Name, ...args: OperationArgs<Name>): Promise<OperationResult<Name>> {
    return this.callThen(name, args, (value) => value);
  }

  /** The same; `then` runs before anything that follows in order is answered, and before the promise resolves. */
  callThen<Name extends OperationName, Result>(
    name: Name,
    args: OperationArgs<Name>,
    then: (value: OperationResult<Name>) => Result,
  ): Promise<Result> {
    if (this.#ended !== undefined || this.#closing !== undefined) return Promise.reject(this.#unavailable());
    if (this.#queue.length >= limits.tableQueueMax) {
      const [current, max] = [this.#queue.length, limits.tableQueueMax];
      const limit = { name: 'tableQueueMax', scope: 'hub', current, max };
      return Promise.reject(
        new HubError('ServiceUnavailable', undefined, { reason: 'the tables are too busy', limit }),
      );
    }
    return new Promise((resolve, reject) => {
      const settle = (answer: Answer): void => {
        try {
          if (answer.ok) resolve(then(answer.value as OperationResult<Name>));
          else reject(this.#refusal(name, answer));
        } catch (error) {
          reject(error);
        }
      };
      this.#queue.push({ call: { name, args }, settle, reject });
      if (!this.#flushing && this.#inFlight.length === 0) {
        this.#flushing = true;
        queueMicrotask(() => this.#flush());
      }
    });
  }

  health(): TablesHealth {
    if (this.#ended !== undefined) {
      return { ok: false, reason: `the tables' thread has ended (${this.#ended})`, remedy: 'Restart the hub.' };
    }
    if (this.#damaged === undefined) return { ok: true };
    const remedy = 'Stop the hub, then run mooring data check: it says what is damaged and what a repair would do.';
    return { ok: false, reason: `the tables are damaged: ${this.#damaged}`, remedy };
  }

  /** @param what another part has found damaged, in words */
  foundDamaged(what: string): void {
    this.#damaged ??= what;
  }

  /** As `EmbeddedTables.probe`. A disk that is full still takes what fits into the room that a file has already. */
  async probe(): Promise<void> {
    if (!this.#hasRoom) {
      await this.call('facts.touch', limits.tablesRoomBytes);
      this.#hasRoom = true;
    }
    await this.call('facts.touch', 0);
  }

  /**
   * Refuses from this call on, finishes what waits, closes the file and ends the thread.
   * @param readersGone resolves when nothing else has the file open: the one that closes it last empties the write-ahead log
   */
  close(readersGone: Promise<void> = Promise.resolve()): Promise<void> {
    this.#closing ??= new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
      this.#tellIfIdle();
    }).then(async () => {
      await readersGone;
      if (this.#ended !== undefined) return;
      this.#worker.postMessage({ kind: 'close' } satisfies Request);
      await this.#exited;
    });
    return this.#closing;
  }

  /** Sends the next batch, if none is on its way: who asks while answers are given out must wait for the batch that they begin. */
  #flush(): void {
    this.#flushing = false;
    if (this.#queue.length === 0 || this.#inFlight.length > 0 || this.#ended !== undefined) return;
    const patient = { from: this.#chooseBatch(), ms: limits.tableBatchMs };
    try {
      const calls = this.#inFlight.map(({ call }) => call);
      this.#worker.postMessage({ kind: 'batch', number: ++this.#batch, calls, patient } satisfies Request);
    } catch (error) {
      // Something that is not plain data: nothing was sent, so nothing was done.
      const message = error instanceof Error ? error.message : String(error);
      this.#answered(this.#inFlight.map(() => ({ ok: false, unavailable: false, message })));
    }
  }

  /**
   * Takes what goes next off the queue: calls in their order, and behind them a few of those that read or write a whole twin, in theirs.
   * Such a call takes as long as a hundred others; so a caller that makes many of them waits, and the others go past.
   * @returns where the large ones begin
   */
  #chooseBatch(): number {
    const quick: Waiting[] = [];
    const patient: Waiting[] = [];
    const left: Waiting[] = [];
    let rows = 0;
    for (const [at, waiting] of this.#queue.entries()) {
      if (isPatient(waiting.call)) {
        if (patient.length < limits.tablePatientCallsMax) patient.push(waiting);
        else left.push(waiting);
      } else if (quick.length === 0 || rows < limits.tableBatchRowsMax) {
        rows += rowsOf(waiting.call);
        quick.push(waiting);
      } else {
        left.push(...this.#queue.slice(at));
        break;
      }
    }
    this.#inFlight = [...quick, ...patient];
    this.#queue = left;
    return quick.length;
  }

  #answered(answers: readonly (Answer | Later)[]): void {
    const answered = this.#inFlight;
    assert(answers.length === answered.length, 'each call of a batch has its answer');
    this.#inFlight = [];
    const left: Waiting[] = [];
    for (const [at, waiting] of answered.entries()) {
      const answer = answers[at];
      if (answer === 'later') left.push(waiting);
      else waiting.settle(answer);
    }
    if (left.length > 0) this.#queue = [...left, ...this.#queue];
    this.#flush();
    this.#tellIfIdle();
  }

  #tellIfIdle(): void {
    if (this.#ended !== undefined || (this.#queue.length === 0 && this.#inFlight.length === 0)) this.#whenIdle?.();
  }

  #refusal(name: OperationName, answer: Extract<Answer, { ok: false }>): HubError {
    if (answer.unavailable) this.#hasRoom = false;
    if (damagePattern.test(answer.message)) this.#damaged ??= `${name} met "${answer.message}"`;
    // Tried again and again for as long as it lasts: the caller that does so tells.
    if (name !== 'facts.touch') this.#log.error({ operation: name, error: answer.message }, 'a table operation failed');
    const code = answer.unavailable ? 'ServiceUnavailable' : 'ServerError';
    return new HubError(code, undefined, { reason: answer.message });
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    if (this.#closing === undefined) this.#log.error({ reason }, "the tables' thread has ended");
    const waiting = [...this.#inFlight, ...this.#queue];
    this.#inFlight = [];
    this.#queue = [];
    for (const { reject } of waiting) reject(this.#unavailable());
    this.#tellIfIdle();
  }

  #unavailable(): HubError {
    return new HubError('ServiceUnavailable', undefined, { reason: this.#ended ?? 'the tables are being closed' });
  }
}

const patient: ReadonlySet<OperationName> = new Set([
  'twins.load',
  'twins.change',
  'twins.report',
  'jobs.updateTwins',
  'configurations.step',
]);

/** Calls that read or write whole documents of twins, of which nobody knows before how long they are. */
function isPatient({ name }: Call): boolean {
  return patient.has(name);
}

/** Bytes that take as long as a row to be handed over and stored. */
const BYTES_PER_ROW = 2048;

/** Rows that a call touches at most, about: a batch is bounded by them, so that long lists do not hold up the rest. */
function rowsOf({ name, args }: Call): number {
  switch (name) {
    case 'identities.write':
      return (args as OperationArgs<'identities.write'>)[0].length;
    case 'identities.listDevices':
      return (args as OperationArgs<'identities.listDevices'>)[0].limit;
    case 'identities.listChildren':
      return (args as OperationArgs<'identities.listChildren'>)[1].limit;
    case 'jobs.select':
      return (args as OperationArgs<'jobs.select'>)[1].keys.length;
    case 'jobs.settle':
      return (args as OperationArgs<'jobs.settle'>)[1].length;
    case 'jobs.dismiss':
      return (args as OperationArgs<'jobs.dismiss'>)[3].countMax;
    case 'identities.listModules':
      return limits.modulesPerDeviceMax;
    case 'commands.enqueue':
      return 1 + Math.floor((args as OperationArgs<'commands.enqueue'>)[0].message.body.length / BYTES_PER_ROW);
    case 'commands.lockNext':
      return (args as OperationArgs<'commands.lockNext'>)[2].tokens.length;
    case 'commands.depths':
      return (args as OperationArgs<'commands.depths'>)[0].length;
    case 'twins.desiredNewer':
      return (args as OperationArgs<'twins.desiredNewer'>)[0].length;
    case 'twins.events':
      return (args as OperationArgs<'twins.events'>)[0];
    case 'twins.dropEvents':
      return (args as OperationArgs<'twins.dropEvents'>)[0].length;
    case 'commands.sweep':
    case 'commands.removeEnded':
      return (args as OperationArgs<'commands.sweep' | 'commands.removeEnded'>)[1];
    case 'commands.purge':
      return limits.commandQueueDepthMax;
    case 'commands.dead':
      return (args as OperationArgs<'commands.dead'>)[1];
    default:
      return 1;
  }
}

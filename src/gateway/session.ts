/**
 * A session as the adapter has it, the same in every host: what handlers return becomes a settlement, what comes is handed over in
 * order, silence ends it. How the hub is reached is the `SessionWire`'s.
 */
import { scanJson } from '../base/json-scan.ts';
import { limits } from '../base/limits.ts';
import { Refused } from './refused.ts';
import type {
  CloseReason,
  Command,
  ConnectOptions,
  DeviceFiles,
  DeviceSession,
  Handlers,
  HostClock,
  JsonObject,
  Log,
  MethodAnswer,
  MethodCall,
  Settlement,
  Telemetry,
  Twin,
} from './types.ts';

/** What a session needs of the way to the hub. */
export interface SessionWire {
  /** Settles in the order of the calls. @throws Refused */
  send(message: Telemetry, until: 'hub' | 'stored'): Promise<void>;
  report(patch: JsonObject): Promise<number | undefined>;
  twin(): Promise<Twin>;
  /** Of a command that was handed over; `release` gives it back without counting. */
  settle(id: string, settlement: Settlement | 'release'): void;
  answer(id: string, answer: MethodAnswer): void;
  /** Absent = the host has no way to the hub's files. */
  readonly files?: DeviceFiles | undefined;
  /** The handler is done with a change: the next one may come. */
  desiredTaken(version: number): void;
  /** @param reason Of an end that the device has brought about by silence */
  close(reason?: 'idle'): Promise<void>;
}

/** The session's end for the wire: what comes from the hub. */
export interface SessionEnd {
  command(command: Command): void;
  /** The lock is over: its outcome no longer counts. */
  commandOver(id: string): void;
  method(id: string, call: MethodCall): void;
  /** Its caller no longer waits. */
  methodOver(id: string): void;
  desired(patch: JsonObject, version: number): void;
  setWritable(isWritable: boolean): void;
  closed(reason: CloseReason): void;
}

export interface SessionParts {
  readonly device: string;
  readonly handlers: Handlers;
  readonly options: ConnectOptions;
  readonly clock: HostClock;
  readonly log: Log;
  /** The session holds nothing any more. */
  readonly ended: () => void;
}

export class HostedSession implements DeviceSession, SessionEnd {
  readonly device: string;
  /** Set at once by the host that makes it. */
  wire!: SessionWire;
  readonly #parts: SessionParts;
  readonly #end = new AbortController();
  /** What is under way for the hub, by its id. */
  readonly #open = new Map<string, AbortController>();
  #isWritable = true;
  #drained: (() => void)[] = [];
  #last: Promise<void> = Promise.resolve();
  #activeAt: number;
  #cancelIdle: (() => void) | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.device = parts.device;
    this.#activeAt = parts.clock.monotonic();
    if (parts.options.idleSeconds !== undefined) this.#watchIdle(parts.options.idleSeconds * 1000);
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  get writable(): boolean {
    return this.#isWritable;
  }

  send(message: Telemetry, until: 'hub' | 'stored' = 'stored'): Promise<void> {
    const objection = this.#end.signal.aborted ? closed() : objectionTo(message);
    if (objection !== undefined) {
      const refuse = (): never => {
        throw objection;
      };
      return this.#last.then(refuse, refuse);
    }
    this.#active();
    const sent = this.wire.send(message, until);
    this.#last = sent;
    return sent;
  }

  drained(): Promise<void> {
    if (this.#isWritable || this.#end.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  async twin(): Promise<Twin> {
    this.#active();
    if (this.#end.signal.aborted) throw closed();
    return this.wire.twin();
  }

  async report(patch: JsonObject): Promise<number | undefined> {
    this.#active();
    if (this.#end.signal.aborted) throw closed();
    demandJson(patch, 'A report');
    return this.wire.report(patch);
  }

  /** As the wire has them, while the session is open. */
  get files(): DeviceFiles | undefined {
    const { files } = this.wire;
    if (files === undefined) return undefined;
    const open = (): void => {
      this.#active();
      if (this.#end.signal.aborted) throw closed();
    };
    return {
      read: async (name, from, length) => {
        open();
        return files.read(name, from, length);
      },
      upload: async (name, contentType) => {
        open();
        const upload = await files.upload(name, contentType);
        return {
          write: async (bytes) => {
            open();
            await upload.write(bytes);
          },
          finish: async () => {
            open();
            await upload.finish();
          },
          abandon: () => upload.abandon(),
        };
      },
    };
  }

  async close(): Promise<void> {
    if (this.#end.signal.aborted) return;
    this.#finish('closed');
    await this.wire.close();
  }

  command(command: Command): void {
    const { handlers } = this.#parts;
    this.#run(command.id, (signal) => handlers.command?.(command, signal)).then(
      (settlement) => this.wire.settle(command.id, settlement ?? 'abandon'),
      (error) => {
        if (error instanceof Over) return;
        this.#failed('command', error);
        this.wire.settle(command.id, 'abandon');
      },
    );
  }

  commandOver(id: string): void {
    this.#open.get(id)?.abort(new Over());
  }

  method(id: string, call: MethodCall): void {
    const { handlers } = this.#parts;
    this.#run(id, (signal) => handlers.method?.(call, signal))
      .then((answer = noHandler) => {
        demandJson(answer.payload, 'The answer of a method');
        this.wire.answer(id, answer);
      })
      .catch((error: unknown) => {
        if (error instanceof Over) return;
        this.#failed('method', error);
        // The text of a fault is the log's, not the caller's.
        this.wire.answer(id, { status: 500, payload: { error: 'The adapter has failed.' } });
      });
  }

  methodOver(id: string): void {
    this.#open.get(id)?.abort(new Over());
  }

  desired(patch: JsonObject, version: number): void {
    const tell = async (): Promise<void> => this.#parts.handlers.desired?.(patch, version);
    tell()
      .catch((error: unknown) => this.#failed('desired', error))
      .then(() => {
        if (!this.#end.signal.aborted) this.wire.desiredTaken(version);
      });
  }

  setWritable(isWritable: boolean): void {
    this.#isWritable = isWritable;
    if (isWritable) for (const resolve of this.#drained.splice(0)) resolve();
  }

  closed(reason: CloseReason): void {
    if (this.#end.signal.aborted) return;
    this.#finish(reason);
    const tell = async (): Promise<void> => this.#parts.handlers.closed?.(reason);
    tell().catch((error: unknown) => this.#failed('closed', error));
  }

  #finish(reason: CloseReason): void {
    this.#cancelIdle?.();
    this.#end.abort(reason);
    for (const open of this.#open.values()) open.abort(new Over());
    this.setWritable(true);
    this.#parts.ended();
  }

  /** Resolves with the handler's answer; rejects with `Over` when that no longer counts. */
  async #run<Answer>(
    id: string,
    handle: (signal: AbortSignal) => Promise<Answer> | undefined,
  ): Promise<Answer | undefined> {
    const over = new AbortController();
    this.#open.set(id, over);
    const aborted = new Promise<never>((_, reject) => {
      over.signal.addEventListener('abort', () => reject(over.signal.reason), { once: true });
    });
    const answered = (async () => handle(over.signal))();
    try {
      return await Promise.race([answered, aborted]);
    } finally {
      this.#open.delete(id);
      this.#active();
    }
  }

  #failed(what: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#parts.log.warn(`a handler of the adapter has failed: ${what}`, { device: this.device, error: text });
  }

  #active(): void {
    // Only who is ended by silence pays for a look at the clock with each message.
    if (this.#parts.options.idleSeconds !== undefined) this.#activeAt = this.#parts.clock.monotonic();
  }

  #watchIdle(idleMs: number): void {
    const { clock } = this.#parts;
    const look = (): void => {
      const leftMs = this.#activeAt + idleMs - clock.monotonic();
      if (leftMs > 0) {
        this.#cancelIdle = clock.after(leftMs, look);
        return;
      }
      this.closed('idle');
      this.wire.close('idle').catch(() => {});
    };
    this.#cancelIdle = clock.after(idleMs, look);
  }
}

/** What was asked for is no longer waited for. */
class Over extends Error {}

const noHandler: MethodAnswer = { status: 501, payload: { error: 'The adapter has no methods.' } };

const closed = (): Refused => new Refused('closed', 'The session has ended.');

/**
 * A device may nest JSON so deeply that it can be read and not be written again: it ends here, for it would end who writes it.
 * @throws Refused invalid
 */
function demandJson(value: unknown, what: string): void {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    throw new Refused('invalid', `${what} is no JSON, or nests too deeply.`);
  }
  if (text !== undefined && scanJson(Buffer.from(text)).depth > limits.methodDepthMax)
    throw new Refused('invalid', `${what} nests deeper than ${limits.methodDepthMax} levels.`);
}

/** What a hub would refuse, found where the message is. */
export function objectionTo({ body, properties, ...system }: Telemetry): Refused | undefined {
  const { messageId, correlationId, contentType, contentEncoding } = system;
  let bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  if (properties !== undefined) {
    let count = 0;
    for (const name in properties) {
      if (!Object.hasOwn(properties, name)) continue;
      const value = properties[name];
      if (typeof value !== 'string') return new Refused('invalid', `The property ${name} is no text.`);
      bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
      if (++count > limits.messagePropertiesMax) {
        return new Refused('invalid', `A message has up to ${limits.messagePropertiesMax} properties.`);
      }
    }
  }
  for (const id of [messageId, correlationId]) {
    if (id !== undefined && id.length > limits.messageIdCharsMax) {
      return new Refused('invalid', `An id of a message has up to ${limits.messageIdCharsMax} characters.`);
    }
  }
  for (const type of [contentType, contentEncoding]) {
    const max = limits.adapterContentTypeCharsMax;
    if (type !== undefined && type.length > max) {
      return new Refused('invalid', `The content type and the content encoding have up to ${max} characters.`);
    }
  }
  if (bytes <= limits.telemetryBytesMax) return undefined;
  return new Refused('tooLarge', `The message has ${bytes} bytes, ${limits.telemetryBytesMax} are allowed.`);
}

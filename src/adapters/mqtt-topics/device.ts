/** One device: its session in the hub, and what reaches it from there. */
import { limits } from '../../base/limits.ts';
import {
  type Command,
  type DeviceSession,
  type Handlers,
  type Host,
  type JsonObject,
  type MethodAnswer,
  type MethodCall,
  Refused,
  type Settlement,
  type Telemetry,
} from '../../gateway/index.ts';
import { reportOf, telemetryOf } from './body.ts';
import { Calls } from './calls.ts';
import type { Done } from './inbox.ts';
import { Lost, type Route } from './route.ts';
import type { Asked, Mapping, Match, Outgoing } from './rules.ts';

export class Device {
  /** Its name in topics; of a device that has logged in, until it has told, its user name. */
  name: string;
  /** Rules that it is known to speak by. */
  dialect: string | undefined;
  readonly #host: Host;
  readonly #mapping: Mapping;
  readonly #route: Route;
  readonly #calls = new Calls();
  #session: DeviceSession | undefined;
  #opening: Promise<DeviceSession> | undefined;
  /** Why the hub does not let it in, and until when that counts: its messages come on meanwhile. */
  #refused: { readonly error: unknown; readonly until: number } | undefined;

  constructor(host: Host, mapping: Mapping, route: Route, name: string) {
    this.#host = host;
    this.#mapping = mapping;
    this.#route = route;
    this.name = name;
  }

  /** Whether the hub takes more for now; without a session it does. */
  get writable(): boolean {
    return this.#session?.writable !== false;
  }

  drained(): Promise<void> {
    return this.#session?.drained() ?? Promise.resolve();
  }

  /** @throws Refused as `Host.connect` */
  open(connect: (handlers: Handlers) => Promise<DeviceSession>, closed: () => void): Promise<DeviceSession> {
    const gone = (): void => {
      this.#session = undefined;
      closed();
    };
    this.#opening = connect({ ...this.#handlers(), closed: gone }).then(
      (session) => {
        this.#opening = undefined;
        this.#session = session;
        return session;
      },
      (error: unknown) => {
        this.#opening = undefined;
        // One that is refused for now has its connection ended by its next message, and is tried when it comes again.
        const isForNow = error instanceof Refused && error.retry;
        const pauseMs = isForNow ? 0 : limits.mqttTopicsRefusedMs;
        this.#refused = { error, until: this.#host.clock.monotonic() + pauseMs };
        throw error;
      },
    );
    return this.#opening;
  }

  /** It was refused, and may be tried again. */
  get isRefused(): boolean {
    return this.#refused !== undefined && this.#host.clock.monotonic() >= this.#refused.until;
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => {});
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }

  /** Takes a message of the device. @throws Error for a body that cannot be reported; then `done` is not called */
  take(match: Match, payload: Buffer, topic: string, done: Done): void {
    const { rule } = match;
    let to = rule.to;
    if (to === 'answer') to = this.#calls.take(match, payload) ? 'nothing' : rule.otherwise;
    if (to === 'telemetry') this.#send(telemetryOf(match, payload, topic), done);
    else if (to === 'reported') this.#report(reportOf(match, payload), done);
    else done();
  }

  /** The usual way has one promise for each message. */
  #send(message: Telemetry, done: Done): void {
    const session = this.#session;
    if (session !== undefined) {
      session.send(message, 'stored').then(done, (error: unknown) => {
        this.#again(error, () => session.send(message, 'stored')).then(done, done);
      });
    } else {
      this.#awaited((opened) => this.#deliver(() => opened.send(message, 'stored'), done), done);
    }
  }

  #report(patch: JsonObject, done: Done): void {
    this.#awaited((session) => this.#deliver(() => session.report(patch), done), done);
  }

  #deliver(work: () => Promise<unknown>, done: Done): void {
    work().then(
      () => done(),
      (error: unknown) => {
        this.#again(error, work).then(() => done(), done);
      },
    );
  }

  /** For the session that is being opened; without one, the device has gone meanwhile. */
  #awaited(work: (session: DeviceSession) => void, done: Done): void {
    const ready = async (): Promise<void> => {
      const session = this.#session ?? (await this.#opening);
      if (this.#refused !== undefined) throw this.#refused.error;
      if (session === undefined) throw new Refused('closed', 'the session of the device has ended');
      work(session);
    };
    ready().catch(done);
  }

  /** What the hub does not take for now is tried again, so that a device which cannot be told "later" need not be cut off. */
  async #again(error: unknown, work: () => Promise<unknown>): Promise<void> {
    const until = this.#host.clock.monotonic() + limits.mqttTopicsRetryMs;
    for (let refusal = error; ; ) {
      if (!(refusal instanceof Refused) || !refusal.retry || this.#host.clock.monotonic() >= until) throw refusal;
      const pauseMs = Math.min((refusal.retryAfterSeconds ?? 1) * 1000, limits.mqttTopicsRetryMs);
      await new Promise<void>((resolve) => this.#host.clock.after(pauseMs, resolve));
      try {
        await work();
        return;
      } catch (next) {
        refusal = next;
      }
    }
  }

  #handlers(): Handlers {
    return {
      ...(this.#mapping.has('command') && { command: (command, signal) => this.#command(command, signal) }),
      ...(this.#mapping.has('method') && { method: (call, signal) => this.#method(call, signal) }),
      ...(this.#mapping.has('desired') && { desired: (patch, version) => this.#desired(patch, version) }),
    };
  }

  /** @throws Error that says why it fits no topic */
  #outgoing(asked: Asked): Outgoing[] {
    const options = this.#mapping.outgoing(asked, this.dialect);
    if (!this.#route.hearsItself) return options;
    // Who may call one device's methods must not speak for another one by it.
    const fit = options.filter(({ topic }) => !this.#mapping.misleads(topic, this.name));
    if (fit.length === 0)
      throw new Error(`what is sent to "${options[0].topic}" would come back as a message of another device`);
    return fit;
  }

  /** Waits for a subscription, if need be until the command's lock is over, which costs it no delivery. */
  async #command(command: Command, signal: AbortSignal): Promise<Settlement> {
    const { properties, body } = command;
    const { log } = this.#host;
    for (;;) {
      let options: Outgoing[];
      try {
        // Its name and the rules that it speaks by may become known while a command waits.
        const variables = { ...properties, device: this.name };
        options = this.#outgoing({ from: 'command', variables, payload: jsonOf(body), bytes: body });
      } catch (error) {
        const reason = (error as Error).message;
        log.warn('A command fits no topic and is rejected: name it in its properties, or in "defaults" of the rule', {
          device: this.name,
          reason,
        });
        return 'reject';
      }
      const chosen = this.#route.choose(options);
      if (chosen === undefined) {
        await this.#route.changed(signal);
        continue;
      }
      try {
        return await this.#route.publish(chosen, signal);
      } catch (error) {
        if (!(error instanceof Lost) || signal.aborted) throw error;
      }
    }
  }

  async #method(call: MethodCall, signal: AbortSignal): Promise<MethodAnswer> {
    if (this.#calls.isFull) return { status: 429, payload: 'the device has too many calls that wait for its answer' };
    const id = this.#calls.next();
    const bytes = call.payload === undefined ? Buffer.alloc(0) : bytesOf(call.payload);
    const variables = { device: this.name, name: call.name, id: String(id) };
    let options: Outgoing[];
    try {
      options = this.#outgoing({ from: 'method', variables, payload: call.payload, bytes });
    } catch (error) {
      return { status: 400, payload: `the method fits no topic: ${(error as Error).message}` };
    }
    const chosen = this.#route.choose(options);
    if (chosen === undefined)
      return { status: 503, payload: 'the device has not subscribed to the topic of this method' };
    if (!chosen.rule.answered) {
      return answerOf(await this.#route.publish(chosen, signal));
    }
    const waiting = this.#calls.wait(id, chosen.dialect, this.#host.clock, chosen.rule.answerSeconds, signal);
    try {
      await this.#route.publish(chosen, signal);
      return await waiting.answer;
    } finally {
      waiting.end();
    }
  }

  async #desired(patch: object, version: number): Promise<void> {
    const asked: Asked = {
      from: 'desired',
      variables: { device: this.name, version: String(version) },
      payload: patch,
      bytes: Buffer.from(JSON.stringify(patch)),
    };
    const chosen = this.#route.choose(this.#outgoing(asked));
    if (chosen === undefined) return;
    await this.#route.publish(chosen, AbortSignal.timeout(limits.mqttTopicsRetryMs));
  }
}

function answerOf(settlement: Settlement): MethodAnswer {
  return settlement === 'complete' ? { status: 202 } : { status: 500, payload: 'the device has refused it' };
}

/** What a rule with a body of its own puts in for `{payload}`. */
function jsonOf(body: Uint8Array): unknown {
  const text = Buffer.from(body).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A text is sent as it is: `cmnd/plug/POWER` takes `ON`, not `"ON"`. */
function bytesOf(payload: unknown): Buffer {
  return Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
}

/** Commands and method calls of one device on their way to it: who is given them, and how they are settled. */
import { limits } from '../../base/limits.ts';
import type { Command, HostClock, MethodAnswer, MethodCall, Settlement } from '../../gateway/index.ts';
import { type CoapOption, codes, options, textOption } from '../../wire/coap/messages.ts';
import { formatOption, jsonFormat } from './content.ts';
import type { Answer } from './exchange.ts';
import type { Observer, Observers } from './observers.ts';

interface Held {
  readonly command: Command;
  /** Names this delivery to the device: the command's ETag. */
  readonly tag: Buffer;
  settle(settlement: Settlement): void;
}

interface Call {
  readonly id: string;
  readonly call: MethodCall;
  answer(answer: MethodAnswer): void;
}

export class Inbox {
  readonly #observers: Observers;
  readonly #clock: HostClock;
  readonly #tag: () => Buffer;
  /** Slices an answer for an observer, and keeps the rest; calls `onRead` when the last block is on its way. */
  readonly #sliced: (observer: Observer, answer: Answer, onRead?: () => void) => Answer;
  readonly #held = new Map<string, Held>();
  readonly #calls = new Map<string, Call>();
  #waiting: (() => void)[] = [];
  #numbers = 0;

  constructor(
    observers: Observers,
    clock: HostClock,
    tag: () => Buffer,
    sliced: (observer: Observer, answer: Answer, onRead?: () => void) => Answer,
  ) {
    this.#observers = observers;
    this.#clock = clock;
    this.#tag = tag;
    this.#sliced = sliced;
  }

  /** A command of the hub's: resolves with its settlement. */
  command(command: Command, signal: AbortSignal): Promise<Settlement> {
    const { promise, resolve } = Promise.withResolvers<Settlement>();
    const tag = this.#tag();
    const id = tag.toString('hex');
    const held: Held = {
      command,
      tag,
      settle: (settlement) => {
        this.#held.delete(id);
        resolve(settlement);
      },
    };
    this.#held.set(id, held);
    signal.addEventListener('abort', () => held.settle('abandon'), { once: true });
    for (const wake of this.#waiting.splice(0)) wake();
    void this.#deliver(held);
    return promise;
  }

  /** The command that waits longest; waits for one for a while. Undefined = there is none. */
  async next(): Promise<Answer | undefined> {
    if (this.#held.size === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancel = this.#clock.after(limits.coapCommandWaitMs, resolve);
      this.#waiting.push(resolve);
      await promise;
      cancel();
      this.#waiting = this.#waiting.filter((wake) => wake !== resolve);
    }
    return this.peek();
  }

  /** The command that waits longest, without waiting. */
  peek(): Answer | undefined {
    for (const held of this.#held.values()) return commandAnswer(held);
    return undefined;
  }

  /** The device has said what has become of a command. @returns false = it does not hold it (any more) */
  settle(tag: string, settlement: Settlement): boolean {
    const held = this.#held.get(tag);
    held?.settle(settlement);
    return held !== undefined;
  }

  /** A new observer is there: what waits is for it. */
  observed(observer: Observer): void {
    if (observer.resource === 'commands') for (const held of this.#held.values()) void this.#deliver(held);
    if (observer.resource === 'methods')
      for (const call of this.#calls.values())
        this.#observers.notify(observer, () => this.#callAnswer(observer, call)).catch(() => undefined);
  }

  /** A method call of a back end's: resolves with the device's answer. @throws Error where the device does not hear of it */
  async method(call: MethodCall, signal: AbortSignal): Promise<MethodAnswer> {
    if (this.#calls.size >= limits.coapMethodsPerDeviceMax) throw new Error('too many methods wait for the device');
    const { promise, resolve, reject } = Promise.withResolvers<MethodAnswer>();
    this.#numbers++;
    const id = this.#numbers.toString(36);
    const told: Call = { id, call, answer: resolve };
    this.#calls.set(id, told);
    signal.addEventListener('abort', () => reject(new Error('the call is not waited for any more')), { once: true });
    try {
      void this.#tellOf(told, () => reject(new Error('the device does not observe its methods')));
      return await promise;
    } finally {
      this.#calls.delete(id);
    }
  }

  /** @returns false = there is no such call (any more) */
  answer(id: string, answer: MethodAnswer): boolean {
    const call = this.#calls.get(id);
    call?.answer(answer);
    return call !== undefined;
  }

  /** Tells observers of a call, the newest first, until one has heard of it. */
  async #tellOf(call: Call, nobody: () => void): Promise<void> {
    for (;;) {
      const observer = this.#observers.of('methods').at(-1);
      if (observer === undefined) return nobody();
      const delivery = await this.#observers
        .notify(observer, () => this.#callAnswer(observer, call))
        .catch(() => 'lost');
      if (delivery === 'acknowledged' || delivery === 'sent') return;
    }
  }

  /** Gives a command to an observer, the newest first: one device with two observers is given it once. */
  async #deliver(held: Held): Promise<void> {
    const id = held.tag.toString('hex');
    for (;;) {
      const observer = this.#observers.of('commands').at(-1);
      // Without an observer it waits for a GET, until its lock is over.
      if (observer === undefined || this.#held.get(id) !== held) return;
      let isRead = false;
      let isAcknowledged = false;
      const settleIfTaken = (): void => {
        if (observer.settlesByAcknowledgement && isRead && isAcknowledged) held.settle('complete');
      };
      const onRead = (): void => {
        isRead = true;
        settleIfTaken();
      };
      const render = (): Answer => this.#sliced(observer, commandAnswer(held), onRead);
      const delivery = await this.#observers.notify(observer, render).catch(() => 'lost');
      if (delivery === 'acknowledged' || delivery === 'sent') {
        isAcknowledged = delivery === 'acknowledged';
        return settleIfTaken();
      }
      // The one that did not answer may have got it: for the hub it counts as a delivery, unless another observer takes it now.
      if (this.#observers.of('commands').length === 0) return held.settle('abandon');
    }
  }

  #callAnswer(observer: Observer, { id, call }: Call): Answer {
    const payload = Buffer.from(JSON.stringify({ id, name: call.name, payload: call.payload }));
    return this.#sliced(observer, { code: codes.content, options: [jsonFormat], payload });
  }
}

/** A command as the device sees it: its body, and of the rest what fits into options. */
function commandAnswer({ command, tag }: Held): Answer {
  const told: CoapOption[] = [{ number: options.etag, value: tag }, ...formatOption(command.contentType)];
  const properties: [string, string | undefined][] = [
    ['$mid', command.messageId],
    ['$cid', command.correlationId],
    ...Object.entries(command.properties),
  ];
  let bytes = 0;
  for (const [name, value] of properties) {
    if (value === undefined) continue;
    const option = textOption(options.locationQuery, `${name}=${value}`);
    // Elective, and so are the properties: one that no option holds is left out, as the page of the adapter says.
    const isTooLong = option.value.length > limits.coapOptionBytesMax;
    if (isTooLong || bytes + option.value.length + 3 > limits.coapCommandOptionBytesMax) continue;
    if (told.length === limits.coapOptionsMax / 2) break;
    bytes += option.value.length + 3;
    told.push(option);
  }
  return { code: codes.content, options: told, payload: Buffer.from(command.body) };
}

/**
 * Requests that OSCORE protects (RFC 8613 section 8), by a context for each device whose secret comes from the device's key:
 * master secret = the 32 bytes of `Host.sharedKey`; no master salt; ID context = the device's id as UTF-8; the device's sender id is
 * empty, the adapter's is `01`. What comes before a device has proved that its request is fresh leaves nothing behind.
 */

import { isUtf8 } from 'node:buffer';
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { limits } from '../../../base/limits.ts';
import { ReplayWindow } from '../../../base/replay-window.ts';
import { type Host, Refused } from '../../../gateway/index.ts';
import {
  type CoapMessage,
  type CoapOption,
  codes,
  empty,
  MalformedCoap,
  optionOf,
  options,
  uintOption,
} from '../../../wire/coap/messages.ts';
import {
  decodeOscoreOption,
  deriveKeys,
  encodeOscoreOption,
  isOuter,
  nonceOf,
  numberBytes,
  type OscoreKeys,
  type RequestId,
  seal,
  unseal,
} from '../../../wire/coap/oscore.ts';
import { type Answer, busy, type Caller, messageOf, type Serve, type Shown } from '../exchange.ts';
import type { OscoreNumbers } from './numbers.ts';

const SERVER_ID = Buffer.of(0x01);
const CLIENT_ID = empty;

interface Context {
  readonly device: string;
  readonly key: Uint8Array;
  readonly keys: OscoreKeys;
  /** What a request must show to prove that it is no older than this context (appendix B.1.2). */
  readonly echo: Buffer;
  /** When it was last looked whether the device's key is still this one; monotonic milliseconds. */
  checkedAt: number;
  /** Undefined = the hub does not know which numbers were taken: it has just begun to know the device. */
  window: ReplayWindow | undefined;
}

export class OscoreContexts {
  readonly #host: Host;
  readonly #numbers: OscoreNumbers;
  readonly #next: Serve;
  readonly #plain: Serve;
  readonly #count: (what: string) => void;
  /** Of devices that have shown their key, in order of their last request. */
  readonly #known = new Map<string, Context>();

  /** @param next Serves what was protected @param plain Serves what was not */
  constructor(host: Host, numbers: OscoreNumbers, next: Serve, plain: Serve) {
    this.#host = host;
    this.#numbers = numbers;
    this.#next = next;
    this.#plain = plain;
    this.#count = (what) => host.metrics.count(what);
  }

  readonly serve: Serve = (message, caller) => {
    const value = optionOf(message, options.oscore);
    if (value === undefined) return this.#plain(message, caller);
    let request: RequestId;
    let device: string;
    try {
      const { number, kid, kidContext } = decodeOscoreOption(value);
      if (number === undefined || kid === undefined || message.payload.length === 0) return refused(codes.badOption);
      if (kidContext === undefined || !kid.equals(CLIENT_ID) || !isUtf8(kidContext)) return refused(codes.unauthorized);
      request = { number: Buffer.from(number), kid: CLIENT_ID };
      device = kidContext.toString('utf8');
    } catch (error) {
      if (error instanceof MalformedCoap) return refused(codes.badOption);
      throw error;
    }
    const known = this.#known.get(device);
    if (known !== undefined) return this.#open(known, request, message, caller);
    return this.#derive(device, caller.peer).then(
      (context) =>
        context === undefined
          ? refused(codes.unauthorized)
          : this.#open(this.#known.get(device) ?? context, request, message, caller),
      // Not to be told from a wrong key would make the device give up.
      (error) => busy((error instanceof Refused && error.retryAfterSeconds) || 5),
    );
  };

  /** The device's key counts no more. */
  revoked(device: string): void {
    this.#known.delete(device);
  }

  async #derive(device: string, peer: string): Promise<Context | undefined> {
    const key = await this.#host.sharedKey(device, peer);
    return key === undefined ? undefined : this.#contextOf(device, key);
  }

  #open(context: Context, request: RequestId, message: CoapMessage, caller: Caller): Answer | Promise<Answer> {
    const number = request.number.readUIntBE(0, request.number.length);
    if (context.window?.isFresh(number) === false) {
      this.#count('oscoreReplays');
      return refused(codes.unauthorized);
    }
    const nonce = nonceOf(context.keys.commonIv, request.kid, request.number);
    let inner: Omit<CoapMessage, 'token'> | undefined;
    try {
      inner = unseal(context.keys.recipientKey, nonce, request, message.payload);
    } catch (error) {
      if (!(error instanceof MalformedCoap)) throw error;
    }
    if (inner === undefined) {
      this.#count('oscoreBroken');
      return this.#openAnew(context, request, message, caller) ?? refused(codes.badRequest);
    }
    this.#keep(context);
    if (context.window === undefined) {
      const echo = optionOf(inner, options.echo);
      if (echo?.length !== context.echo.length || !timingSafeEqual(echo, context.echo)) {
        const challenge = { code: codes.unauthorized, options: [{ number: options.echo, value: context.echo }] };
        return this.#sealed(context, request, challenge, true) ?? refused(codes.serviceUnavailable);
      }
      context.window = new ReplayWindow(limits.coapOscoreWindow, number);
    } else context.window.take(number);
    const proof: Shown = { kind: 'psk', device: context.device, key: context.key };
    caller.proved(proof);
    const given = this.#next(
      { ...inner, token: message.token, options: [...inner.options.filter((one) => !isOuter(one))] },
      this.#callerOf(context, request, caller, proof),
    );
    const answered = (answer: Answer): Answer =>
      this.#sealed(context, request, answer, false) ?? refused(codes.serviceUnavailable);
    return given instanceof Promise ? given.then(answered) : answered(given);
  }

  /** A seal that a kept context does not open may be of a new key of the device. Looked at now and then: anybody can send such. */
  #openAnew(context: Context, request: RequestId, message: CoapMessage, caller: Caller): Promise<Answer> | undefined {
    const now = this.#host.clock.monotonic();
    const isKept = this.#known.get(context.device) === context;
    if (!isKept || now - context.checkedAt < limits.coapOscoreKeyCheckMs) return undefined;
    context.checkedAt = now;
    return this.#host.sharedKey(context.device, caller.peer).then((key) => {
      if (key === undefined || Buffer.compare(key, context.key) === 0) return refused(codes.badRequest);
      if (this.#known.get(context.device) === context) this.#known.delete(context.device);
      return this.#open(this.#contextOf(context.device, key), request, message, caller);
    }, broken);
  }

  #contextOf(device: string, key: Uint8Array): Context {
    const idContext = Buffer.from(device);
    const secret = { masterSecret: key, masterSalt: empty, idContext, senderId: SERVER_ID, recipientId: CLIENT_ID };
    const checkedAt = this.#host.clock.monotonic();
    return { device, key, keys: deriveKeys(secret), echo: randomBytes(8), checkedAt, window: undefined };
  }

  #callerOf(context: Context, request: RequestId, caller: Caller, proof: Shown): Caller {
    return {
      key: `oscore ${context.device} ${caller.key}`,
      peer: caller.peer,
      via: 'oscore',
      proof,
      isAddressProved: true,
      acknowledges: caller.acknowledges,
      proved: () => {},
      notify: (token, answer) => {
        const sealed = this.#sealed(context, request, answer, true);
        return sealed === undefined ? Promise.resolve('lost') : caller.notify(token, sealed);
      },
    };
  }

  /**
   * @param hasNumber True = under a number of the adapter's; false = under the request's, which may be done once (section 8.3)
   * @returns undefined where no number is to be had
   */
  #sealed(context: Context, request: RequestId, answer: Answer, hasNumber: boolean): Answer | undefined {
    const { keys } = context;
    const { options: given, payload } = messageOf(empty, answer);
    const observe = given.find((option) => option.number === options.observe);
    let number: Buffer | undefined;
    // Observers order notifications by their numbers, and the first answer is the first of them.
    if (hasNumber || observe !== undefined) {
      const next = this.#numbers.take();
      if (next === undefined) return undefined;
      number = numberBytes(next);
    }
    const nonce =
      number === undefined
        ? nonceOf(keys.commonIv, request.kid, request.number)
        : nonceOf(keys.commonIv, keys.senderId, number);
    // The order of notifications is told outside; inside there is an empty option (section 4.1.3.5).
    const inner = given.map((option): CoapOption => (option === observe ? { ...option, value: empty } : option));
    const sealed = seal(keys.senderKey, nonce, request, { code: answer.code, options: inner, payload });
    const option = {
      number: options.oscore,
      value: encodeOscoreOption({ number, kid: undefined, kidContext: undefined }),
    };
    return {
      code: observe === undefined ? codes.changed : codes.content,
      options: observe === undefined ? [option] : [observe, option],
      payload: sealed,
    };
  }

  /** Keeps a context as the one that was used last; the one that was used first makes room, and its device shows an Echo again. */
  #keep(context: Context): void {
    if (this.#known.get(context.device) === context && this.#known.size < limits.coapOscoreContextsMax) return;
    this.#known.delete(context.device);
    this.#known.set(context.device, context);
    if (this.#known.size <= limits.coapOscoreContextsMax) return;
    for (const device of this.#known.keys()) {
      this.#known.delete(device);
      break;
    }
  }
}

/** Without a seal, without a word, and not to be kept (section 8.2). */
const broken = (): Answer => refused(codes.badRequest);
const refused = (code: number): Answer => ({ code, options: [uintOption(options.maxAge, 0)] });

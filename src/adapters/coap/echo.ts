/**
 * Shows that an address is its sender's before anything is done for it (RFC 9175 section 2): a request without a fresh Echo is answered by
 * one, in a short message, and nothing is kept. Who does not see the answer cannot repeat the request with it.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import type { HostClock } from '../../gateway/index.ts';
import { codes, optionOf, options } from '../../wire/coap/messages.ts';
import type { Caller, Serve } from './exchange.ts';

const TIME_BYTES = 6;
const SEAL_BYTES = 8;

export class Echo {
  readonly #clock: Pick<HostClock, 'monotonic'>;
  readonly #secret: Buffer;

  constructor(clock: Pick<HostClock, 'monotonic'>, secret: Buffer = randomBytes(32)) {
    this.#clock = clock;
    this.#secret = secret;
  }

  /** Serves who has shown that his address is his; tells the others how to. */
  before(serve: Serve): Serve {
    return (request, caller) => {
      if (caller.isAddressProved || this.#isFresh(optionOf(request, options.echo), caller))
        return serve(request, caller);
      return { code: codes.unauthorized, options: [{ number: options.echo, value: this.#value(caller) }] };
    };
  }

  #value(caller: Caller): Buffer {
    const time = Buffer.alloc(TIME_BYTES);
    time.writeUIntBE(Math.floor(this.#clock.monotonic()), 0, TIME_BYTES);
    return Buffer.concat([time, this.#seal(time, caller)]);
  }

  #isFresh(value: Buffer | undefined, caller: Caller): boolean {
    if (value?.length !== TIME_BYTES + SEAL_BYTES) return false;
    const time = value.subarray(0, TIME_BYTES);
    if (!timingSafeEqual(this.#seal(time, caller), value.subarray(TIME_BYTES))) return false;
    return this.#clock.monotonic() - time.readUIntBE(0, TIME_BYTES) <= limits.coapEchoMs;
  }

  #seal(time: Buffer, { key }: Caller): Buffer {
    return createHmac('sha256', this.#secret).update(time).update(key).digest().subarray(0, SEAL_BYTES);
  }
}

/**
 * Sequence numbers of the adapter's own messages, each given once, also after a crash (RFC 8613 appendix B.1.1): numbers are
 * reserved on the disk before they are used. All contexts draw from one sequence. It begins at random, in a space of 2 ** 39, so
 * that two gateways that know the same devices do not give the same number.
 */
import { randomBytes } from 'node:crypto';
import { limits } from '../../../base/limits.ts';
import type { Host } from '../../../gateway/index.ts';
import { OSCORE_NUMBER_MAX } from '../../../wire/coap/oscore.ts';

const KEY = 'oscore.numbers';

export class OscoreNumbers {
  readonly #host: Host;
  #next = 0;
  #reserved = 0;
  #reserving: Promise<void> | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  /** @throws Error where what was kept cannot be read or written */
  async open(): Promise<void> {
    const kept = await this.#host.memory.get(KEY);
    this.#next = typeof kept === 'number' ? kept : Math.floor(randomBytes(6).readUIntBE(0, 6) / 2 ** 9);
    this.#reserved = this.#next;
    await this.#reserve();
  }

  /** @returns undefined = none is reserved now: nothing can be sealed under a number of the adapter's */
  take(): number | undefined {
    if (this.#reserved - this.#next < limits.coapOscoreNumbersReserved / 2)
      this.#reserve().catch((error) =>
        this.#host.log.error('numbers of OSCORE could not be reserved', { error: String(error) }),
      );
    return this.#next < this.#reserved ? this.#next++ : undefined;
  }

  #reserve(): Promise<void> {
    this.#reserving ??= (async () => {
      try {
        const to = this.#reserved + limits.coapOscoreNumbersReserved;
        if (to > OSCORE_NUMBER_MAX) throw new Error('all numbers were given: the keys of the devices must change');
        await this.#host.memory.set(KEY, to);
        this.#reserved = to;
      } finally {
        this.#reserving = undefined;
      }
    })();
    return this.#reserving;
  }
}

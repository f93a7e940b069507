/**
 * Commands of one device on their way down. A device of class A listens only behind its own uplinks, hours apart: a command's lock is
 * over long before. So a downlink is remembered under its command's message id, and one whose command comes again is not sent twice.
 */
import { limits } from '../../base/limits.ts';
import type { Command, HostClock, Settlement } from '../../gateway/index.ts';
import type { Downlink } from './api-call.ts';
import { CallFailed } from './api-client.ts';
import type { DeviceName } from './events.ts';

/** Sends it to the server. @returns what events will call it @throws CallFailed; what `signal` was aborted with */
export type Send = (downlink: Downlink, signal: AbortSignal) => Promise<string>;

export interface DownlinkDefaults {
  readonly fPort: number;
  readonly confirmed: boolean;
}

interface Pending {
  /** What the server calls it; undefined until it has taken it. */
  reference: string | undefined;
  outcome: 'arrived' | 'failed' | undefined;
  settled: () => void;
  readonly whenSettled: Promise<void>;
}

export class Downlinks {
  readonly #send: Send;
  readonly #defaults: DownlinkDefaults;
  readonly #clock: HostClock;
  /** By message id of the command. */
  readonly #pending = new Map<string, Pending>();

  constructor(send: Send, defaults: DownlinkDefaults, clock: HostClock) {
    this.#send = send;
    this.#defaults = defaults;
    this.#clock = clock;
  }

  /**
   * Sends a command down, and settles it: a confirmed one when the device has acknowledged it, another one when the server has it.
   * @throws Error that is to abandon it, or what `signal` was aborted with
   */
  async command(
    device: DeviceName,
    command: Command,
    signal: AbortSignal,
  ): Promise<Settlement | { readonly rejected: string }> {
    const id = command.messageId ?? command.id;
    const { fPort, confirmed, problem } = wishes(command, this.#defaults);
    if (problem !== undefined) return { rejected: problem };
    let pending = this.#pending.get(id);
    if (pending?.reference === undefined) {
      if (pending === undefined && this.#pending.size >= limits.lorawanDownlinksPerDeviceMax) this.#forgetOldest();
      const { promise, resolve } = Promise.withResolvers<void>();
      pending = { reference: undefined, outcome: undefined, settled: resolve, whenSettled: promise };
      this.#pending.set(id, pending);
      try {
        pending.reference = await this.#untilTaken(
          { device, payload: Buffer.from(command.body), fPort, confirmed, id },
          signal,
        );
      } catch (error) {
        this.#pending.delete(id);
        if (error instanceof CallFailed && !error.retry) return { rejected: error.message };
        throw error;
      }
    }
    // Without an id of its own a command cannot be known again when it comes a second time.
    if (!confirmed || command.messageId === undefined) {
      this.#pending.delete(id);
      return 'complete';
    }
    await Promise.race([pending.whenSettled, aborted(signal)]);
    this.#pending.delete(id);
    if (pending.outcome === 'arrived') return 'complete';
    return 'abandon';
  }

  /** None is on its way. */
  get isIdle(): boolean {
    return this.#pending.size === 0;
  }

  /** What the server says of a downlink. */
  told(ids: readonly string[], outcome: 'arrived' | 'failed'): void {
    for (const [id, pending] of this.#pending) {
      if (!ids.includes(id) && !(pending.reference !== undefined && ids.includes(pending.reference))) continue;
      pending.outcome = outcome;
      pending.settled();
    }
  }

  /** Until the server has it, for as long as the command's lock lasts. */
  async #untilTaken(downlink: Downlink, signal: AbortSignal): Promise<string> {
    for (let pauseMs: number = limits.lorawanRetryMsMin; ; pauseMs = Math.min(2 * pauseMs, limits.lorawanRetryMsMax)) {
      try {
        return await this.#send(downlink, signal);
      } catch (error) {
        if (signal.aborted || !(error instanceof CallFailed) || !error.retry) throw error;
      }
      let cancel = (): void => {};
      const pause = new Promise<void>((resolve) => {
        cancel = this.#clock.after(pauseMs, resolve);
      });
      await Promise.race([pause, aborted(signal)]).finally(cancel);
    }
  }

  #forgetOldest(): void {
    for (const id of this.#pending.keys()) {
      this.#pending.delete(id);
      return;
    }
  }
}

interface Wishes extends DownlinkDefaults {
  readonly problem?: string;
}

/** What a command's properties `fPort` and `confirmed` say. */
function wishes({ properties, body }: Command, defaults: DownlinkDefaults): Wishes {
  const fPort = properties.fPort === undefined ? defaults.fPort : Number(properties.fPort);
  const confirmed = properties.confirmed === undefined ? defaults.confirmed : properties.confirmed === 'true';
  const found = { fPort, confirmed };
  if (!Number.isInteger(fPort) || fPort < 1 || fPort > 223)
    return { ...found, problem: 'its property fPort is not a number from 1 to 223' };
  if (body.length > limits.lorawanPayloadBytesMax) {
    return {
      ...found,
      problem: `its body has ${body.length} bytes, a LoRaWAN frame holds at most ${limits.lorawanPayloadBytesMax}`,
    };
  }
  return found;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

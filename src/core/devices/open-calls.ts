import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';

/** One of them. */
class OpenCall extends AbortController {
  /** The device may have heard of it. */
  hasBegun = false;
}

/** The calls that wait for the answer of one device. Made with the first: an idle connection has none. */
export class OpenCalls {
  readonly #open = new Set<OpenCall>();

  /**
   * @param answer gets a signal that is aborted when the caller does not wait any more or the connection ends, and what it calls
   *   before it lets the device hear of the call.
   * @throws what `answer` rejects with; the signal's reason; HubError DeviceNotOnline (the connection has ended before the device
   *   heard of it), DeviceConnectionClosedRemotely (after that), ThrottlingException.
   */
  async run(
    answer: (signal: AbortSignal, begins: () => void) => Promise<unknown>,
    caller: AbortSignal,
  ): Promise<unknown> {
    caller.throwIfAborted();
    const max = limits.deviceCallsMax;
    if (this.#open.size >= max) {
      throw new HubError('ThrottlingException', 'Too many calls wait for the answer of this device.', {
        limit: { name: 'deviceCallsMax', scope: 'connection', current: this.#open.size, max },
      });
    }
    const own = new OpenCall();
    const abort = (): void => own.abort(caller.reason);
    caller.addEventListener('abort', abort, { once: true });
    this.#open.add(own);
    try {
      return await new Promise((resolve, reject) => {
        own.signal.addEventListener('abort', () => reject(own.signal.reason), { once: true });
        const begins = (): void => {
          own.hasBegun = true;
        };
        answer(own.signal, begins).then(resolve, reject);
      });
    } finally {
      this.#open.delete(own);
      caller.removeEventListener('abort', abort);
    }
  }

  /** The connection has ended: nothing is answered any more. */
  end(): void {
    for (const call of this.#open) {
      // The first in the words of the emulated service (twins reference 5).
      const gone = call.hasBegun
        ? new HubError('DeviceConnectionClosedRemotely', 'Device unavailable')
        : new HubError('DeviceNotOnline');
      call.abort(gone);
    }
  }
}

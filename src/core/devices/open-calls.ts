import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';

/** The calls that wait for the answer of one device. Made with the first: an idle connection has none. */
export class OpenCalls {
  readonly #open = new Set<AbortController>();

  /**
   * @param answer gets a signal that is aborted when the caller does not wait any more or the connection ends.
   * @throws what `answer` rejects with; the signal's reason; HubError DeviceNotOnline (the connection has ended),
   *   ThrottlingException.
   */
  async run(answer: (signal: AbortSignal) => Promise<unknown>, caller: AbortSignal): Promise<unknown> {
    caller.throwIfAborted();
    const max = limits.deviceCallsMax;
    if (this.#open.size >= max) {
      throw new HubError('ThrottlingException', 'Too many calls wait for the answer of this device.', {
        limit: { name: 'deviceCallsMax', scope: 'connection', current: this.#open.size, max },
      });
    }
    const own = new AbortController();
    const abort = (): void => own.abort(caller.reason);
    caller.addEventListener('abort', abort, { once: true });
    this.#open.add(own);
    try {
      return await new Promise((resolve, reject) => {
        own.signal.addEventListener('abort', () => reject(own.signal.reason), { once: true });
        answer(own.signal).then(resolve, reject);
      });
    } finally {
      this.#open.delete(own);
      caller.removeEventListener('abort', abort);
    }
  }

  /** The connection has ended: nothing is answered any more. */
  end(): void {
    for (const call of this.#open) call.abort(new HubError('DeviceNotOnline'));
  }
}

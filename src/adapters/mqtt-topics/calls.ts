/** Methods of one device that wait for its answer. */
import { limits } from '../../base/limits.ts';
import type { HostClock, MethodAnswer } from '../../gateway/index.ts';
import { parsedBody } from './body.ts';
import type { Match } from './rules.ts';

interface Waiting {
  readonly dialect: string;
  readonly answer: (answer: MethodAnswer) => void;
}

export class Calls {
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  /** Number of the next call. */
  next(): number {
    this.#last = (this.#last % 0x3fffffff) + 1;
    return this.#last;
  }

  get isFull(): boolean {
    return this.#waiting.size >= limits.mqttTopicsMethodsPerDeviceMax;
  }

  /** Resolves with the answer, or with status 504 after `seconds`. @throws what `signal` was aborted with */
  wait(
    id: number,
    dialect: string,
    clock: HostClock,
    seconds: number,
    signal: AbortSignal,
  ): { readonly answer: Promise<MethodAnswer>; end(): void } {
    let end = (): void => {};
    const answer = new Promise<MethodAnswer>((resolve, reject) => {
      const cancel = clock.after(seconds * 1000, () =>
        resolve({ status: 504, payload: `no answer within ${seconds} seconds` }),
      );
      const aborted = (): void => reject(signal.reason);
      signal.addEventListener('abort', aborted, { once: true });
      end = () => {
        cancel();
        signal.removeEventListener('abort', aborted);
        this.#waiting.delete(id);
      };
      this.#waiting.set(id, { dialect, answer: resolve });
    });
    answer.catch(() => {});
    return { answer, end };
  }

  /** Whether a call waited for this message. */
  take(match: Match, payload: Buffer): boolean {
    if (this.#waiting.size === 0) return false;
    const { id, status, result, error } = match.rule;
    const value = parsedBody(payload);
    const members = (value !== null && typeof value === 'object' ? value : {}) as Record<string, unknown>;
    const call = id === undefined ? this.#oldest(match.dialect) : this.#waiting.get(Number(members[id]));
    if (call === undefined) return false;
    const failed = error !== undefined && members[error] !== undefined;
    const said = status === undefined ? undefined : Number(members[status]);
    call.answer({
      status: said !== undefined && Number.isInteger(said) ? said : failed ? 500 : 200,
      payload: failed ? members[error] : result === undefined ? value : members[result],
    });
    return true;
  }

  #oldest(dialect: string): Waiting | undefined {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.dialect !== dialect) continue;
      // The next answer is that of the next call.
      this.#waiting.delete(id);
      return waiting;
    }
    return undefined;
  }
}

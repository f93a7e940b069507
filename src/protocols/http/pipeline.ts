import type net from 'node:net';
import { limits } from '../../base/limits.ts';

/**
 * The requests of one connection, which are carried out one after the other: who sends many at once (pipelining, RFC 9112
 * section 9.3) gets the turn of one connection, and no more of the queues behind the door. Those that wait have been
 * parsed, which costs some kilobytes for some bytes; so only few may, and no SDK sends more than one.
 */
export class Pipeline {
  readonly #socket: net.Socket;
  readonly #waiting: (() => void)[] = [];
  #isBusy = false;

  constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  get isIdle(): boolean {
    return !this.#isBusy;
  }

  /** Carries the request out, at once or when those before it have been answered; `ended` must follow. */
  begin(carryOut: () => void): void {
    if (!this.#isBusy) {
      this.#isBusy = true;
      carryOut();
    } else if (this.#waiting.length < limits.httpPipelinedMax) this.#waiting.push(carryOut);
    else this.#socket.destroy();
  }

  /** A request has been answered, or its connection has gone. */
  ended(): void {
    const next = this.#waiting.shift();
    this.#isBusy = next !== undefined && !this.#socket.destroyed;
    if (this.#isBusy) next?.();
  }
}

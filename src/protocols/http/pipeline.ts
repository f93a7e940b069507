import type http from 'node:http';
import type net from 'node:net';
import { limits } from '../../base/limits.ts';

/**
 * The requests of one connection, which are carried out one after the other: who sends many at once (pipelining, RFC 9112
 * section 9.3) gets the turn of one connection, and no more of the queues behind the door. Those that wait have been
 * parsed, which costs some kilobytes for some bytes; so only few may, and no SDK sends more than one.
 */
export class Pipeline {
  readonly #socket: net.Socket;
  readonly #waiting: { readonly response: http.ServerResponse; readonly carryOut: () => void }[] = [];
  #isBusy = false;
  #response: http.ServerResponse | undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  get isIdle(): boolean {
    return !this.#isBusy;
  }

  /** Whether an answer has begun whose request still comes, or that is still being sent. */
  get isAnswering(): boolean {
    return this.#response?.headersSent === true && !(this.#response.writableEnded && this.#response.req.complete);
  }

  /** Carries the request out, at once or when those before it have been answered; `ended` must follow. */
  begin(response: http.ServerResponse, carryOut: () => void): void {
    if (!this.#isBusy) {
      this.#isBusy = true;
      this.#response = response;
      carryOut();
    } else if (this.#waiting.length < limits.httpPipelinedMax) this.#waiting.push({ response, carryOut });
    else this.#socket.destroy();
  }

  /** A request has been answered, or its connection has gone. */
  ended(): void {
    // Nothing is kept for a connection that rests.
    if (this.#response?.req.complete) this.#response = undefined;
    const next = this.#waiting.shift();
    this.#isBusy = next !== undefined && !this.#socket.destroyed;
    if (next === undefined || !this.#isBusy) return;
    this.#response = next.response;
    next.carryOut();
  }
}

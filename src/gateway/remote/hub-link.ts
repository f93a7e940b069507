import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../types.ts';
import { HubConnection, type HubCredential, type HubPlace } from './amqp/connection.ts';
import { HubFailure } from './amqp/failure.ts';

export interface HubLinkParts {
  readonly place: HubPlace;
  readonly credential: HubCredential;
  readonly clock: Clock;
  /** From 0 up to 1; absent = the machine's. */
  readonly random?: () => number;
  readonly log: Log;
  readonly idleMs?: number;
  /** The hub is reached. */
  readonly linked: (connection: HubConnection) => void;
  /** The connection is gone. */
  readonly lost: () => void;
}

/** Keeps one connection to the hub: comes back after growing pauses, none of which is like another gateway's. */
export class HubLink {
  readonly #parts: HubLinkParts;
  #connection: HubConnection | undefined;
  #failure: HubFailure | undefined;
  #isStopping = false;
  #attempts = 0;
  #cancelPause: Cancel = () => {};
  /** Connections that were made. */
  connects = 0;
  /** Bytes of those that are over. */
  readonly #bytes = { sent: 0, received: 0 };

  constructor(parts: HubLinkParts) {
    this.#parts = parts;
  }

  /** Undefined while the hub cannot be reached. */
  get connection(): HubConnection | undefined {
    return this.#connection;
  }

  /** Why the hub cannot be reached now. */
  get failure(): HubFailure | undefined {
    return this.#failure;
  }

  /** Of all connections so far. */
  get bytes(): { readonly sent: number; readonly received: number } {
    const { sent = 0, received = 0 } = this.#connection?.bytes ?? {};
    return { sent: this.#bytes.sent + sent, received: this.#bytes.received + received };
  }

  start(): void {
    void this.#connect();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelPause();
    await this.#connection?.close();
  }

  /** Never rejects. */
  async #connect(): Promise<void> {
    const { place, credential, clock, idleMs, log, linked, lost } = this.#parts;
    let connection: HubConnection;
    try {
      connection = await HubConnection.open(place, credential, clock, idleMs);
    } catch (error) {
      this.#failed(error instanceof HubFailure ? error : new HubFailure('unreachable', String(error)));
      return;
    }
    if (this.#isStopping) {
      await connection.close();
      return;
    }
    const since = clock.monotonic();
    this.#connection = connection;
    this.#failure = undefined;
    this.connects++;
    log.info('the hub is reached', { host: place.host, port: place.port });
    try {
      linked(connection);
    } catch (error) {
      // The gateway's own disk, say. Nothing was sent of what it holds: both begin anew.
      this.#connection = undefined;
      const why = error instanceof Error ? error.message : String(error);
      const failure = new HubFailure('own', `The gateway cannot read its queue (${why}): see its disk.`);
      connection.abandon(failure);
      lost();
      this.#failed(failure);
      return;
    }
    const failure = await connection.ended;
    const { sent, received } = connection.bytes;
    this.#bytes.sent += sent;
    this.#bytes.received += received;
    this.#connection = undefined;
    lost();
    // A hub that lets the gateway in and ends it at once is not asked without a pause.
    if (clock.monotonic() - since > limits.gatewayPauseMsMax) this.#attempts = 0;
    this.#failed(failure);
  }

  #failed(failure: HubFailure): void {
    if (this.#isStopping) return;
    const { clock, random = Math.random, log } = this.#parts;
    const isNew = this.#failure?.message !== failure.message;
    this.#failure = failure;
    const most = Math.min(limits.gatewayPauseMsMax, limits.gatewayPauseMsMin * 2 ** Math.min(16, this.#attempts++));
    // Between a half and the whole: a hub that is back is not met by all of its gateways at once.
    const pauseMs = most * (0.5 + random() / 2);
    const facts = { error: failure.message, retryInSeconds: Math.ceil(pauseMs / 1000) };
    if (isNew) log.warn('the hub cannot be reached', facts);
    else log.debug('the hub cannot be reached', facts);
    this.#cancelPause = clock.after(pauseMs, () => void this.#connect());
  }
}

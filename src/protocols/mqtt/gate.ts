import type { Link } from './link.ts';

/** Reasons not to read from a connection, one bit each. */
export const holds = {
  handshake: 1,
  /** A subscription becomes durable, or the store is asked from which version on its desired properties are told. */
  saving: 2,
  /** Too many messages of this connection wait for the disk. */
  inflight: 4,
  /** Too many messages of all connections do. */
  congestion: 8,
  /** The peer does not read what it is sent. */
  output: 16,
  /** The hub stops. */
  drain: 32,
  closed: 64,
  /** The device has sent more than it may for now. */
  throttle: 128,
  /** It has had its share of this turn of the event loop. */
  turn: 256,
  /** Too many requests to its twin wait for the store. */
  twin: 512,
} as const;

export type Hold = (typeof holds)[keyof typeof holds];

/**
 * What is read, or not. While any hold is set the link is paused, so bytes wait with the peer and not here. `MqttConnection` extends
 * this class instead of holding an object: each idle connection has one object less. `Claimant` is used the same way.
 */
export abstract class Gated {
  readonly link: Link;
  #holds = 0;

  constructor(link: Link) {
    this.link = link;
  }

  protected get isOpen(): boolean {
    return this.#holds === 0;
  }

  /** @param some one or more holds; whether any of them is set. */
  has(some: number): boolean {
    return (this.#holds & some) !== 0;
  }

  hold(hold: Hold): void {
    if (this.#holds === 0) this.link.pause();
    this.#holds |= hold;
  }

  /** Takes the packets that have come already, before more are asked for. That may set a hold again. */
  release(hold: Hold): void {
    if ((this.#holds & hold) === 0) return;
    this.#holds &= ~hold;
    if (this.#holds === 0) this.read();
    if (this.#holds === 0) this.link.resume();
  }

  /** Takes what has come, until there is none or a hold is set. */
  protected abstract read(): void;
}

import { type AmqpError, detachFrame } from '../../../wire/amqp/performatives.ts';
import { type Attach, forgotten } from './attach.ts';
import type { LinkSession } from './link-session.ts';

/**
 * One end of a link. `opening` until the hub has decided; `detaching` when the hub has ended it and the peer has not said
 * so yet: what still arrives on it is ignored.
 */
export abstract class Link {
  readonly session: LinkSession;
  #attach: Attach;
  /** What the link counts for among the connection's, in bytes of memory. */
  keptBytes = 0;
  state: 'opening' | 'open' | 'detaching' | 'closed' = 'opening';
  /** Why the hub has ended it, or its session or connection; undefined = the peer has, or nobody yet. */
  endedBy: AmqpError | undefined;
  #listeners: (() => void)[] = [];

  constructor(session: LinkSession, attach: Attach) {
    this.session = session;
    this.#attach = attach;
  }

  /** What the peer asked for; of a link that is over, its handle only: the peer may never answer a detach. */
  get attach(): Attach {
    return this.#attach;
  }

  /** The peer's node at the hub, as it wrote it. */
  get address(): string | undefined {
    const { peerReceives, sourceAddress, targetAddress } = this.#attach;
    return peerReceives ? sourceAddress : targetAddress;
  }

  /** Calls `listener` once when the link is over, whichever end ended it; now, if it is over already. */
  whenClosed(listener: () => void): void {
    if (this.state === 'opening' || this.state === 'open') this.#listeners.push(listener);
    else listener();
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  /**
   * Ends the link. One that was still opening is attached first, with the peer's termini (service reference 5.8: Python's
   * azure-eventhub takes an attach without them for a broken link), or without them where a redirect wants it so.
   */
  detach(error: AmqpError | undefined, options: { readonly withoutTermini?: boolean } = {}): void {
    if (this.state === 'opening') this.writeAttach(options.withoutTermini !== true);
    else if (this.state !== 'open') return;
    this.endedBy = error;
    this.#closeAs('detaching');
    this.session.write(detachFrame(this.session.channel, this.attach.handle, true, error));
  }

  /** The peer has ended the link, or answered that the hub did. */
  peerDetached(closed: boolean): void {
    if (this.state === 'opening') this.writeAttach(true);
    const mustAnswer = this.state !== 'detaching';
    this.#closeAs('closed');
    if (mustAnswer) this.session.write(detachFrame(this.session.channel, this.attach.handle, closed));
  }

  /** Session or connection are gone: nothing can be said any more. @param error why the hub has ended them */
  abandon(error?: AmqpError): void {
    this.endedBy ??= error;
    this.#closeAs('closed');
  }

  protected abstract writeAttach(hasTermini: boolean): void;

  #closeAs(state: 'detaching' | 'closed'): void {
    const wasLive = this.state === 'opening' || this.state === 'open';
    this.state = state;
    if (!wasLive) return;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
    this.#attach = forgotten(this.#attach);
  }
}

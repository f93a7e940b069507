import { limits } from '../../base/limits.ts';
import type { Frame } from '../../wire/amqp/frames.ts';
import { type AmqpError, performative } from '../../wire/amqp/performatives.ts';
import { AmqpDecodeError } from '../../wire/amqp/values.ts';
import type { AnyLink } from './link.ts';
import { Session } from './session.ts';

/** What the sessions need of their connection. */
export interface ChannelsHost {
  write(bytes: Buffer): void;
  /** Bytes of the largest frame that the peer takes. */
  peerFrameBytesMax(): number;
  /** The peer attaches a link: it is to be opened or refused, now or later. */
  linkAttached(link: AnyLink): void;
}

/** The sessions of one connection by their channel (part 2 section 2.5.1), and how many links they have together. */
export class Channels {
  readonly #host: ChannelsHost;
  readonly #sessions = new Map<number, Session>();
  /** Channels whose session has ended: some SDKs still speak of their links on them, and are not listened to. */
  readonly #ended = new Set<number>();
  #links = 0;
  /** Bytes kept of messages that have begun, of all links together. */
  #partialBytes = 0;

  constructor(host: ChannelsHost) {
    this.#host = host;
  }

  *links(): Generator<AnyLink> {
    for (const session of this.#sessions.values()) yield* session.links.values();
  }

  /** Takes a frame of a session. @throws AmqpDecodeError ends the connection. */
  frame(frame: Frame, code: number): void {
    const { channel } = frame;
    if (code === performative.begin) {
      this.#begin(frame);
      return;
    }
    const session = this.#sessions.get(channel);
    if (session === undefined) {
      if (this.#ended.has(channel)) return;
      throw new AmqpDecodeError(`channel ${channel} has no session`, 'amqp:not-allowed');
    }
    if (code === performative.end) {
      this.#sessions.delete(channel);
      this.#ended.add(channel);
      session.peerEnded();
    } else {
      session.peerFrame(code, frame.fields, frame.raw, frame.payload);
    }
  }

  /** Room in the socket has come. */
  drained(): void {
    for (const link of this.links()) if ('onSendable' in link && link.isOpen) link.onSendable();
  }

  /** Ends every session with an error. */
  end(error: AmqpError): void {
    const sessions = [...this.#sessions];
    this.#sessions.clear();
    for (const [channel, session] of sessions) {
      this.#ended.add(channel);
      session.end(error);
    }
  }

  /** Lets go of every session without a word. */
  abandon(): void {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) session.abandon();
  }

  #begin({ channel, fields }: Frame): void {
    if (channel >= limits.amqpSessionsMax) {
      throw new AmqpDecodeError(`channels end at ${limits.amqpSessionsMax - 1}`, 'amqp:framing-error');
    }
    if (this.#sessions.has(channel)) {
      throw new AmqpDecodeError(`channel ${channel} has a session already`, 'amqp:not-allowed');
    }
    this.#ended.delete(channel);
    const session = new Session(channel, fields, {
      peerFrameBytesMax: () => this.#host.peerFrameBytesMax(),
      write: (bytes) => this.#host.write(bytes),
      linkAttached: (link) => this.#host.linkAttached(link),
      takePlace: () => {
        if (this.#links >= limits.amqpLinksMax) return false;
        this.#links++;
        return true;
      },
      leavePlace: () => {
        this.#links--;
      },
      reserve: (bytes) => {
        if (this.#partialBytes + bytes > limits.amqpPartialBytesMax) return false;
        this.#partialBytes += bytes;
        return true;
      },
      unreserve: (bytes) => {
        this.#partialBytes -= bytes;
      },
    });
    this.#sessions.set(channel, session);
  }
}

import { limits } from '../../../base/limits.ts';
import type { Frame } from '../../../wire/amqp/frames.ts';
import { type AmqpError, performative } from '../../../wire/amqp/performatives.ts';
import { AmqpDecodeError } from '../../../wire/amqp/values.ts';
import type { AnyLink } from './any-link.ts';
import type { KeptBytes } from './kept-bytes.ts';
import { Session, type SessionHost } from './session.ts';
import { Wakes } from './wakes.ts';

/** What the sessions need of their connection. */
export interface ChannelsHost {
  write(bytes: Buffer): void;
  /** Bytes of the largest frame that the peer takes. */
  peerFrameBytesMax(): number;
  /** The peer attaches a link: it is to be opened or refused, now or later. */
  linkAttached(link: AnyLink): void;
  /** So much was done for one frame: `1` stands for what a small frame costs. */
  worked(units: number): void;
}

/** What a session and a link take in memory beside what their performatives say, in bytes, measured. */
const SESSION_BYTES = 1024;
const LINK_BYTES = 1024;
const REFUSED_HANDLE_BYTES = 64;
/** What an attach costs, refused or not: a name to look up, a proof to ask, an answer, perhaps a line of the log. */
const ATTACH_UNITS = 15;
/** Deliveries that can be looked through in the time that a small frame takes. */
const DELIVERIES_PER_UNIT = 32;

/** The sessions of one connection by their channel (part 2 section 2.5.1), and how many links they have together. */
export class Channels {
  readonly #host: ChannelsHost;
  readonly #kept: KeptBytes;
  readonly #sessions = new Map<number, Session>();
  /** Channels whose session has ended: some SDKs still speak of their links on them, and are not listened to. */
  readonly #ended = new Set<number>();
  readonly #wakes = new Wakes();
  readonly #sessionHost: SessionHost;
  #links = 0;
  #refusedHandles = 0;
  #unsettled = 0;
  /** Bytes kept of messages that have begun, of all links together. */
  #partialBytes = 0;

  /** @param kept counts what sessions and links keep */
  constructor(host: ChannelsHost, kept: KeptBytes) {
    this.#host = host;
    this.#kept = kept;
    this.#sessionHost = this.#hostOfSessions();
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
      this.#kept.give(SESSION_BYTES);
      this.#host.worked(session.linkCount);
      session.peerEnded();
    } else {
      if (code === performative.attach) this.#host.worked(ATTACH_UNITS);
      try {
        session.peerFrame(code, frame);
      } catch (error) {
        if (error instanceof AmqpDecodeError) error.subject ??= session.addressOf(code, frame);
        throw error;
      }
    }
  }

  /** Room in the socket has come. */
  drained(): void {
    this.#wakes.drained();
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

  /** Drops every session and tells the peer nothing. */
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
    if (!this.#kept.take(SESSION_BYTES)) {
      throw new AmqpDecodeError('the connection keeps too much for another session', 'amqp:resource-limit-exceeded');
    }
    this.#ended.delete(channel);
    this.#sessions.set(channel, new Session(channel, fields, this.#sessionHost));
  }

  #hostOfSessions(): SessionHost {
    return {
      wakes: this.#wakes,
      worked: (units) => this.#host.worked(units),
      peerFrameBytesMax: () => this.#host.peerFrameBytesMax(),
      write: (bytes) => this.#host.write(bytes),
      linkAttached: (link) => this.#host.linkAttached(link),
      takePlace: (bytes) => {
        if (this.#links >= limits.amqpLinksMax || !this.#kept.take(LINK_BYTES + bytes)) return false;
        this.#links++;
        return true;
      },
      leavePlace: (bytes) => {
        this.#links--;
        this.#kept.give(LINK_BYTES + bytes);
      },
      reserve: (bytes) => {
        if (this.#partialBytes + bytes > limits.amqpPartialBytesMax) return false;
        this.#partialBytes += bytes;
        return true;
      },
      unreserve: (bytes) => {
        this.#partialBytes -= bytes;
      },
      refuseHandle: () => {
        if (this.#refusedHandles >= limits.amqpLinksMax || !this.#kept.take(REFUSED_HANDLE_BYTES)) {
          throw new AmqpDecodeError('too many attaches were refused', 'amqp:resource-limit-exceeded');
        }
        this.#refusedHandles++;
      },
      freeHandles: (count) => {
        this.#refusedHandles -= count;
        this.#kept.give(count * REFUSED_HANDLE_BYTES);
      },
      unsettled: {
        take: () => {
          if (this.#unsettled >= limits.amqpUnsettledMax) return false;
          this.#unsettled++;
          return true;
        },
        leave: (count) => {
          const wasFull = this.#unsettled >= limits.amqpUnsettledMax;
          this.#unsettled -= count;
          if (wasFull && count > 0) this.#wakes.drained();
        },
        worked: (deliveries) => this.#host.worked(Math.floor(deliveries / DELIVERIES_PER_UNIT)),
      },
    };
  }
}

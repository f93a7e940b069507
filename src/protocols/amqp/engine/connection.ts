import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import { work } from '../../../base/work.ts';
import { clipped } from '../../../core/monitoring/concerned.ts';
import type { DisconnectReason } from '../../../core/presence/types.ts';
import {
  FRAME_AMQP,
  FRAME_SASL,
  type Frame,
  type Input,
  PROTOCOL_AMQP,
  PROTOCOL_SASL,
  protocolHeader,
} from '../../../wire/amqp/frames.ts';
import {
  type AmqpError,
  closeFrame,
  emptyFrame,
  openFrame,
  performative,
  saslMechanismsFrame,
  saslOutcomeFrame,
} from '../../../wire/amqp/performatives.ts';
import { AmqpDecodeError, type AmqpValue } from '../../../wire/amqp/values.ts';
import type { AnyLink } from './any-link.ts';
import { Channels } from './channels.ts';
import { Intake } from './intake.ts';
import { KeptBytes, UnprovedBytes } from './kept-bytes.ts';
import { Liveness } from './liveness.ts';
import { Probation } from './probation.ts';
import { readSaslInit, type SaslInit, saslMechanisms } from './sasl.ts';

export type SaslDecision = 'accepted' | 'refused' | 'later';

const saslCodes = { accepted: 0, refused: 1, later: 4 } as const;

/** Who decides what a peer may do; the connection only speaks the protocol. */
export interface ConnectionOwner {
  /** Takes the peer's SASL answer. Resolves to whether it may go on, or should try again later; never rejects. */
  authenticate(init: SaslInit): Promise<SaslDecision>;
  linkAttached(link: AnyLink): void;
  /** The hub ends the connection, whose links are told next. @param detail for people: which rule, and with what */
  closing?(reason: DisconnectReason, detail: string | undefined): void;
  /** The connection is gone; its links that are left are told next. */
  closed(): void;
}

export interface ConnectionOptions {
  readonly containerId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Of all connections of this thread; absent = this one is alone. */
  readonly unproved?: UnprovedBytes;
}

const tooMuchKept: AmqpError = {
  condition: 'amqp:resource-limit-exceeded',
  description: 'Connections on which nobody has authenticated keep too much.',
};

type State =
  | 'protocol' // waits for the first header
  | 'sasl' // waits for sasl-init
  | 'header' // SASL is done: waits for the AMQP header
  | 'opening' // waits for open
  | 'open'
  | 'closing' // the hub has closed, and waits for the peer's close
  | 'closed';

/**
 * One AMQP 1.0 connection over one byte stream (part 2 section 2.4; part 5 section 5.3). Owns the stream. Whatever comes
 * in is bounded before it is looked at: frames by the splitter, bytes before authentication by a count, sessions and
 * links by number; and while the peer does not read, the hub does not read either.
 */
export class AmqpConnection {
  readonly #stream: Duplex;
  /** The stream takes several buffers in one write as they are; TLS copies them into a new one, a WebSocket sends each. */
  readonly #canGather: boolean;
  readonly #owner: ConnectionOwner;
  readonly #options: ConnectionOptions;
  readonly #intake: Intake;
  readonly #channels: Channels;
  readonly #probation: Probation;
  readonly #kept: KeptBytes;
  #state: State = 'protocol';
  #peerFrameBytesMax: number = limits.amqpFrameBytesMax;
  #peerHost = '';
  readonly #liveness: Liveness;
  /** Cuts the stream when the peer does not answer a close. */
  #cancelCut: Cancel = () => {};

  constructor(stream: Duplex, owner: ConnectionOwner, options: ConnectionOptions) {
    this.#stream = stream;
    this.#canGather = stream instanceof Socket && !(stream instanceof TLSSocket);
    this.#owner = owner;
    this.#options = options;
    this.#liveness = new Liveness(options.clock);
    this.#kept = new KeptBytes(options.unproved ?? new UnprovedBytes(), () => this.close(tooMuchKept));
    this.#channels = new Channels(
      {
        write: (bytes) => this.write(bytes),
        peerFrameBytesMax: () => this.#peerFrameBytesMax,
        linkAttached: (link) => owner.linkAttached(link),
        worked: (units) => this.#intake.worked(units),
      },
      this.#kept,
    );
    this.#intake = new Intake(limits.amqpFrameBytesMaxUnauthenticated, {
      take: (input) => this.#take(input),
      failed: (error) => this.#fail(error),
      pause: () => stream.pause(),
      resume: () => this.#resume(),
      cork: () => stream.cork(),
      uncork: () => stream.uncork(),
    });
    stream.on('data', (chunk: Buffer) => this.#input(chunk));
    stream.on('drain', () => this.#drained());
    stream.on('error', (error) => options.log.debug({ error: error.message }, 'the AMQP stream broke'));
    stream.on('end', () => stream.end());
    stream.on('close', () => this.#gone());
    this.#probation = new Probation(options.clock, () => {
      if (this.#state !== 'open') this.#destroy();
      else this.close({ condition: 'amqp:unauthorized-access', description: 'Nobody has authenticated in time.' });
    });
  }

  /** The host that the peer says it has dialled, as its open carries it. */
  get peerHost(): string {
    return this.#peerHost;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Bytes that were written and that the socket has not taken yet. */
  get unsentBytes(): number {
    return this.#stream.writableLength;
  }

  /** From now on the peer has the full frame size and no deadline. */
  authenticated(): void {
    if (this.#probation.isOver) return;
    this.#probation.pass();
    this.#kept.prove();
    this.#intake.splitter.frameBytesMax = limits.amqpFrameBytesMax;
  }

  write(bytes: Buffer): void {
    if (this.#state === 'closed') return;
    this.#liveness.said();
    this.#stream.write(bytes);
  }

  /** What is written from here to `uncork` may leave in one write. */
  cork(): void {
    if (this.#canGather) this.#stream.cork();
  }

  uncork(): void {
    if (this.#canGather) this.#stream.uncork();
  }

  /** Does not read from the peer until the returned function is called. */
  hold(): () => void {
    return this.#intake.hold();
  }

  /**
   * Says why and ends; the peer has a while to answer. An error ends the sessions first: the Node device SDK, when it hears
   * of the end of its connection alone, asks for the end of each link, which nobody may answer any more, and goes on 45
   * seconds later.
   * @param reason as monitoring tells it. @param detail for people: which rule was broken, and with what
   */
  close(error?: AmqpError, reason: DisconnectReason = 'protocol-error', detail?: string): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    if (this.#state === 'protocol' || this.#state === 'sasl' || this.#state === 'header') {
      this.#finish();
      return;
    }
    this.#owner.closing?.(reason, detail);
    if (this.#state === 'opening') this.#writeOpen();
    if (error === undefined) this.#channels.abandon();
    else this.#channels.end(sessionError(error));
    this.write(closeFrame(error));
    this.#state = 'closing';
    this.#cutLater();
  }

  #input(chunk: Buffer): void {
    work.amqpReads++;
    this.#liveness.heard();
    if (this.#state === 'closed') return;
    if (!this.#probation.admits(chunk.length)) {
      this.#destroy();
      return;
    }
    this.#intake.push(chunk);
    if (this.#stream.writableNeedDrain) this.#stream.pause();
  }

  #take(input: Input): void {
    if (this.#state === 'closed') return;
    if (input.kind === 'header') {
      this.#header(input.protocol);
      return;
    }
    if (this.#state === 'sasl') {
      this.#saslFrame(input);
      return;
    }
    if (input.type !== FRAME_AMQP) throw new AmqpDecodeError('not an AMQP frame', 'amqp:framing-error');
    if (this.#state === 'opening') {
      this.#open(input);
      return;
    }
    if (this.#state === 'closing') {
      if (input.code === performative.close) this.#finish();
      return;
    }
    if (input.code !== undefined) this.#frame(input, input.code);
  }

  #header(protocol: number): void {
    if (protocol === PROTOCOL_SASL && this.#state === 'protocol') {
      this.write(Buffer.concat([protocolHeader(PROTOCOL_SASL), saslMechanismsFrame(saslMechanisms)]));
      this.#state = 'sasl';
    } else if (protocol === PROTOCOL_AMQP) {
      this.write(protocolHeader(PROTOCOL_AMQP));
      this.#state = 'opening';
    } else {
      throw new AmqpDecodeError(`protocol ${protocol} is not spoken here`, 'amqp:framing-error');
    }
  }

  #saslFrame(frame: Frame): void {
    if (frame.type !== FRAME_SASL || frame.code !== performative.saslInit) {
      throw new AmqpDecodeError('a sasl-init was expected', 'amqp:framing-error');
    }
    const release = this.#intake.hold();
    const init = readSaslInit(frame.fields);
    const decision = init === undefined ? Promise.resolve<SaslDecision>('refused') : this.#owner.authenticate(init);
    decision.then((outcome) => {
      if (this.#state !== 'sasl') return;
      this.write(saslOutcomeFrame(saslCodes[outcome]));
      if (outcome === 'accepted') {
        this.#state = 'header';
        this.#intake.splitter.expectHeader();
      } else this.#finish();
      release();
    });
  }

  #open(frame: Frame): void {
    if (frame.code === undefined) return;
    if (frame.code !== performative.open) throw new AmqpDecodeError('an open was expected', 'amqp:not-allowed');
    const [, host, frameBytesMax, , idleTimeout] = frame.fields;
    this.#peerHost = typeof host === 'string' ? host : '';
    this.#peerFrameBytesMax = Math.max(512, Math.min(numberOr(frameBytesMax, 0xffffffff), limits.amqpFrameBytesMax));
    this.#writeOpen();
    this.#state = 'open';
    this.#liveness.start(
      numberOr(idleTimeout, 0),
      () => this.write(emptyFrame),
      () => {
        const description = 'Nothing was heard for too long.';
        this.close({ condition: 'amqp:resource-limit-exceeded', description }, 'keep-alive');
      },
    );
  }

  #writeOpen(): void {
    this.write(
      openFrame({
        containerId: this.#options.containerId,
        frameBytesMax: limits.amqpFrameBytesMax,
        channelMax: limits.amqpSessionsMax - 1,
        // Part 2 section 2.4.5: announce half of what is waited for.
        idleTimeoutMs: limits.amqpIdleTimeoutMs / 2,
      }),
    );
  }

  #frame(frame: Frame, code: number): void {
    if (code === performative.close) {
      this.#channels.abandon();
      this.write(closeFrame());
      this.#finish();
      return;
    }
    if (code === performative.open) throw new AmqpDecodeError('open came twice', 'amqp:not-allowed');
    this.#channels.frame(frame, code);
  }

  #resume(): void {
    if (!this.#intake.isHeld && !this.#stream.writableNeedDrain) this.#stream.resume();
  }

  #drained(): void {
    this.#resume();
    this.#channels.drained();
  }

  #fail(error: unknown): void {
    if (error instanceof AmqpDecodeError) {
      this.#options.log.debug({ condition: error.condition, error: error.message }, 'an AMQP peer broke the protocol');
      // A peer that does not speak the protocol learns which one is spoken (part 2 section 2.2).
      if (this.#state === 'protocol') this.#stream.write(protocolHeader(PROTOCOL_AMQP));
      this.close({ condition: error.condition, description: error.message }, 'protocol-error', detailOf(error));
      this.#finishUnread();
    } else {
      this.#options.log.error({ error }, 'an AMQP connection failed inside the hub');
      this.close(
        { condition: 'amqp:internal-error', description: 'The hub failed; its log says why.' },
        'storage-failed',
      );
      this.#finishUnread();
    }
  }

  /** Everything is said; what the peer still sends cannot be understood. */
  #finishUnread(): void {
    if (this.#state !== 'closing') return;
    this.#finish();
  }

  /** Lets what was written go out, and ends. */
  #finish(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#stream.end();
    this.#stream.resume();
    this.#cutLater();
  }

  #cutLater(): void {
    this.#liveness.stop();
    this.#cancelCut();
    this.#cancelCut = this.#options.clock.after(limits.amqpCloseMs, () => this.#destroy());
  }

  #destroy(): void {
    this.#state = 'closed';
    this.#stream.destroy();
  }

  #gone(): void {
    this.#state = 'closed';
    this.#intake.clear();
    this.#probation.stop();
    this.#liveness.stop();
    this.#cancelCut();
    this.#kept.leave();
    // Before the links end: what ends them is the loss, which was nobody's wish.
    this.#owner.closed();
    this.#channels.abandon();
  }
}

/** The same for a session: conditions of connections stay with those, and SDKs come back after this one. */
function sessionError(error: AmqpError): AmqpError {
  return error.condition === 'amqp:connection:forced' ? { ...error, condition: 'amqp:link:detach-forced' } : error;
}

/** The rule that a peer broke, and the address of the link on which it did. */
function detailOf({ message, subject }: AmqpDecodeError): string {
  return subject === undefined ? message : `${message}: ${JSON.stringify(clipped(subject))}`;
}

function numberOr(value: AmqpValue | undefined, absent: number): number {
  return typeof value === 'number' ? value : absent;
}

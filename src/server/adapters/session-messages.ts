/** Messages of one session on their way to the log. They are taken in their order and answered in it, whatever became of them. */
import { limits } from '../../base/limits.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import type { TelemetrySender } from '../../core/devices/telemetry-sender.ts';
import type { Slowing, TelemetryDoor } from '../../core/devices/types.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import type { PreparedTelemetry } from '../../core/events/room.ts';
import { FrameFault, type MessageParts } from './frames.ts';
import { refusedCodeOf } from './refusals.ts';
import { headOf, telemetryOf } from './telemetry.ts';
import type { ToAdapter } from './words.ts';

/** What they need of the adapter. */
export interface MessagesOwner {
  say(word: ToAdapter): void;
  done(session: number, count: number): void;
  /** Messages and bytes that wait for the disk; below 0 = they wait no more. */
  waits(messages: number, bytes: number): void;
}

export interface SessionMessagesParts {
  readonly owner: MessagesOwner;
  /** The session's number. */
  readonly id: number;
  readonly device: DeviceConnection;
  readonly modelId: string | undefined;
  /** They are not stored, and nothing behind them is known to be. */
  readonly failed: (error: Error) => void;
}

/** A message that is not answered: its batch, or why it was refused. */
interface Unanswered {
  readonly batch: number;
  readonly bytes: number;
  readonly refusal?: HubError;
}

/** The head of messages, and from the second one on what they have in common. */
interface KnownHead {
  readonly bytes: Buffer;
  prepared: PreparedTelemetry | undefined;
}

const NO_BODY = Buffer.alloc(0);

export class SessionMessages implements TelemetryDoor {
  readonly #parts: SessionMessagesParts;
  #telemetry: TelemetrySender | undefined;
  #isOver = false;
  readonly #slowedBy = new Set<Slowing>();
  /** Messages since the adapter was told to slow the device. */
  #sinceSlowed = 0;
  #unanswered: Unanswered[] = [];
  #lastBatch = 0;
  #whenSettled: () => void = () => {};
  /** By their slots, from 1 on. */
  readonly #heads: KnownHead[] = [];

  constructor(parts: SessionMessagesParts) {
    this.#parts = parts;
  }

  /** A message in `bytes`; it is read before this returns. @throws FrameFault */
  take(bytes: Buffer, parts: MessageParts): void {
    const known = this.#headOf(bytes, parts);
    let batch: number;
    try {
      if (this.#slowedBy.size > 0 && ++this.#sinceSlowed > limits.adapterSlowedMessagesMax) {
        throw new HubError('ThrottlingException', 'The device was to be slowed.');
      }
      batch = known === undefined ? this.#enqueueOwn(bytes, parts) : this.#enqueueLike(known, bytes, parts);
    } catch (error) {
      this.#refuse(asHubError(error));
      return;
    }
    this.#lastBatch = batch;
    const size = parts.end - (parts.headAt ?? parts.bodyAt);
    this.#unanswered.push({ batch, bytes: size });
    this.#parts.owner.waits(1, size);
  }

  batchDurable(batch: number): void {
    const { owner, id, device } = this.#parts;
    // Once for what came together.
    device.touch();
    let done = 0;
    let messages = 0;
    const { length } = this.#unanswered;
    for (; done < length && this.#unanswered[done].batch <= batch; done++) {
      const { refusal, bytes: its } = this.#unanswered[done];
      if (refusal !== undefined) {
        if (messages > 0) owner.done(id, messages);
        messages = 0;
        this.#tellRefusal(refusal);
      } else {
        messages++;
        owner.waits(-1, -its);
      }
    }
    if (messages > 0) owner.done(id, messages);
    this.#unanswered = done === length ? [] : this.#unanswered.slice(done);
    if (done === length) this.#whenSettled();
  }

  /** Nothing behind it is known to be stored either. */
  batchFailed(_batch: number, error: Error): void {
    this.#giveUp();
    this.#parts.failed(error);
  }

  slow(by: Slowing): void {
    if (this.#slowedBy.size === 0) {
      this.#sinceSlowed = 0;
      this.#parts.owner.say({ kind: 'writable', s: this.#parts.id, isWritable: false });
    }
    this.#slowedBy.add(by);
  }

  goOn(by: Slowing): void {
    if (!this.#slowedBy.delete(by) || this.#slowedBy.size > 0 || this.#isOver) return;
    this.#parts.owner.say({ kind: 'writable', s: this.#parts.id, isWritable: true });
  }

  /** Nothing of it waits for the disk any more. */
  async settled(): Promise<void> {
    if (this.#unanswered.length === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenSettled = resolve;
    });
  }

  /** The session is over: nothing is answered any more. */
  close(): void {
    this.#isOver = true;
    this.#telemetry?.close();
    this.#giveUp();
  }

  /** The head that the message has in common with others; undefined = it has one of its own. @throws FrameFault */
  #headOf(bytes: Buffer, { slot, headAt, bodyAt }: MessageParts): KnownHead | undefined {
    if (slot > limits.adapterHeadsKeptMax) throw new FrameFault(`slot ${slot} of a head`);
    if (headAt === undefined) {
      const known = this.#heads[slot];
      if (known === undefined) throw new FrameFault('a message with a head that was not told');
      return known;
    }
    if (slot > 0) this.#heads[slot] = { bytes: Buffer.from(bytes.subarray(headAt, bodyAt)), prepared: undefined };
    return undefined;
  }

  #enqueueOwn(bytes: Buffer, { headAt, bodyAt, end }: MessageParts): number {
    const telemetry = telemetryOf(headOf(bytes, headAt ?? bodyAt, bodyAt), Buffer.from(bytes.subarray(bodyAt, end)));
    return this.#sender().enqueue(telemetry);
  }

  #enqueueLike(known: KnownHead, bytes: Buffer, { bodyAt, end }: MessageParts): number {
    const sender = this.#sender();
    known.prepared ??= sender.prepare(telemetryOf(headOf(known.bytes, 0, known.bytes.length), NO_BODY));
    return sender.enqueuePrepared(known.prepared, bytes, bodyAt, end);
  }

  /** Made with the first message. */
  #sender(): TelemetrySender {
    this.#telemetry ??= this.#parts.device.openTelemetry(this, this.#parts.modelId);
    return this.#telemetry;
  }

  #refuse(refusal: HubError): void {
    this.#parts.device.touch();
    if (this.#unanswered.length === 0) this.#tellRefusal(refusal);
    else this.#unanswered.push({ batch: this.#lastBatch, bytes: 0, refusal });
  }

  #tellRefusal(refusal: HubError): void {
    const { owner, id } = this.#parts;
    owner.say({ kind: 'refusedMessage', s: id, code: refusedCodeOf(refusal), text: refusal.message });
  }

  #giveUp(): void {
    for (const { refusal, bytes } of this.#unanswered) if (refusal === undefined) this.#parts.owner.waits(-1, -bytes);
    this.#unanswered = [];
    this.#whenSettled();
  }
}

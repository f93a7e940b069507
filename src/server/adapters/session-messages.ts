/** Messages of one session on their way to the log. They are taken in their order and answered in it, whatever became of them. */
import { limits } from '../../base/limits.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import type { TelemetrySender } from '../../core/devices/telemetry-sender.ts';
import type { Slowing, TelemetryDoor } from '../../core/devices/types.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import type { PreparedTelemetry } from '../../core/events/room.ts';
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

/** The head of messages that were sent before, and from the second one on what they have in common. */
interface PreparedHead {
  readonly head: Buffer;
  prepared: PreparedTelemetry | undefined;
}

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
  readonly #heads: PreparedHead[] = [];

  constructor(parts: SessionMessagesParts) {
    this.#parts = parts;
  }

  /** A message in `bytes`; it is read before this returns. */
  take(bytes: Buffer, headAt: number, bodyAt: number, end: number): void {
    let batch: number;
    try {
      if (this.#slowedBy.size > 0 && ++this.#sinceSlowed > limits.adapterSlowedMessagesMax) {
        throw new HubError('ThrottlingException', 'The device was to be slowed.');
      }
      batch = this.#enqueue(bytes, headAt, bodyAt, end);
    } catch (error) {
      this.#refuse(asHubError(error));
      return;
    }
    this.#lastBatch = batch;
    this.#unanswered.push({ batch, bytes: end - headAt });
    this.#parts.owner.waits(1, end - headAt);
  }

  batchDurable(batch: number): void {
    const { owner, id } = this.#parts;
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

  #enqueue(bytes: Buffer, headAt: number, bodyAt: number, end: number): number {
    const { device, modelId } = this.#parts;
    this.#telemetry ??= device.openTelemetry(this, modelId);
    const known = this.#heads.find(({ head }) => head.compare(bytes, headAt, bodyAt) === 0);
    if (known?.prepared !== undefined) return this.#telemetry.enqueuePrepared(known.prepared, bytes, bodyAt, end);
    const head = headOf(bytes, headAt, bodyAt);
    const telemetry = telemetryOf(head, Buffer.from(bytes.subarray(bodyAt, end)));
    if (known !== undefined) known.prepared = this.#telemetry.prepare(telemetry);
    // What is the message's own is not met again.
    else if (head.m === undefined && head.t === undefined && head.c === undefined) {
      if (this.#heads.length >= limits.adapterHeadsKeptMax) this.#heads.shift();
      this.#heads.push({ head: Buffer.from(bytes.subarray(headAt, bodyAt)), prepared: undefined });
    }
    return this.#telemetry.enqueue(telemetry);
  }

  #refuse(refusal: HubError): void {
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

import { limits } from '../../../base/limits.ts';
import { FrameSplitter, type Input } from '../../../wire/amqp/frames.ts';

/** What an intake does to its connection. */
export interface IntakeOwner {
  /** One header or frame. It may close the intake, or hold it. */
  take(input: Input): void;
  /** What came cannot be understood, or `take` has thrown. */
  failed(error: unknown): void;
  /** No bytes are to come until `resume`. */
  pause(): void;
  resume(): void;
  /** What is written from here to `uncork` may leave together. */
  cork(): void;
  uncork(): void;
}

/** Bytes of a message that can be worked off in the time that a small frame takes, about. */
const BYTES_PER_UNIT = 4096;

/**
 * The way of a connection's bytes from its stream to `take`. While anybody holds it, nothing is taken and the stream is
 * paused: what has come waits here, at most one chunk of the stream. After `amqpWorkPerTurn` it holds itself until the next
 * turn of the event loop, so that one peer who asks much does not keep the others waiting. What counts is work: a frame is one
 * unit, more if it is long, and its handler says what else it has cost.
 */
export class Intake {
  readonly splitter: FrameSplitter;
  readonly #owner: IntakeOwner;
  #waiting: Iterator<Input>[] = [];
  #holds = 0;
  #isTaking = false;
  /** Work since the last hold of its own. */
  #worked = 0;

  constructor(frameBytesMax: number, owner: IntakeOwner) {
    this.splitter = new FrameSplitter(frameBytesMax);
    this.#owner = owner;
  }

  get isHeld(): boolean {
    return this.#holds > 0;
  }

  push(chunk: Buffer): void {
    this.#waiting.push(this.splitter.push(chunk));
    this.#run();
  }

  /** Stops taking until the returned function is called; calling it twice is harmless. */
  hold(): () => void {
    let isHeld = true;
    if (this.#holds++ === 0) this.#owner.pause();
    return () => {
      if (!isHeld) return;
      isHeld = false;
      if (--this.#holds > 0) return;
      this.#run();
      if (this.#holds === 0) this.#owner.resume();
    };
  }

  /** What was taken has cost more than a small frame does, by so many of them. */
  worked(units: number): void {
    this.#worked += units;
  }

  /** Forgets what waits: the connection is over. */
  clear(): void {
    this.#waiting = [];
  }

  #run(): void {
    // A hold may be released while a frame is taken: the loop that runs goes on by itself.
    if (this.#isTaking) return;
    this.#isTaking = true;
    this.#owner.cork();
    try {
      while (this.#holds === 0 && this.#waiting.length > 0) {
        const next = this.#waiting[0].next();
        if (next.done === true) this.#waiting.shift();
        else {
          this.#worked +=
            1 + (next.value.kind === 'frame' ? Math.floor(next.value.payload.length / BYTES_PER_UNIT) : 0);
          this.#owner.take(next.value);
          if (this.#worked >= limits.amqpWorkPerTurn) this.#endTurn();
        }
      }
    } catch (error) {
      this.#waiting = [];
      this.#owner.failed(error);
    } finally {
      this.#isTaking = false;
      this.#owner.uncork();
    }
  }

  #endTurn(): void {
    this.#worked = 0;
    setImmediate(this.hold());
  }
}

import { limits } from '../../base/limits.ts';
import { FrameSplitter, type Input } from '../../wire/amqp/frames.ts';

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

/**
 * The way of a connection's bytes from its stream to `take`. While anybody holds it, nothing is taken and the stream is
 * paused: what has come waits here, at most one chunk of the stream. After `amqpFramesPerTurn` it holds itself until the next
 * turn of the event loop, so that one peer who asks much does not keep the others waiting.
 */
export class Intake {
  readonly splitter: FrameSplitter;
  readonly #owner: IntakeOwner;
  #waiting: Iterator<Input>[] = [];
  #holds = 0;
  #isTaking = false;
  /** Inputs that were taken since the last hold of its own. */
  #taken = 0;

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
          this.#owner.take(next.value);
          if (++this.#taken >= limits.amqpFramesPerTurn) this.#endTurn();
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
    this.#taken = 0;
    setImmediate(this.hold());
  }
}

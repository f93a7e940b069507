/**
 * File work of the folder store takes turns: the runtime does such work on four threads, which the journal of events
 * needs too, and an upload at full speed would otherwise hold all of them.
 */
import { limits } from '../../../base/limits.ts';

export class DiskTurns {
  #free: number = limits.fileWorkAtOnceMax;
  readonly #waiting: (() => void)[] = [];

  /** Runs `work` when a place is free; in the order of asking. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

/**
 * Runs what has the same key one after the other, in the order of the calls; what has other keys meanwhile. A failure
 * holds nobody up.
 */
export class InOrder {
  readonly #last = new Map<string, Promise<unknown>>();

  run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key);
    const result = before === undefined ? work() : before.then(work, work);
    this.#last.set(key, result);
    const done = (): void => {
      if (this.#last.get(key) === result) this.#last.delete(key);
    };
    result.then(done, done);
    return result;
  }
}

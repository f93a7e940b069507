/**
 * Runs what has a key in common one after the other, in the order of the calls; what has other keys meanwhile. A failure
 * holds nobody up.
 */
export class InOrder {
  readonly #last = new Map<string, Promise<unknown>>();

  run<Result>(keys: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const before = keys.map((key) => this.#last.get(key)).filter((last) => last !== undefined);
    const result = before.length === 0 ? work() : Promise.allSettled(before).then(work);
    for (const key of keys) this.#last.set(key, result);
    const done = (): void => {
      for (const key of keys) if (this.#last.get(key) === result) this.#last.delete(key);
    };
    result.then(done, done);
    return result;
  }
}

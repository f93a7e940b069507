/** Who works on an object: many who stage blocks of it, or one who commits, replaces or removes it. */
interface Lock {
  /** Resolves when the last one who works alone is done. */
  alone: Promise<unknown>;
  readonly shared: Set<Promise<unknown>>;
  users: number;
}

export class PathLocks {
  readonly #locks = new Map<string, Lock>();

  /** Alone: after all who came before, and before all who come later. */
  run<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
    const lock = this.#enter(path);
    const before = Promise.allSettled([lock.alone, ...lock.shared]);
    const done = before.then(work);
    lock.alone = done.catch(() => {});
    return this.#leaving(path, lock, done);
  }

  /** Beside others who share it. */
  share<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
    const lock = this.#enter(path);
    const done = lock.alone.then(work);
    lock.shared.add(done);
    const forget = (): unknown => lock.shared.delete(done);
    done.then(forget, forget);
    return this.#leaving(path, lock, done);
  }

  /** Whether a call works on it, or waits to. */
  isUsed(path: string): boolean {
    return this.#locks.has(path);
  }

  #enter(path: string): Lock {
    const lock = this.#locks.get(path) ?? { alone: Promise.resolve(), shared: new Set(), users: 0 };
    lock.users += 1;
    this.#locks.set(path, lock);
    return lock;
  }

  #leaving<Result>(path: string, lock: Lock, done: Promise<Result>): Promise<Result> {
    return done.finally(() => {
      lock.users -= 1;
      if (lock.users === 0) this.#locks.delete(path);
    });
  }
}

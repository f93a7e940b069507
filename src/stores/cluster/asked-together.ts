import { limits } from '../../base/limits.ts';

interface Asked<Key, Answer> {
  readonly key: Key;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/**
 * Questions of one kind that go to a store together: the first at once, and what comes while as many batches are on their way as
 * may be is the next one. So a store pays for many what it would for one, and who asks alone waits for nobody.
 */
export class AskedTogether<Key, Answer> {
  readonly #ask: (keys: readonly Key[]) => Promise<readonly Answer[]>;
  #waiting: Asked<Key, Answer>[] = [];
  #underWay = 0;
  #isPlanned = false;

  /** @param ask answers in the order of the keys */
  constructor(ask: (keys: readonly Key[]) => Promise<readonly Answer[]>) {
    this.#ask = ask;
  }

  /** @throws what the store throws at the batch */
  ask(key: Key): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, resolve, reject });
      this.#plan();
    });
  }

  /** Behind all that this turn still asks. */
  #plan(): void {
    if (this.#isPlanned || this.#underWay >= limits.postgresBatchesMax) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      if (this.#waiting.length > 0) void this.#run(this.#waiting.splice(0, limits.postgresBatchMax));
      if (this.#waiting.length > 0) this.#plan();
    });
  }

  async #run(batch: readonly Asked<Key, Answer>[]): Promise<void> {
    this.#underWay++;
    try {
      const answers = await this.#ask(batch.map(({ key }) => key));
      for (const [at, { resolve }] of batch.entries()) resolve(answers[at]);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#underWay--;
      if (this.#waiting.length > 0) this.#plan();
    }
  }
}

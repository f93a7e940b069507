import type { ReceiptBatch } from './types.ts';

type Ask = () => Promise<ReceiptBatch | undefined>;

interface Waiting {
  readonly ask: Ask;
  resolve(batch: ReceiptBatch | undefined): void;
  reject(error: unknown): void;
}

/**
 * Those who ask for receipts, one after the other: when one has found none, those who wait behind it are told the same. A back
 * end may attach thousands of links and ask on each; the store then hears one question and not thousands.
 */
export class ReceiptTurns {
  #waiting: Waiting[] = [];
  #isAsking = false;

  take(ask: Ask): Promise<ReceiptBatch | undefined> {
    const answered = new Promise<ReceiptBatch | undefined>((resolve, reject) => {
      this.#waiting.push({ ask, resolve, reject });
    });
    if (!this.#isAsking) this.#askInTurn();
    return answered;
  }

  /** Never rejects. */
  async #askInTurn(): Promise<void> {
    this.#isAsking = true;
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (let at = 0; at < waiting.length; at++) {
        try {
          const batch = await waiting[at].ask();
          waiting[at].resolve(batch);
          if (batch !== undefined) continue;
          // Who has come meanwhile is told too: what has become available since, the watchers hear of.
          for (const other of [...waiting.slice(at + 1), ...this.#waiting]) other.resolve(undefined);
          this.#waiting = [];
          break;
        } catch (error) {
          waiting[at].reject(error);
        }
      }
    }
    this.#isAsking = false;
  }
}

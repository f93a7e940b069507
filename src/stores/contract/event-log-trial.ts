import assert from 'node:assert/strict';
import type { EventLog } from '../../core/events/ports.ts';
import { put, readAll } from './event-log.ts';

interface Attempt {
  readonly text: string;
  state: 'waiting' | 'durable' | 'failed';
}

/**
 * Remembers what was handed to a log and what came of it, and holds it against what can be read, through failures and
 * crashes of the log: everything acknowledged is there, in order; nothing is there that was not sent; no reader ever
 * sees two events under one number, nor one disappear.
 */
export class EventLogTrial {
  readonly #attempts: Attempt[][];
  readonly #seen: string[][];
  #count = 0;

  constructor(partitionCount: number) {
    this.#attempts = Array.from({ length: partitionCount }, () => []);
    this.#seen = Array.from({ length: partitionCount }, () => []);
  }

  get durableCount(): number {
    return this.#attempts.flat().filter(({ state }) => state === 'durable').length;
  }

  /** Sends one record of about `size` bytes. The promise resolves, when the log answers, with the answer. */
  send(log: EventLog, partition: number, size = 0): Promise<'durable' | 'failed'> {
    const attempt: Attempt = { text: `${partition}:${this.#count++}:${'.'.repeat(size)}`, state: 'waiting' };
    this.#attempts[partition].push(attempt);
    put(log, partition, attempt.text);
    return new Promise((resolve) => {
      const settle = (state: 'durable' | 'failed') => (): void => {
        assert.equal(attempt.state, 'waiting', 'a record is settled once');
        attempt.state = state;
        resolve(state);
      };
      log.writer.await({ batchDurable: settle('durable'), batchFailed: settle('failed') });
    });
  }

  /** The log has been opened again: what it gave no answer for, or refused last, may be there or not. */
  restarted(): void {
    for (const attempt of this.#attempts.flat()) if (attempt.state === 'failed') attempt.state = 'waiting';
  }

  /** Reads everything and compares. */
  async verify(log: EventLog, bytesMax = 4096): Promise<void> {
    for (let partition = 0; partition < log.partitionCount; partition++) {
      const texts = await readAll(log, partition, 0, bytesMax);
      const seen = this.#seen[partition];
      assert.deepEqual(texts.slice(0, seen.length), seen, `partition ${partition}: what was read once stays`);
      this.#seen[partition] = texts;
      this.#compare(partition, texts);
    }
  }

  #compare(partition: number, texts: readonly string[]): void {
    let next = 0;
    for (const { text, state } of this.#attempts[partition]) {
      const isThere = texts[next] === text;
      if (isThere) next++;
      if (state === 'durable') assert.ok(isThere, `partition ${partition}: acknowledged ${text} is missing`);
      if (state === 'failed') assert.ok(!isThere, `partition ${partition}: failed ${text} can be read`);
    }
    assert.equal(next, texts.length, `partition ${partition}: ${texts[next]} was not sent, or not in this order`);
  }
}

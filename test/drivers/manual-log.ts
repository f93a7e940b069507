/**
 * An event log in memory whose disk is the test: batches become durable, or fail, when the test says so, and the test
 * may say that the disk is slow.
 */
import type { DurabilityWaiter, EventLog, EventWriter } from '../../src/core/events/ports.ts';

export class ManualWriter implements EventWriter {
  batch = 1;
  congested = false;
  /** Commits each batch by itself, one turn of the loop after its first record. */
  automatic = true;
  /** The records of all batches so far, in the order of their reservation. */
  readonly records: Buffer[] = [];
  #waiters = new Set<DurabilityWaiter>();
  #relieved: (() => void)[] = [];
  #arrivals: (() => void)[] = [];
  #record = Buffer.alloc(0);
  #scheduled = false;

  reserve(_partition: number, size: number): number {
    this.#record = Buffer.alloc(size);
    this.records.push(this.#record);
    for (const arrived of this.#arrivals.splice(0)) arrived();
    return 0;
  }

  bytes(): Buffer {
    return this.#record;
  }

  await(waiter: DurabilityWaiter): void {
    this.#waiters.add(waiter);
    if (!this.automatic || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.automatic) this.commit();
    });
  }

  whenRelieved(listener: () => void): void {
    this.#relieved.push(listener);
  }

  /** The open batch is on disk. */
  commit(): void {
    for (const [waiter, batch] of this.close()) waiter.batchDurable(batch);
  }

  /** The disk failed while the open batch was written. */
  fail(error: Error): void {
    for (const [waiter, batch] of this.close()) waiter.batchFailed(batch, error);
  }

  /** Opens the next batch and leaves this one on its way: whom to tell of which number. */
  close(): readonly (readonly [DurabilityWaiter, number])[] {
    const told = [...this.#waiters].map((waiter) => [waiter, this.batch] as const);
    this.#waiters = new Set();
    this.batch++;
    return told;
  }

  relieve(): void {
    this.congested = false;
    for (const listener of this.#relieved.splice(0)) listener();
  }

  /** Resolves when so many records have been reserved in all. */
  async untilRecords(count: number): Promise<void> {
    while (this.records.length < count) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }
}

/** The log around a writer: doors of devices use nothing else of it. */
export function manualLog(writer: ManualWriter): EventLog {
  const unused = (): never => {
    throw new Error('a log without readers');
  };
  return {
    name: 'mooring',
    partitionCount: 4,
    createdTime: 0,
    writer,
    partition: unused,
    seek: unused,
    read: unused,
    watch: unused,
    health: () => ({ ok: true }),
  };
}

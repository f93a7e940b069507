/**
 * One event log of the main thread, for listener threads. A thread's batch is appended whole, in the order in which
 * batches arrive, and answered when it is durable; the journal makes one sync of what all threads have sent.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import type { DurabilityWaiter, EventLog } from '../../core/events/ports.ts';
import type { EventPosition } from '../../core/events/types.ts';
import type { BatchRuns } from '../../stores/embedded/event-log/format.ts';
import { Moved, type ThreadLink } from './calls.ts';
import { packRuns } from './event-runs.ts';
import { SharedFacts } from './shared-facts.ts';

/** A log that takes sealed batches of other writers; `batchBytesMax` of both must be the same. */
export interface HostedLog extends EventLog {
  readonly writer: EventLog['writer'] & { append(batch: BatchRuns, bytes: number): void };
}

/** What a listener thread is told of a log at its start. */
export interface LogStart {
  readonly name: string;
  readonly partitionCount: number;
  readonly createdTime: number;
  readonly facts: SharedArrayBuffer;
  /** As `EventLog.health`. */
  readonly health: LogHealth;
}

export type LogHealth = ReturnType<EventLog['health']>;

/** A sealed batch on its way to the journal: memory that both threads see, until the answer has come. */
export interface SentBatch {
  readonly id: number;
  /** By partition; undefined = no events of it. */
  readonly runs: readonly (SharedArrayBuffer | undefined)[];
  readonly lengths: readonly number[];
  readonly counts: readonly number[];
  readonly bytes: number;
}

export interface BatchAnswer {
  readonly id: number;
  /** Why the batch is not durable; absent = it is. */
  readonly failure?: string;
}

export interface LogCalls {
  seek(partition: number, position: EventPosition): Promise<number>;
  read(partition: number, fromSequence: number, bytesMax: number): Promise<unknown>;
}

/** How often a log that cannot be written is asked whether it can again. */
const HEALTH_CHECK_MS = 200;
const NOTHING = Buffer.alloc(0);

export class EventLogHost {
  readonly #log: HostedLog;
  readonly #clock: Clock;
  readonly #facts: SharedFacts;
  readonly #links = new Set<ThreadLink>();
  #wasOk = true;
  #cancelCheck: Cancel | undefined;

  constructor(log: HostedLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#facts = new SharedFacts(log.partitionCount);
    this.changed();
  }

  /** The log's facts have changed: every thread sees them from here on. */
  changed(): void {
    this.#facts.write((partition) => this.#log.partition(partition));
  }

  start(): LogStart {
    const { name, partitionCount, createdTime } = this.#log;
    return { name, partitionCount, createdTime, facts: this.#facts.memory, health: this.#log.health() };
  }

  /** Serves one thread; the returned function ends it, when the thread has. */
  serve(link: ThreadLink): () => void {
    const log = this.#log;
    const watches = new Map<number, () => void>();
    /** Partitions of which the thread hears by the answer to its own batch, in this turn. */
    const heard = new Set<number>();
    this.#links.add(link);
    link.serve(`log ${log.name}`, {
      seek: (partition, position) => log.seek(partition, position),
      read: async (partition, fromSequence, bytesMax) => {
        const packed = packRuns(await log.read(partition, fromSequence, bytesMax));
        return new Moved(packed, [packed.bytes]);
      },
    } satisfies LogCalls);
    link.on(`append ${log.name}`, (batch: SentBatch) => {
      this.#append(link, batch, () => {
        for (const partition of watches.keys()) if (batch.counts[partition] > 0) heard.add(partition);
      });
    });
    link.on(`watch ${log.name}`, (partition: number) => {
      const told = (): void => {
        if (!heard.delete(partition)) link.tell(`events ${log.name}`, partition);
      };
      if (!watches.has(partition)) watches.set(partition, log.watch(partition, told));
    });
    link.on(`unwatch ${log.name}`, (partition: number) => {
      watches.get(partition)?.();
      watches.delete(partition);
    });
    return () => {
      this.#links.delete(link);
      for (const end of watches.values()) end();
      watches.clear();
    };
  }

  /** Ends the timer that a failed log keeps. */
  close(): void {
    this.#cancelCheck?.();
  }

  /** @param durable called when the batch is, right before watchers of the log hear of it */
  #append(link: ThreadLink, { id, runs, lengths, counts, bytes }: SentBatch, durable: () => void): void {
    const { writer } = this.#log;
    writer.append(
      { runs: runs.map((run) => (run === undefined ? NOTHING : Buffer.from(run))), lengths, counts },
      bytes,
    );
    const last = writer.batch;
    const waiter: DurabilityWaiter = {
      batchDurable: (batch) => {
        if (batch < last) return;
        this.changed();
        durable();
        link.tell(`appended ${this.#log.name}`, { id } satisfies BatchAnswer);
      },
      batchFailed: (_, error) => {
        this.#tellHealth();
        link.tell(`appended ${this.#log.name}`, { id, failure: error.message } satisfies BatchAnswer);
      },
    };
    writer.await(waiter);
  }

  /** Threads refuse messages at once while the log cannot be written, as doors of this thread do. */
  #tellHealth(): void {
    const health = this.#log.health();
    if (health.ok && this.#wasOk) return;
    this.#wasOk = health.ok;
    for (const link of this.#links) link.tell(`health ${this.#log.name}`, health);
    if (health.ok || this.#cancelCheck !== undefined) return;
    this.#cancelCheck = this.#clock.after(HEALTH_CHECK_MS, () => {
      this.#cancelCheck = undefined;
      this.#tellHealth();
    });
  }
}

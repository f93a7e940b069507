/**
 * One event log of the main thread, for listener threads. A thread's batch is appended whole, in the order in which
 * batches arrive, and answered when it is durable; the journal makes one sync of what all threads have sent.
 *
 * When a batch fails, so does all that its thread had sent before it could hear of that: what arrives later with the
 * same epoch, or an older one, is not appended. Else it would be durable before what devices send again.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import type { DurabilityWaiter, EventLog } from '../../core/events/ports.ts';
import type { EventPosition, PartitionFacts } from '../../core/events/types.ts';
import type { StoredLog } from '../../stores/event-log/stored-log.ts';
import { Moved, type ThreadLink } from './calls.ts';
import type { SentBatch } from './event-memory.ts';
import { unpackBatch } from './event-memory.ts';
import { packRuns } from './event-runs.ts';
import { SharedFacts } from './shared-facts.ts';

/** The maker of the host tells it of facts that have changed. */
export type HostedLog = Omit<StoredLog, 'followFacts'>;

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

/** Of a batch and of those before it that have not been answered; a failure is of those behind it as well. */
export interface BatchAnswer {
  readonly id: number;
  /** Why it is not durable; absent = it is. */
  readonly failure?: string;
}

export interface LogCalls {
  partition(partition: number): Promise<PartitionFacts>;
  seek(partition: number, position: EventPosition): Promise<number>;
  read(partition: number, fromSequence: number, bytesMax: number): Promise<unknown>;
}

/** How often a log that cannot be written is asked whether it can again. */
const HEALTH_CHECK_MS = 200;

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
    this.#facts.write((partition) => this.#log.lastKnown(partition));
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
      partition: (partition) => log.partition(partition),
      seek: (partition, position) => log.seek(partition, position),
      read: async (partition, fromSequence, bytesMax) => {
        const answer = await log.read(partition, fromSequence, bytesMax);
        const packed = packRuns(answer);
        log.giveBack(answer);
        return new Moved(packed, [packed.bytes]);
      },
    } satisfies LogCalls);
    const batches = new ThreadBatches(log, {
      // Called right before watchers of the log hear of the batches.
      durable: (id, counts) => {
        this.changed();
        for (const partition of watches.keys()) {
          if (counts.some((count) => count[partition] > 0)) heard.add(partition);
        }
        link.tell(`appended ${log.name}`, { id } satisfies BatchAnswer);
      },
      failed: (id, error) => {
        this.#tellHealth();
        link.tell(`appended ${log.name}`, { id, failure: error.message } satisfies BatchAnswer);
      },
    });
    link.on(`append ${log.name}`, (batch: SentBatch) => batches.append(batch));
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

interface Answers {
  /** The batch of this id and all before it; `counts` of those that had not been answered. */
  durable(id: number, counts: readonly SentBatch['counts'][]): void;
  /** The batch of this id, and all that the thread sends until it has heard of this. */
  failed(id: number, error: Error): void;
}

/** The batches of one thread in the journal's writer. One answer is for all that one sync has made durable. */
class ThreadBatches implements DurabilityWaiter {
  readonly #log: HostedLog;
  readonly #answers: Answers;
  /** Oldest first; `batch` is the writer's own that holds it. All of one epoch, because a failure ends them all. */
  #waiting: { readonly sent: SentBatch; readonly batch: number }[] = [];
  #epochFailed = -1;

  constructor(log: HostedLog, answers: Answers) {
    this.#log = log;
    this.#answers = answers;
  }

  append(sent: SentBatch): void {
    const { epoch, bytes } = sent;
    // No answer: the thread has failed it by itself when it hears of the failure that is on its way.
    if (epoch <= this.#epochFailed) return;
    const { writer } = this.#log;
    writer.append(unpackBatch(sent), bytes);
    this.#waiting.push({ sent, batch: writer.batch });
    writer.await(this);
  }

  batchDurable(batch: number): void {
    const count = this.#waiting.findLastIndex((each) => each.batch <= batch) + 1;
    const done = this.#waiting.splice(0, count).map(({ sent }) => sent);
    const last = done.at(-1);
    if (last === undefined) return;
    this.#answers.durable(
      last.id,
      done.map(({ counts }) => counts),
    );
  }

  /** The journal's writer fails everything that it holds together, so this is about all that waits. */
  batchFailed(_: number, error: Error): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    this.#waiting = [];
    this.#epochFailed = first.sent.epoch;
    this.#answers.failed(first.sent.id, error);
  }
}

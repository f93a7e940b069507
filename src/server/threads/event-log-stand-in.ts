/**
 * An event log of the main thread as a listener thread sees it. Records are copied into batches of this thread's own; a
 * sealed batch crosses whole, in memory that both threads see, and some are on their way while the next one fills. A
 * failed batch fails all behind it, here and on their way, as in the journal: nothing overtakes what will be sent again.
 */
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { DurabilityWaiter, EventLog } from '../../core/events/ports.ts';
import { Watchers } from '../../stores/event-log/watchers.ts';
import { BatchWriter, type SealedBatch } from '../../stores/event-log/writer.ts';
import type { ThreadLink } from './calls.ts';
import type { BatchAnswer, LogCalls, LogHealth, LogStart } from './event-log-host.ts';
import type { SentBatch } from './event-memory.ts';
import { packBatch, SharedMemory } from './event-memory.ts';
import { type PackedRuns, unpackRuns } from './event-runs.ts';
import { SharedFacts } from './shared-facts.ts';

const GONE = 'the member that keeps the event log is gone';

export interface EventLogStandIn extends EventLog {
  /** True: nothing that was reserved waits for the journal. */
  isSettled(): boolean;
  /** Resolves when everything reserved so far is durable or has failed. */
  settled(): Promise<void>;
}

export interface StandInBounds {
  /** The thread's share of `limits.writerBytesMax`. */
  readonly writerBytesMax: number;
  readonly batchBytesMax: number;
  /** Default: `limits.threadCommitBytesMin`. */
  readonly commitBytesMin?: number;
}

interface Waiting {
  readonly memory: SharedArrayBuffer;
  resolve(): void;
  reject(error: Error): void;
}

export function eventLogStandIn(link: ThreadLink, start: LogStart, log: Log, bounds: StandInBounds): EventLogStandIn {
  const { name, partitionCount } = start;
  const facts = new SharedFacts(partitionCount, start.facts);
  const remote = link.remote<LogCalls>(`log ${name}`, { partition: true, seek: true, read: true });
  const watchers = new Watchers(partitionCount, log);
  const watched = new Array<number>(partitionCount).fill(0);
  /** By id, oldest first. */
  const sent = new Map<number, Waiting>();
  const memory = new SharedMemory();
  let lastId = 0;
  let health: LogHealth = start.health;

  link.on(`appended ${name}`, ({ id, failure }: BatchAnswer) => {
    for (const [each, waiting] of sent) {
      if (each > id) break;
      sent.delete(each);
      memory.giveBack(waiting.memory);
      if (failure === undefined) waiting.resolve();
      else waiting.reject(new Error(failure));
    }
    if (failure === undefined) return;
    // The writer fails what it has sent behind a failed batch; nobody answers it, and nobody looks at it.
    for (const waiting of sent.values()) memory.giveBack(waiting.memory);
    sent.clear();
  });
  link.on(`events ${name}`, (partition: number) => {
    watchers.tell(Array.from({ length: partitionCount }, (_, each) => (each === partition ? 1 : 0)));
  });
  link.on(`health ${name}`, (now: LogHealth) => {
    health = now;
  });

  // Whether those on their way have arrived is not known: nobody is told that they are durable.
  link.onClose(() => {
    health = { ok: false, reason: GONE };
    const [first] = sent.values();
    sent.clear();
    first?.reject(new Error(GONE));
  });

  const send = (sealed: SealedBatch, epoch: number): Promise<void> => {
    if (!link.isOpen) return Promise.reject(new Error(GONE));
    const id = ++lastId;
    const packed = packBatch(sealed, memory);
    return new Promise((resolve, reject) => {
      sent.set(id, { memory: packed.memory, resolve, reject });
      link.tell(`append ${name}`, { id, epoch, ...packed } satisfies SentBatch);
    });
  };
  const writer = new BatchWriter({
    partitionCount,
    log,
    sink: { commit: send, committed: (batch) => watchers.tell(batch.counts) },
    commitsMax: limits.threadCommitsMax,
    commitBytesMin: limits.threadCommitBytesMin,
    ...bounds,
  });

  /** Those who wait for the same batch share one promise: a crowd that leaves together costs one. */
  let shared: { readonly batch: number; readonly done: Promise<void> } | undefined;
  const settled = (): Promise<void> => {
    if (writer.pendingBytes === 0) return Promise.resolve();
    if (shared?.batch === writer.batch) return shared.done;
    const done = new Promise<void>((resolve) => {
      const waiter: DurabilityWaiter = { batchDurable: () => resolve(), batchFailed: () => resolve() };
      writer.await(waiter);
    });
    shared = { batch: writer.batch, done };
    return done;
  };

  return {
    name,
    partitionCount,
    createdTime: start.createdTime,
    writer,
    partition: (partition) => remote.partition(partition),
    lastKnown: (partition) => facts.read(partition),
    seek: (partition, position) => remote.seek(partition, position),
    read: async (partition, fromSequence, bytesMax) =>
      unpackRuns((await remote.read(partition, fromSequence, bytesMax)) as PackedRuns),
    giveBack: () => {},
    watch(partition, listener) {
      const end = watchers.add(partition, listener);
      if (watched[partition]++ === 0) link.tell(`watch ${name}`, partition);
      let ended = false;
      return () => {
        if (ended) return;
        ended = true;
        end();
        if (--watched[partition] === 0) link.tell(`unwatch ${name}`, partition);
      };
    },
    health: () => health,
    isSettled: () => writer.pendingBytes === 0,
    settled,
  };
}

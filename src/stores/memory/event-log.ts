import { assert } from '../../base/assert.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { type Log, silentLog } from '../../base/log.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { EventPosition, PartitionFacts } from '../../core/events/types.ts';
import { RecentRuns } from '../event-log/recent-runs.ts';
import { earliestTime, takeRuns } from '../event-log/runs.ts';
import { Watchers } from '../event-log/watchers.ts';
import { BatchWriter, type SealedBatch } from '../event-log/writer.ts';

export interface MemoryEventLogOptions {
  readonly name: string;
  readonly partitionCount: number;
  readonly clock?: Clock;
  readonly log?: Log;
  /** Absent = for ever. A whole batch goes at a time. */
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
  /** When batches become durable: at the end of the turn of the event loop, or when `commit` is called. */
  readonly durable?: 'soon' | 'byHand';
  readonly batchBytesMax?: number;
  readonly writerBytesMax?: number;
}

/** An event log that lives as long as the process: for tests, the simulation, and hubs that keep nothing. */
export interface MemoryEventLog extends EventLog {
  readonly writer: BatchWriter;
  /** Makes everything reserved so far durable; resolves when waiters and watchers have been told. */
  commit(): Promise<void>;
  /** From now on batches fail with this error, and `health` says so; undefined ends it. */
  failWith(error: Error | undefined): void;
  /** Removes what retention no longer keeps; each commit does so too. */
  retain(): void;
}

export function createMemoryEventLog(options: MemoryEventLogOptions): MemoryEventLog {
  const { name, partitionCount, clock = systemClock, log = silentLog } = options;
  const { retentionMs = Number.POSITIVE_INFINITY, retentionBytes = Number.POSITIVE_INFINITY } = options;
  const kept = new RecentRuns(partitionCount);
  const nextSequences = new Array<number>(partitionCount).fill(0);
  const lastTimes = new Array<number>(partitionCount).fill(0);
  const watchers = new Watchers(partitionCount, log);
  const createdTime = clock.now();
  /** Per batch that is kept, the oldest first: age is time that has passed, whatever the clock shows. */
  const writtenAt: number[] = [];
  let lastTime = 1;
  let failure: Error | undefined;
  let deferred: (() => void) | undefined;

  const retain = (): void => {
    const oldestKept = clock.monotonic() - retentionMs;
    while (writtenAt.length > 0) {
      if (writtenAt[0] >= oldestKept && kept.bytes <= retentionBytes) break;
      kept.dropOldest();
      writtenAt.shift();
    }
  };
  const append = async (batch: SealedBatch): Promise<void> => {
    if (failure !== undefined) throw failure;
    lastTime = Math.max(lastTime, clock.now());
    kept.add(batch, lastTime, nextSequences);
    writtenAt.push(clock.monotonic());
    for (let partition = 0; partition < partitionCount; partition++) {
      if (batch.counts[partition] === 0) continue;
      nextSequences[partition] += batch.counts[partition];
      lastTimes[partition] = lastTime;
    }
    retain();
  };
  const writer = new BatchWriter({
    ...options,
    log,
    sink: { commit: append, committed: (batch) => watchers.tell(batch.counts) },
    defer: (callback) => {
      if (options.durable === 'byHand') deferred = callback;
      else setImmediate(callback);
    },
  });

  const known = (partition: number): number => {
    assert(Number.isInteger(partition) && partition >= 0 && partition < partitionCount, 'the partition exists');
    return partition;
  };
  const facts = (partition: number): PartitionFacts => {
    const next = nextSequences[known(partition)];
    const firstSequence = kept.runs(partition)[0]?.firstSequence ?? next;
    return { partition, firstSequence, lastSequence: next - 1, lastTime: lastTimes[partition] };
  };
  const seek = (partition: number, position: EventPosition): number => {
    const { firstSequence, lastSequence } = facts(partition);
    if (position.kind === 'start') return firstSequence;
    if (position.kind === 'end') return lastSequence + 1;
    if (position.kind === 'sequence') {
      return Math.max(firstSequence, position.inclusive ? position.sequence : position.sequence + 1);
    }
    const time = earliestTime(position);
    return kept.runs(partition).find((run) => run.time >= time)?.firstSequence ?? lastSequence + 1;
  };
  return {
    name,
    partitionCount,
    createdTime,
    writer,
    partition: async (partition) => facts(partition),
    lastKnown: facts,
    seek: async (partition, position) => seek(partition, position),
    read: async (partition, from, bytesMax) => takeRuns(kept.runs(known(partition)), from, bytesMax).runs,
    giveBack: () => {},
    watch: (partition, listener) => watchers.add(known(partition), listener),
    health: () => (failure === undefined ? { ok: true } : { ok: false, reason: failure.message }),
    retain,
    failWith(error) {
      failure = error;
    },
    async commit() {
      const done = writer.drained();
      for (let run = deferred; run !== undefined; run = deferred) {
        deferred = undefined;
        run();
        // A batch settles in microtasks; what waits behind it is deferred again by then.
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      await done;
    },
  };
}

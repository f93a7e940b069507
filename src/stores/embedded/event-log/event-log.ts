import { assert } from '../../../base/assert.ts';
import { type Clock, systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { type Log, silentLog } from '../../../base/log.ts';
import { type Random, systemRandom } from '../../../base/random.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import type { EventRun } from '../../../core/events/types.ts';
import { Watchers } from '../../event-log/watchers.ts';
import { BatchWriter } from '../../event-log/writer.ts';
import { type RunningTime, unkeptRunningTime } from './age.ts';
import { type JournalFiles, systemFiles } from './files.ts';
import { Journal } from './journal.ts';
import { type Ledger, refuseLoss } from './ledger.ts';
import { openMeta } from './meta.ts';
import { readRuns, seekSequence } from './reader.ts';
import { type RecoveryReport, recover } from './recovery.ts';
import { positionsOf } from './segment.ts';

export interface EmbeddedEventLogOptions {
  /** The log's own folder; made if missing. One process at a time: the owner of the data folder sees to that. */
  readonly folder: string;
  /** The event hub's name (`EntityPath`); not stored. */
  readonly name: string;
  /** 1 to 32; fixed when the log is made. */
  readonly partitionCount: number;
  /** Events older than this, in running time, go, a segment at a time. */
  readonly retentionMs: number;
  /**
   * The journal's size from which on the oldest segments go, whatever their age; absent = no bound. A function is asked once,
   * with the bytes that the log has when it is opened.
   */
  readonly retentionBytes?: number | ((heldBytes: number) => Promise<number>);
  /** Events wait for `keepFor` to say that they may go by their age; by size they go all the same. Default: they do not. */
  readonly retentionWaits?: boolean;
  readonly segmentBytes?: number;
  readonly clock?: Clock;
  /** By which events age; absent = they age only while the log is open. */
  readonly runningTime?: RunningTime;
  readonly random?: Random;
  readonly log?: Log;
  readonly files?: JournalFiles;
  /** Where it is kept what must be there; absent = nowhere. */
  readonly ledger?: Ledger;
  /** See `BatchWriterOptions.defer`. */
  readonly defer?: (callback: () => void) => void;
  /** Milliseconds for which the disk rests after a commit while little waits (`CommitPace`); absent = no rest. */
  readonly commitRestMs?: number;
}

/** The event log on this machine's disk: one journal for all partitions, group commit (`docs/data-files.md`). */
export interface EmbeddedEventLog extends EventLog {
  readonly writer: BatchWriter;
  /** What the start found and mended. */
  readonly recovery: RecoveryReport;
  stats(): EventLogStats;
  /**
   * Calls `listener`, which does not throw, after facts of partitions have changed, before waiters and watchers hear of it.
   * One at most.
   */
  followFacts(listener: () => void): void;
  /**
   * Asks `wanted`, with each look at retention, for the first event of each partition that must not go by its age; undefined = it is
   * not known yet.
   */
  keepFor(wanted: () => readonly number[] | undefined): void;
  /** Removes what retention no longer keeps; the log does so itself once a minute. */
  retain(): Promise<void>;
  /** Makes everything reserved so far durable, finishes the journal, and takes no more records. */
  close(): Promise<void>;
}

/** For metrics. Counters run from the start of the process. */
export interface EventLogStats {
  readonly segments: number;
  /** Bytes of all segments on disk. */
  readonly bytes: number;
  /** What retention lets them be; infinite = no bound. */
  readonly bytesMax: number;
  /** Bytes of records that wait for the disk. */
  readonly pendingBytes: number;
  readonly tailCacheBytes: number;
  readonly extentCacheBytes: number;
  readonly extentReadsTotal: number;
  readonly batchesTotal: number;
  readonly recordsTotal: number;
  readonly writtenBytesTotal: number;
  readonly failuresTotal: number;
  readonly segmentsMadeTotal: number;
  readonly segmentsRemovedTotal: number;
}

/**
 * Opens the log in `folder`, or makes it.
 * @throws EventLogCorruption when something is damaged that is not the torn end of a crash.
 * @throws EventLogLoss when the ledger knows of a newest segment that is gone.
 * @throws Error that says what to do, for another number of partitions or a newer format.
 */
export async function openEmbeddedEventLog(options: EmbeddedEventLogOptions): Promise<EmbeddedEventLog> {
  const { folder, name, partitionCount } = options;
  const { clock = systemClock, random = systemRandom, files = systemFiles } = options;
  const log = (options.log ?? silentLog).child({ eventHub: name });
  assert(
    partitionCount >= 1 && partitionCount <= limits.partitionsMax,
    'the number of partitions is within its limits',
  );
  await files.makeFolder(folder);
  const positions = positionsOf(await files.list(folder), 'journal');
  const kept = options.ledger?.kept;
  refuseLoss(name, kept, positions);
  const hasJournal = positions.length > 0;
  const meta = await openMeta(files, folder, { partitionCount, createdTime: clock.now() }, hasJournal);
  const { segments, report } = await recover({ files, folder, partitionCount, log, newest: kept?.newest });

  const { retentionBytes = Number.POSITIVE_INFINITY, segmentBytes = limits.segmentBytesDefault } = options;
  const bytesMax = typeof retentionBytes === 'number' ? retentionBytes : await retentionBytes(report.bytes);

  const watchers = new Watchers(partitionCount, log);
  const journal = new Journal(
    {
      folder,
      partitionCount,
      retentionMs: options.retentionMs,
      retentionBytes: bytesMax,
      retentionWaits: options.retentionWaits ?? false,
      segmentBytes: Math.min(
        segmentBytes,
        Math.max(limits.segmentBytesMin, Math.floor(bytesMax / limits.segmentsPerRetentionMin)),
      ),
      clock,
      runningTime: options.runningTime ?? unkeptRunningTime(clock),
      random,
      log,
      files,
      ledger: options.ledger,
      isFollowed: () => watchers.count > 0,
    },
    segments,
  );
  const writer = new BatchWriter({
    partitionCount,
    log,
    defer: options.defer,
    pace:
      options.commitRestMs === undefined
        ? undefined
        : { restMs: options.commitRestMs, bytesMax: limits.commitRestBytesMax, clock },
    sink: {
      commit: (batch) => journal.append(batch).then(appended),
      committed: (batch) => watchers.tell(batch.counts),
    },
  });
  let changed = nobodyFollows;
  const retain = (): Promise<void> => journal.retain().then(() => changed());
  // By size at once: in a minute more can come than the disk has room for.
  const appended = (): void => {
    changed();
    if (journal.isOverBound) void retain();
  };
  const retention = every(clock, limits.retentionCheckMs, () => void retain());
  await retain();

  const known = (partition: number): number => {
    assert(Number.isInteger(partition) && partition >= 0 && partition < partitionCount, 'the partition exists');
    return partition;
  };
  /** What the answers that have not been given back hold. */
  const answers = new WeakMap<readonly EventRun[], readonly Buffer[]>();
  return {
    name,
    partitionCount,
    createdTime: meta.createdTime,
    writer,
    recovery: report,
    partition: async (partition) => journal.facts(known(partition)),
    lastKnown: (partition) => journal.facts(known(partition)),
    seek: (partition, position) => seekSequence(journal, known(partition), position),
    async read(partition, fromSequence, bytesMax) {
      const held: Buffer[] = [];
      const answer = await readRuns(journal, known(partition), fromSequence, bytesMax, held);
      answers.set(answer, held);
      return answer;
    },
    giveBack(answer) {
      const held = answers.get(answer) ?? [];
      answers.delete(answer);
      for (const buffer of held) journal.memory.letGo(buffer);
    },
    watch: (partition, listener) => watchers.add(known(partition), listener),
    health: () => (journal.failure === undefined ? healthy : { ok: false, reason: journal.failure }),
    stats: () => ({
      segments: journal.segments.length,
      bytes: journal.bytes,
      bytesMax,
      pendingBytes: writer.pendingBytes,
      tailCacheBytes: journal.tail.bytes,
      extentCacheBytes: journal.extents.bytes,
      extentReadsTotal: journal.extents.reads,
      batchesTotal: journal.counters.batches,
      recordsTotal: journal.counters.records,
      writtenBytesTotal: journal.counters.bytes,
      failuresTotal: journal.counters.failures,
      segmentsMadeTotal: journal.counters.segmentsMade,
      segmentsRemovedTotal: journal.counters.segmentsRemoved,
    }),
    followFacts(listener) {
      changed = listener;
    },
    keepFor(wanted) {
      journal.wanted = wanted;
    },
    retain,
    async close() {
      retention();
      await writer.drained();
      await journal.close();
    },
  };
}

const healthy = { ok: true } as const;
const nobodyFollows = (): void => {};

/** Calls `callback` again and again until the returned function is called. */
function every(clock: Clock, periodMs: number, callback: () => void): () => void {
  let cancel = (): void => {};
  const arm = (): void => {
    cancel = clock.after(periodMs, () => {
      arm();
      callback();
    });
  };
  arm();
  return () => cancel();
}

/**
 * Writes the events of one endpoint into files. The journal is the stage: a file is a range of it, which is put on the list together
 * with the cursor before the file is uploaded, and does not change after that. A crash, or a store that fails or forgets, only
 * has the same file written again, in the same place: each event is in one file.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { ArchiveEndpoint } from '../routes/endpoints/archive.ts';
import type { CursorStore, HeldCursor, RoutedEvent, RoutedLog, RoutedRecord } from '../routes/ports.ts';
import { FileBlocks } from './blocks.ts';
import { FileUpload } from './file-upload.ts';
import { PartitionArchive } from './partition-archive.ts';
import type { ArchiveStep, ArchiveStore, FileBuilders } from './ports.ts';
import type { ArchiveStatus, ArchiveTotals, FileScheme } from './types.ts';

export interface ArchiverParts {
  readonly endpoint: ArchiveEndpoint;
  /** Its bit in records, and the set in which it came (`PlacedEndpoint`). */
  readonly slot: number;
  readonly since: number;
  readonly eventHub: string;
  readonly log: RoutedLog;
  readonly cursors: CursorStore;
  readonly store: ArchiveStore;
  readonly builders: FileBuilders;
  /** As `CursorClaim.node`. */
  readonly node: string;
  /** Whether this node may write files now: another one may have its part. Absent = always. */
  readonly mayWork?: () => boolean;
  /** Of the stores: leases are counted by it. */
  readonly clock: Clock;
  readonly logger: Log;
  /** The records with what is added to them for this endpoint; absent = nothing is. */
  readonly enriched?: (records: readonly RoutedRecord[]) => Promise<readonly RoutedEvent[]>;
  /** Told of each step, for tests that stop the process there. */
  readonly reached?: (step: ArchiveStep) => void;
}

export interface Archiver {
  readonly endpoint: ArchiveEndpoint;
  /** As `CursorClaim.node`. */
  readonly node: string;
  status(): ArchiveStatus;
  /** The first event of each partition that is in no file of the store yet, of those that this node archives. */
  unarchived(): ReadonlyMap<number, number>;
  /**
   * Whether events of the partition from `from` on, below `end`, may be in memory here, and in no listed file. Undefined = this node
   * does not archive it.
   */
  mayHold(partition: number, from: number, end: number): boolean | undefined;
  /** A file of the list is to be written again, if its events are still there. False = this node does not archive the partition. */
  rewrite(partition: number, first: number): boolean;
  /** Lets go of everything; a file on its way is left to the next start. */
  close(): Promise<void>;
}

export function startArchiver(parts: ArchiverParts): Archiver {
  return new RunningArchiver(parts);
}

class RunningArchiver implements Archiver {
  readonly endpoint: ArchiveEndpoint;
  readonly node: string;
  readonly #parts: ArchiverParts;
  readonly #partitions = new Map<number, PartitionArchive>();
  readonly #upload: FileUpload;
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;
  #state: { readonly kind: ArchiveStatus['state']; readonly reason?: string; readonly since: number };
  #totals: ArchiveTotals = { files: 0, events: 0, bytes: 0, failures: 0, missed: 0 };
  #claimedAt = Number.NEGATIVE_INFINITY;
  #claiming: Promise<void> | undefined;
  #wake: () => void = () => {};

  constructor(parts: ArchiverParts) {
    this.#parts = parts;
    this.endpoint = parts.endpoint;
    this.node = parts.node;
    this.#state = { kind: 'unknown', since: parts.clock.now() };
    this.#upload = new FileUpload({
      ...{ store: parts.store, clock: parts.clock, signal: this.#closing.signal },
      reached: parts.reached ?? (() => {}),
      // While a store does not answer, what this node holds stays its own.
      meanwhile: () => this.#claim(),
      failed: (reason) => this.#failed(reason),
    });
    this.#done = this.#run();
  }

  status(): ArchiveStatus {
    const { clock, log } = this.#parts;
    const { kind, reason, since } = this.#state;
    let lagEvents = 0;
    let oldest = Number.POSITIVE_INFINITY;
    for (const [partition, archive] of this.#partitions) {
      const { lastSequence } = log.lastKnown(partition);
      lagEvents += Math.max(0, lastSequence + 1 - archive.next);
      oldest = Math.min(oldest, archive.oldestTime ?? Number.POSITIVE_INFINITY);
    }
    const lagSeconds = Number.isFinite(oldest) ? Math.max(0, (clock.now() - oldest) / 1000) : 0;
    return {
      ...{ endpoint: this.endpoint.name, state: kind, reason, since, lagEvents, lagSeconds },
      ...{ partitions: this.#partitions.size, totals: this.#totals },
    };
  }

  unarchived(): ReadonlyMap<number, number> {
    return new Map(Array.from(this.#partitions, ([partition, archive]) => [partition, archive.kept]));
  }

  mayHold(partition: number, from: number, end: number): boolean | undefined {
    return this.#partitions.get(partition)?.mayHold(from, end);
  }

  rewrite(partition: number, first: number): boolean {
    const archive = this.#partitions.get(partition);
    archive?.rewriteLater(first);
    this.#wake();
    return archive !== undefined;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#done;
    for (const { hold } of this.#partitions.values()) await this.#parts.cursors.release(hold).catch(() => {});
    await this.#parts.store.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      let didMuch = false;
      try {
        await this.#claim();
        for (const [partition, archive] of [...this.#partitions]) {
          if (signal.aborted) break;
          await this.#claim();
          if (this.#partitions.get(partition) !== archive) continue;
          const outcome = await archive.step();
          if (outcome === 'lost') this.#partitions.delete(partition);
          didMuch ||= outcome === 'more';
        }
      } catch (error) {
        if (!signal.aborted) this.#failed(`the archive could not go on: ${(error as Error).message}`);
      }
      if (!didMuch) await this.#pause(limits.archiveLookMs);
    }
  }

  /** Takes free partitions and renews those that this node has, when a third of the lease has passed. */
  #claim(): Promise<void> {
    const { clock, cursors, endpoint, since, node, log } = this.#parts;
    if (clock.monotonic() - this.#claimedAt < limits.deliveryLeaseMs / 3) return this.#claiming ?? Promise.resolve();
    this.#claimedAt = clock.monotonic();
    const terms = { node, now: clock.now(), leaseMs: limits.deliveryLeaseMs, countMax: log.partitionCount };
    this.#claiming = cursors
      .claim({ endpoint: endpoint.name, since }, terms)
      .then((held) => this.#hold(held))
      .finally(() => {
        this.#claiming = undefined;
      });
    return this.#claiming;
  }

  async #hold(held: readonly HeldCursor[]): Promise<void> {
    const fences = new Map(held.map(({ hold }) => [hold.partition, hold.fence]));
    for (const [partition, { hold }] of [...this.#partitions]) {
      if (fences.get(partition) !== hold.fence) this.#partitions.delete(partition);
    }
    for (const cursor of held) {
      const { partition } = cursor.hold;
      if (this.#partitions.has(partition)) continue;
      const blocks = await FileBlocks.load(this.#parts.cursors, cursor.hold);
      const archive = new PartitionArchive({
        ...this.#parts,
        ...{ cursor, blocks, scheme: this.#schemeOf(partition), upload: this.#upload },
        signal: this.#closing.signal,
        isHeld: () => this.#partitions.get(partition) === archive && this.#parts.mayWork?.() !== false,
        stored: (file) => this.#stored(file.events, file.bytes ?? 0, file.missed),
      });
      this.#partitions.set(partition, archive);
    }
  }

  #schemeOf(partition: number): FileScheme {
    const { eventHub, endpoint } = this.#parts;
    const { prefix, naming, format } = endpoint;
    return { eventHub, partition, prefix, naming, format };
  }

  #stored(events: number, bytes: number, missed: number): void {
    const { endpoint, clock, logger } = this.#parts;
    const before = this.#totals;
    this.#totals = {
      ...{ files: before.files + 1, events: before.events + events, bytes: before.bytes + bytes },
      ...{ failures: before.failures, missed: before.missed + missed },
    };
    if (missed > 0) {
      logger.error(
        { endpoint: endpoint.name, missed },
        'retention has removed events before they were archived; give the event hub more time or room (retentionDays, retentionBytes), or set retentionWaitsForArchive',
      );
    }
    if (this.#state.kind !== 'healthy') this.#state = { kind: 'healthy', since: clock.now() };
  }

  #failed(reason: string): void {
    const { endpoint, clock, logger } = this.#parts;
    this.#totals = { ...this.#totals, failures: this.#totals.failures + 1 };
    // Once a try for as long as it lasts would bury everything else.
    if (this.#state.kind === 'degraded' && this.#state.reason === reason) return;
    logger.warn({ endpoint: endpoint.name, reason }, 'an archive does not take events; they wait in the event hub');
    const since = this.#state.kind === 'degraded' ? this.#state.since : clock.now();
    this.#state = { kind: 'degraded', reason, since };
  }

  async #pause(ms: number): Promise<void> {
    if (this.#closing.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = () => {};
  }
}

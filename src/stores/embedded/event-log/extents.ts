import { limits } from '../../../base/limits.ts';
import { EventLogCorruption } from '../../event-log/errors.ts';
import { type JournalRun, parseBatch } from '../../event-log/format.ts';
import type { RunMemory } from '../../event-log/run-memory.ts';
import type { JournalFile, JournalFiles } from './files.ts';
import { readIndex } from './index-file.ts';
import { scanSegment } from './scan.ts';
import { journalPath, type Segment } from './segment.ts';
import type { SparseIndex } from './sparse-index.ts';

/** The journal between two entries of a sparse index, read and checked as a whole. */
export interface Extent {
  /** Where it ends in its segment; the last extent of a log that grows may have an older copy that ends earlier. */
  readonly end: number;
  /** Per partition the runs in order. */
  readonly runs: readonly (readonly JournalRun[])[];
  /** What the runs point into. */
  readonly bytes: Buffer;
}

/** An extent on its way from the disk. */
interface Loading {
  extent: Promise<Extent>;
  /** Who waits for it, and will hold its memory. */
  readers: number;
}

interface OpenSegment {
  readonly file: Promise<JournalFile>;
  /** Reads that go on; the file is closed by the last one after it has been dropped. */
  users: number;
  dropped: boolean;
}

/** Reads extents for all readers: open files, indexes and extents are shared and bounded. */
export class ExtentReader {
  readonly #files: JournalFiles;
  readonly #folder: string;
  readonly #partitionCount: number;
  readonly #memory: RunMemory;
  readonly #opened = new Map<number, OpenSegment>();
  readonly #indexes = new Map<number, Promise<SparseIndex>>();
  readonly #extents = new Map<number, Extent>();
  readonly #loading = new Map<string, Loading>();
  #bytes = 0;
  #reading = 0;
  #waiting: (() => void)[] = [];
  /** Extents read from the disk since the start. */
  reads = 0;

  constructor(files: JournalFiles, folder: string, partitionCount: number, memory: RunMemory) {
    this.#files = files;
    this.#folder = folder;
    this.#partitionCount = partitionCount;
    this.#memory = memory;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws EventLogCorruption when neither the index file nor the segment is sound. */
  index(segment: Segment): Promise<SparseIndex> {
    if (segment.index !== undefined) return Promise.resolve(segment.index);
    let index = this.#indexes.get(segment.position);
    if (index === undefined) {
      index = this.#loadIndex(segment);
      index.catch(() => this.#indexes.delete(segment.position));
    }
    touch(this.#indexes, segment.position, index);
    if (this.#indexes.size > limits.segmentsOpenMax) this.#indexes.delete(oldest(this.#indexes));
    return index;
  }

  /**
   * The caller holds the extent's memory, and lets go of it when it looks at the extent no more.
   * @throws EventLogCorruption when a batch in it is not what was written. Nothing of such an extent is served.
   */
  async extent(segment: Segment, index: SparseIndex, entry: number): Promise<Extent> {
    const start = index.place(entry);
    const end = entry + 1 < index.count ? index.place(entry + 1) : segment.length;
    const key = segment.position + start;
    const known = this.#extents.get(key);
    if (known !== undefined && known.end >= end) {
      touch(this.#extents, key, known);
      this.#memory.hold(known.bytes);
      return known;
    }
    const loadingKey = `${key} ${end}`;
    const loading = this.#loading.get(loadingKey) ?? this.#beginLoading(loadingKey, segment, start, end);
    loading.readers++;
    return loading.extent;
  }

  /** Forgets a segment that retention removes; reads that have begun end well. */
  async drop(segment: Segment): Promise<void> {
    this.#indexes.delete(segment.position);
    for (const key of [...this.#extents.keys()]) {
      if (key >= segment.position && key < segment.position + segment.length) this.#forget(key);
    }
    await this.#closeSegment(segment.position);
  }

  async close(): Promise<void> {
    for (const position of [...this.#opened.keys()]) await this.#closeSegment(position);
    this.#indexes.clear();
    for (const key of [...this.#extents.keys()]) this.#forget(key);
  }

  async #loadIndex(segment: Segment): Promise<SparseIndex> {
    const index = await readIndex(this.#files, this.#folder, segment.position, this.#partitionCount);
    return index?.entries ?? this.#rebuildIndex(segment);
  }

  /** A damaged index is no loss: the segment is read once from end to end. */
  async #rebuildIndex(segment: Segment): Promise<SparseIndex> {
    const { position, length } = segment;
    const name = journalPath(this.#folder, position);
    const file = await this.#files.open(name);
    try {
      const scan = { path: name, position, partitionCount: this.#partitionCount, length };
      const result = await scanSegment(file, scan);
      const index = result?.segment.index;
      if (index === undefined) throw new EventLogCorruption(name, 0, "the segment's header is damaged");
      if (result?.faultAt !== undefined) throw new EventLogCorruption(name, result.faultAt, 'the batch is damaged');
      return index;
    } finally {
      await file.close();
    }
  }

  #beginLoading(key: string, segment: Segment, start: number, end: number): Loading {
    const extent = this.#load(segment, start, end).then(
      (loaded) => {
        // In one step with the counting: who comes from now on finds it in the cache, or loads it again.
        this.#loading.delete(key);
        for (let reader = 0; reader < loading.readers; reader++) this.#memory.hold(loaded.bytes);
        this.#keep(segment.position + start, loaded);
        return loaded;
      },
      (error) => {
        this.#loading.delete(key);
        throw error;
      },
    );
    const loading: Loading = { extent, readers: 0 };
    this.#loading.set(key, loading);
    return loading;
  }

  async #load(segment: Segment, start: number, end: number): Promise<Extent> {
    await this.#begin();
    try {
      const memory = this.#memory.take(end - start);
      const got = await this.#read(segment, memory, start);
      return this.#parse(segment, memory.subarray(0, got), start, end);
    } finally {
      this.#finish();
    }
  }

  #parse(segment: Segment, bytes: Buffer, start: number, end: number): Extent {
    const runs: JournalRun[][] = Array.from({ length: this.#partitionCount }, () => []);
    for (let at = 0; start + at < end; ) {
      const batch = parseBatch(bytes, at, segment.salt, segment.position + start + at, this.#partitionCount);
      if (batch === undefined) {
        const file = journalPath(this.#folder, segment.position);
        throw new EventLogCorruption(file, start + at, 'the batch is damaged');
      }
      for (const run of batch.runs) runs[run.partition].push(run);
      at += batch.length;
    }
    return { end, runs, bytes };
  }

  #keep(key: number, extent: Extent): void {
    this.#forget(key);
    this.#extents.set(key, extent);
    this.#bytes += extent.bytes.buffer.byteLength;
    this.reads++;
    while (this.#bytes > limits.extentCacheBytesMax && this.#extents.size > 1) this.#forget(oldest(this.#extents));
  }

  #forget(key: number): void {
    const extent = this.#extents.get(key);
    if (extent === undefined) return;
    this.#extents.delete(key);
    this.#bytes -= extent.bytes.buffer.byteLength;
    this.#memory.letGo(extent.bytes);
  }

  async #read(segment: Segment, target: Buffer, at: number): Promise<number> {
    const opened = await this.#use(segment.position);
    try {
      return await (await opened.file).read(target, at);
    } finally {
      opened.users--;
      await this.#closeUnused(opened);
    }
  }

  async #use(position: number): Promise<OpenSegment> {
    let opened = this.#opened.get(position);
    if (opened === undefined) {
      opened = { file: this.#files.open(journalPath(this.#folder, position)), users: 0, dropped: false };
      opened.file.catch(() => this.#opened.delete(position));
    }
    opened.users++;
    touch(this.#opened, position, opened);
    if (this.#opened.size > limits.segmentsOpenMax) await this.#closeSegment(oldest(this.#opened));
    return opened;
  }

  async #closeSegment(position: number): Promise<void> {
    const opened = this.#opened.get(position);
    if (opened === undefined) return;
    this.#opened.delete(position);
    opened.dropped = true;
    await this.#closeUnused(opened);
  }

  async #closeUnused(opened: OpenSegment): Promise<void> {
    if (opened.dropped && opened.users === 0) await opened.file.then((file) => file.close()).catch(() => {});
  }

  async #begin(): Promise<void> {
    while (this.#reading >= limits.extentReadsMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#reading++;
  }

  #finish(): void {
    this.#reading--;
    this.#waiting.shift()?.();
  }
}

/** Moves an entry to the young end of a map that is used as a cache. */
function touch<Value>(map: Map<number, Value>, key: number, value: Value): void {
  map.delete(key);
  map.set(key, value);
}

function oldest(map: ReadonlyMap<number, unknown>): number {
  return map.keys().next().value as number;
}

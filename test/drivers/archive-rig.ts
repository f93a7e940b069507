/** An archiver over a log and tables in memory, with a store that can be told to fail, hang, forget. */
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { type Archiver, type ArchiverParts, startArchiver } from '../../src/core/archive/archiver.ts';
import { FileBlocks, listedFiles } from '../../src/core/archive/blocks.ts';
import type { ArchiveStore, FileBuilders } from '../../src/core/archive/ports.ts';
import type { ListedFile } from '../../src/core/archive/types.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import { ObjectError, type ObjectFacts } from '../../src/core/files/object-store.ts';
import type { ArchiveEndpoint } from '../../src/core/routes/endpoints/archive.ts';
import { readEndpoint } from '../../src/core/routes/endpoints/kinds.ts';
import type { CursorStore, RouteStore } from '../../src/core/routes/ports.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import { noRoutes } from '../../src/core/routes/types.ts';
import { EventFile } from '../../src/records/archive/event-file.ts';
import { packEvents } from '../../src/records/archive/packed-events.ts';
import { openParquet } from '../../src/records/archive/parquet-reader.ts';
import { RowReader } from '../../src/records/archive/row-reader.ts';
import { recordCodec, routingMark, writeRoutingMark } from '../../src/records/record-codec.ts';
import { createMemoryEventLog, type MemoryEventLog } from '../../src/stores/memory/event-log.ts';
import { createMemoryRoutes } from '../../src/stores/memory/routes.ts';

/** Makes files in this thread. */
export const plainBuilders: FileBuilders = {
  begin({ format, eventHub, partition }, firstSequence) {
    const file = new EventFile(format, { eventHub, partition, firstSequence }, new RowReader());
    return {
      add: async (events) => file.add(packEvents(events)),
      finish: async () => file.finish(),
      abandon: () => {},
    };
  },
};

/** Objects in memory. */
export class MemoryStore implements ArchiveStore {
  readonly kind = 'memory';
  readonly objects = new Map<string, Buffer>();
  /** Asked with each `put` of a file; what it throws fails it. `late` = it is stored, but the answer is lost. */
  fault: (path: string) => undefined | 'refuse' | 'late' | 'forget' | 'half' | 'hang' = () => undefined;
  puts = 0;

  async put(path: string, source: AsyncIterable<Uint8Array>): Promise<ObjectFacts> {
    const fault = path.includes('_manifest') ? undefined : this.fault(path);
    this.puts++;
    if (fault === 'refuse') throw new ObjectError('unavailable', 'it is away');
    const pieces: Buffer[] = [];
    for await (const piece of source) pieces.push(Buffer.from(piece));
    const whole = Buffer.concat(pieces);
    if (fault === 'hang') await new Promise(() => {});
    if (fault !== 'forget') this.objects.set(path, fault === 'half' ? whole.subarray(0, whole.length / 2) : whole);
    if (fault === 'late') throw new ObjectError('unavailable', 'the answer was lost');
    return factsOf(whole);
  }

  async head(path: string): Promise<ObjectFacts | undefined> {
    const found = this.objects.get(path);
    return found && factsOf(found);
  }

  async read(path: string, range?: { readonly start: number; readonly end: number }) {
    const found = this.objects.get(path);
    if (found === undefined) return undefined;
    async function* body(bytes: Buffer) {
      yield bytes;
    }
    return { facts: factsOf(found), body: body(range ? found.subarray(range.start, range.end + 1) : found) };
  }

  async check(): Promise<void> {}
  async close(): Promise<void> {}

  /** Paths of files, without manifests. */
  get files(): string[] {
    return [...this.objects.keys()].filter((path) => !path.includes('_manifest')).sort();
  }
}

const factsOf = ({ length }: Buffer): ObjectFacts => ({
  ...{ bytes: length, etag: `${length}`, lastModified: 0, contentType: 'application/octet-stream' },
});

/** Sequence numbers of all events in a store's files, by partition, as a reader that takes every file finds them. */
export async function archivedIn(objects: ReadonlyMap<string, Buffer>): Promise<Map<number, number[]>> {
  const found = new Map<number, number[]>();
  for (const [path, bytes] of objects) {
    const partition = /\/p(\d+)-\d+\.parquet$/.exec(path)?.[1];
    if (partition === undefined) continue;
    const memory = new Uint8Array(bytes).buffer;
    const parquet = await openParquet({
      byteLength: memory.byteLength,
      slice: (start, end) => memory.slice(start, end),
    });
    const list = found.get(Number(partition)) ?? [];
    found.set(Number(partition), list);
    for (const group of parquet.groups) {
      for (const { firstSequence, count } of await parquet.read(group)) {
        for (let nth = 0; nth < count; nth++) list.push(firstSequence + nth);
      }
    }
  }
  for (const list of found.values()) list.sort((a, b) => a - b);
  return found;
}

export const SLOT = 2;

export class ArchiveRig {
  readonly log: MemoryEventLog;
  readonly routes: RouteStore;
  readonly cursors: CursorStore;
  readonly store: MemoryStore;
  readonly endpoint: ArchiveEndpoint;
  readonly clock: Clock;
  #archiver: Archiver | undefined;

  private constructor(endpoint: ArchiveEndpoint, clock: Clock, retentionBytes: number | undefined) {
    this.endpoint = endpoint;
    this.clock = clock;
    this.log = createMemoryEventLog({
      ...{ name: 'hub', partitionCount: 2, clock },
      ...(retentionBytes !== undefined && { retentionBytes }),
    });
    ({ routes: this.routes, cursors: this.cursors } = createMemoryRoutes());
    this.store = new MemoryStore();
  }

  static async open(
    settings: Record<string, unknown> = {},
    { clock = systemClock, retentionBytes }: { readonly clock?: Clock; readonly retentionBytes?: number } = {},
  ): Promise<ArchiveRig> {
    const endpoint = readEndpoint({ name: 'cold', kind: 'archive', ...settings }, 'endpoint') as ArchiveEndpoint;
    const rig = new ArchiveRig(endpoint, clock, retentionBytes);
    const set = { ...noRoutes, number: 1, endpoints: [{ endpoint, slot: SLOT, since: 1 }] };
    await rig.routes.replace(set, [0, 0]);
    return rig;
  }

  start(more: Partial<ArchiverParts> = {}): Archiver {
    this.#archiver = startArchiver({
      ...{ endpoint: this.endpoint, slot: SLOT, since: 1, eventHub: 'hub', node: 'a', clock: this.clock },
      log: routedLog(this.log, routingMark),
      ...{ cursors: this.cursors, store: this.store, builders: plainBuilders, logger: silentLog },
      ...more,
    });
    return this.#archiver;
  }

  /** Writes events; those that `isFor` says no to are not for the archive. */
  async write(
    partition: number,
    count: number,
    options: { readonly body?: (nth: number) => string; readonly isFor?: (nth: number) => boolean } = {},
  ): Promise<void> {
    const { body = (nth) => `{"nth":${nth}}`, isFor = () => true } = options;
    for (let nth = 0; nth < count; nth++) {
      const record = recordCodec.encode(
        { deviceId: `d${partition}`, generationId: '1', authMethod: '{}', source: 'Telemetry' },
        { system: { messageId: `${nth}` }, properties: [], body: Buffer.from(body(nth)) },
        this.clock.now(),
      );
      writeRoutingMark(record, 0, isFor(nth) ? 1 << SLOT : 0);
      const at = this.log.writer.reserve(partition, record.length);
      record.copy(this.log.writer.bytes(partition), at);
    }
    await this.log.commit();
  }
}

/** All files of the list of one partition. */
export async function listOf({ cursors }: ArchiveRig, partition: number): Promise<ListedFile[]> {
  const blocks = await FileBlocks.load(cursors, { endpoint: 'cold', since: 1, partition });
  const files: ListedFile[] = [];
  for await (const block of blocks.all()) files.push(...listedFiles(block));
  return files;
}

/** The log after retention has taken what is below `first`. */
export function trimmed({ log }: ArchiveRig, first: () => number): EventLog {
  const facts = (partition: number) => ({ ...log.lastKnown(partition), firstSequence: first() });
  return {
    ...log,
    partition: async (partition) => facts(partition),
    lastKnown: facts,
    seek: async (partition, position) => Math.max(first(), await log.seek(partition, position)),
    read: (partition, from, bytesMax) => log.read(partition, Math.max(first(), from), bytesMax),
  };
}

import type { EventRun } from '../events/types.ts';
import type { ObjectStore } from '../files/object-store.ts';
import type { RoutedEvent } from '../routes/ports.ts';
import type { FileScheme } from './types.ts';

/** What an archive needs of a store of objects. */
export type ArchiveStore = Pick<ObjectStore, 'kind' | 'put' | 'head' | 'read' | 'check' | 'close'>;

/** Makes files of events, away from the thread that takes them (`records/archive`). */
export interface FileBuilders {
  /** @param first sequence number of its first event */
  begin(scheme: FileScheme, first: number): FileBuilder;
}

/** One file that is being made. */
export interface FileBuilder {
  /** Adds events; their bytes are copied before it answers. */
  add(events: readonly RoutedEvent[]): Promise<void>;
  /** The whole file. */
  finish(): Promise<readonly Uint8Array[]>;
  /** It is not wanted any more. Harmless after `finish`. */
  abandon(): void;
}

/** Opens files that events can be read from again, record by record. */
export interface HistoryFiles {
  /** @param bytes of the file, as the list has it @throws Error it is not there, or damaged */
  open(store: ArchiveStore, path: string, bytes: number): Promise<HistoryFile>;
}

export interface HistoryFile {
  /** In order. */
  readonly groups: readonly HistoryGroup[];
  /**
   * Records of the group that readers of the event hub see, as the log had them, all in one memory.
   * @param memory may be taken for them: it is the caller's no more
   */
  read(group: HistoryGroup, memory?: ArrayBuffer): Promise<readonly EventRun[]>;
}

/** What is read at a time. Sequence numbers grow, with gaps where the archive was not to have an event. */
export interface HistoryGroup {
  readonly firstRow: number;
  readonly rows: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Enqueued times, UTC milliseconds. */
  readonly firstTime: number;
  readonly lastTime: number;
}

/** Where a test may stop the process. */
export type ArchiveStep = 'listed' | 'half' | 'uploaded' | 'stored';

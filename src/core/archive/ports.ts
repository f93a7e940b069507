import type { ObjectStore } from '../files/object-store.ts';
import type { RoutedEvent } from '../routes/ports.ts';
import type { ArchiveFormat, FileScheme } from './types.ts';

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

/** Looks into a file that is in the store. */
export interface FileInspector {
  /** Sequence numbers of its events; undefined = files of this form are not looked into. @throws Error it is damaged */
  inspect(
    format: ArchiveFormat,
    file: { readonly bytes: number; read(start: number, end: number): Promise<Uint8Array> },
  ): Promise<{ readonly events: number; readonly first: number; readonly last: number } | undefined>;
}

/** Where a test may stop the process. */
export type ArchiveStep = 'listed' | 'half' | 'uploaded' | 'stored';

/** How files are called, and when one is cut. Pure. */
import type { ObjectError } from '../files/object-store.ts';
import type { ArchiveFormat, FileScheme } from './types.ts';

/** The end of a file's name, and its type. */
export const formatFacts: Readonly<
  Record<ArchiveFormat, { readonly extension: string; readonly contentType: string }>
> = {
  parquet: { extension: 'parquet', contentType: 'application/vnd.apache.parquet' },
  avro: { extension: 'avro', contentType: 'application/avro' },
  avrodeflate: { extension: 'avro', contentType: 'application/avro' },
  json: { extension: 'json', contentType: 'application/x-ndjson' },
};

const SEQUENCE_DIGITS = 16;

/**
 * The place of the file whose first event has this sequence number and enqueued time (UTC milliseconds). The partition and the
 * sequence number make it the only one of its name; repeated, it is the same.
 */
export function pathOf(scheme: FileScheme, first: number, time: number): string {
  const { eventHub, partition, prefix, naming, format } = scheme;
  const [date, clock] = new Date(time).toISOString().split('T');
  const [hour, minute] = clock.split(':');
  const part = String(partition).padStart(2, '0');
  const name = `${String(first).padStart(SEQUENCE_DIGITS, '0')}.${formatFacts[format].extension}`;
  if (naming === 'hive') return `${prefix}/date=${date}/hour=${hour}/p${part}-${name}`;
  return `${prefix}/${eventHub}/${part}/${date.replaceAll('-', '/')}/${hour}/${minute}/p${part}-${name}`;
}

/** Where the list of a block of files stands in the store, beside them; readers that go by file names pass it over. */
export function manifestPath({ prefix, partition }: FileScheme, first: number): string {
  const part = String(partition).padStart(2, '0');
  return `${prefix}/_manifest/p${part}-${String(first).padStart(SEQUENCE_DIGITS, '0')}.json`;
}

/** What waits to be archived, about. */
export interface Waiting {
  readonly bytes: number;
  /** Enqueued time of the oldest event, UTC milliseconds. */
  readonly time: number;
}

/** Whether a file is to be cut now. */
export function isDue(
  waiting: Waiting,
  cut: { readonly fileBytes: number; readonly fileSeconds: number },
  now: number,
): boolean {
  return waiting.bytes >= cut.fileBytes || now - waiting.time >= cut.fileSeconds * 1000;
}

/** The store could not be asked; anything else is about the file. */
export const isOfStore = (error: unknown): error is ObjectError => (error as Error | undefined)?.name === 'ObjectError';

/** History from files of Parquet in a store. */
import type { ArchiveStore, HistoryFile, HistoryFiles } from '../../core/archive/ports.ts';
import { openParquet } from './parquet-reader.ts';

/** @param open reads a file of which ranges can be had; absent = in this thread */
export function createHistoryFiles(open: typeof openParquet = openParquet): HistoryFiles {
  return {
    open(store: ArchiveStore, path: string, bytes: number): Promise<HistoryFile> {
      return open({
        byteLength: bytes,
        slice: (start, end = bytes) => readRange(store, path, start, end),
      });
    },
  };
}

/** @param end exclusive @throws Error */
async function readRange(store: ArchiveStore, path: string, start: number, end: number): Promise<ArrayBuffer> {
  const whole = new Uint8Array(end - start);
  const opened = end === start ? undefined : await store.read(path, { start, end: end - 1 });
  if (opened === undefined) throw new Error(`the archive's file ${path} is not in the store`);
  let at = 0;
  for await (const piece of opened.body) {
    if (at + piece.length > whole.length) throw new Error(`the archive's file ${path} has another length`);
    whole.set(piece, at);
    at += piece.length;
  }
  if (at !== whole.length) throw new Error(`the archive's file ${path} has another length`);
  return whole.buffer;
}

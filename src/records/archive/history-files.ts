/** History from files of Parquet in a store. */
import type { ArchiveStore, HistoryFile, HistoryFiles } from '../../core/archive/ports.ts';
import { openParquet, type ParquetDecoder } from './parquet-reader.ts';

/** @param decoder reads what was read of a file; absent = in this thread */
export function createHistoryFiles(decoder?: ParquetDecoder): HistoryFiles {
  return {
    open(store: ArchiveStore, path: string, bytes: number): Promise<HistoryFile> {
      const file = {
        byteLength: bytes,
        slice: (start: number, end: number) => readRange(store, path, start, end),
      };
      return openParquet(file, decoder);
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

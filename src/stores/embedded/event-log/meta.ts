import path from 'node:path';
import { crc32 } from 'node:zlib';
import { codeOf, EventLogCorruption } from '../../event-log/errors.ts';
import type { JournalFiles } from './files.ts';

/** What was decided when the log was made (`log.meta`). */
export interface LogMeta {
  readonly partitionCount: number;
  /** UTC milliseconds. */
  readonly createdTime: number;
}

export const META_NAME = 'log.meta';
const FORMAT = 1;
const META_BYTES_MAX = 4096;

export async function writeMeta(files: JournalFiles, folder: string, meta: LogMeta): Promise<void> {
  const text = `mooring-event-log ${FORMAT}\npartitions ${meta.partitionCount}\ncreated ${meta.createdTime}\n`;
  const file = await files.create(path.join(folder, META_NAME));
  try {
    await file.write([Buffer.from(`${text}crc32 ${checksum(text)}\n`)], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.syncFolder(folder);
}

/**
 * Undefined when there is no such file, or only the torn beginning of one.
 * @throws Error when the format is a newer one.
 */
export async function readMeta(files: JournalFiles, folder: string): Promise<LogMeta | undefined> {
  const text = await readText(files, path.join(folder, META_NAME));
  if (text === undefined) return undefined;
  const newer = /^mooring-event-log (\d+)\n/.exec(text);
  if (newer !== null && Number(newer[1]) > FORMAT) {
    throw new Error(
      `${path.join(folder, META_NAME)} has format ${newer[1]}, this program knows up to ${FORMAT}. Use the newer program.`,
    );
  }
  const match = /^(mooring-event-log \d+\npartitions (\d+)\ncreated (\d+)\n)crc32 ([0-9a-f]{8})\n$/.exec(text);
  if (match === null || checksum(match[1]) !== match[4]) return undefined;
  return { partitionCount: Number(match[2]), createdTime: Number(match[3]) };
}

/**
 * The log's facts, made on first use.
 * @param hasJournal whether there are segments: then the file must be there and sound.
 * @throws Error that says what to do, when `partitionCount` is not the one the log was made with.
 */
export async function openMeta(
  files: JournalFiles,
  folder: string,
  wanted: LogMeta,
  hasJournal: boolean,
): Promise<LogMeta> {
  const meta = await readMeta(files, folder);
  const file = path.join(folder, META_NAME);
  if (meta === undefined && hasJournal) {
    throw new EventLogCorruption(file, 0, 'the file is missing or damaged, but there are segments');
  }
  if (meta !== undefined && meta.partitionCount !== wanted.partitionCount) {
    throw new Error(
      `The event log in ${folder} was made with ${meta.partitionCount} partitions, but ${wanted.partitionCount} are asked for. ` +
        `The number cannot change: set it back to ${meta.partitionCount}, or start with a new data folder.`,
    );
  }
  if (meta !== undefined && hasJournal) return meta;
  // The first segment makes the file final; until then nobody knows whether what can be read here has reached the disk.
  await files.unlink(file).catch(ignoreMissing);
  await writeMeta(files, folder, meta ?? wanted);
  return meta ?? wanted;
}

async function readText(files: JournalFiles, name: string): Promise<string | undefined> {
  const file = await files.open(name).catch(ignoreMissing);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(META_BYTES_MAX);
    return bytes.toString('latin1', 0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

export function ignoreMissing(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined;
  throw error;
}

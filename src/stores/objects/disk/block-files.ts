/**
 * The files of one object's blocks where several processes stage them. Each process has a pair of its own, of names that
 * nobody else makes, and reads all of them:
 *
 *     .staging/<sum of the path>/data-<uuid>     its blocks
 *     .staging/<sum of the path>/index-<uuid>    {"path":…}, then {"id":…,"offset":…,"bytes":…,"order":…} for each block
 *
 * `data` and `index`, which a process has made that had the folder for itself, are a pair like any other.
 */
import { open, readdir, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { limits } from '../../../base/limits.ts';
import { type BlockLine, blocksOfLines, lastBlock, parsedIndex, pathOfLine } from './block-lines.ts';
import { syncFile } from './sync-file.ts';

/** Longer than the longest path's line, and than two lines of blocks. */
const PART_BYTES = 8192;

/** Names of files in a folder; none where it is not there. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error) => {
    if (isAbsent(error)) return [];
    throw error;
  });
}

export const isIndex = (name: string): boolean => /^index(-|$)/.test(name);
export const isData = (name: string): boolean => /^data(-|$)/.test(name);
/** Name of the data that an index tells of. */
export const dataOf = (index: string): string => index.replace(/^index/, 'data');

/**
 * The blocks of an object of which an index tells, a part of it at a time: one of 100,000 blocks holds up nothing else. None
 * where it is another object's. @throws ENOENT
 */
export async function* blocksIn(index: string, objectPath: string): AsyncGenerator<readonly BlockLine[]> {
  const handle = await open(index);
  let isFirst = true;
  let torn = '';
  // A part ends anywhere, in a character of a path too.
  const stream = handle.createReadStream({ encoding: 'utf8', highWaterMark: limits.fileIndexPieceBytes });
  for await (const text of stream) {
    const lines = (torn + text).split('\n');
    torn = lines.pop() ?? '';
    if (isFirst && lines.length > 0) {
      if (pathOfLine(lines[0]) !== objectPath) return;
      lines.shift();
      isFirst = false;
    }
    yield blocksOfLines(lines);
  }
  if (!isFirst) yield blocksOfLines([torn]);
}

/** The last block of each pair other than `own` (an index). */
export async function lastBlocksIn(folder: string, own: string): Promise<readonly BlockLine[]> {
  const others = (await namesIn(folder)).filter((name) => isIndex(name) && name !== own);
  const texts = await Promise.all(others.map((name) => partOf(path.join(folder, name), 'end')));
  return texts.flatMap((text) => lastBlock(text) ?? []);
}

/** The path of the object whose blocks lie in a folder; undefined = it cannot be known. */
export async function pathIn(folder: string): Promise<string | undefined> {
  for (const name of (await namesIn(folder)).filter(isIndex)) {
    const index = parsedIndex(await partOf(path.join(folder, name), 'begin'));
    if (index !== undefined) return index.path;
  }
  return undefined;
}

/**
 * Removes files of blocks and the folder, where that is empty then. All data go first: where it ends in the middle, a list finds
 * the newest block of each id, or that its bytes are gone, and never an older one in its place. Of the data those of the
 * newest block go first: a block whose line is newer came behind the end. Nothing is cut: another process may be reading
 * it, or giving it an object's name.
 */
export async function removeBlocks(folder: string, names: readonly string[]): Promise<void> {
  const data = await newestFirst(folder, names.filter(isData));
  for (const name of data) await rm(path.join(folder, name), { force: true });
  const indexes = names.filter(isIndex);
  if (data.length > 0 && indexes.length > 0) await syncFile(folder).catch(orAbsent);
  for (const name of indexes) await rm(path.join(folder, name), { force: true });
  // Whoever begins anew in it meanwhile keeps it.
  await rmdir(folder).catch(() => {});
}

async function newestFirst(folder: string, data: readonly string[]): Promise<readonly string[]> {
  if (data.length < 2) return data;
  const orders = new Map<string, number>();
  for (const name of data) {
    const last = lastBlock(await partOf(path.join(folder, name.replace(/^data/, 'index')), 'end'));
    orders.set(name, last?.order ?? 0);
  }
  return [...data].sort((one, other) => (orders.get(other) ?? 0) - (orders.get(one) ?? 0));
}

/** When a file was last written or renamed, UTC milliseconds; undefined = it is not there. */
export async function lastChange(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(orAbsent);
  return found && Math.max(found.mtimeMs, found.ctimeMs);
}

/** For `catch`: what another process has removed is not there. @throws every other failure */
export function orAbsent(error: unknown): undefined {
  if (isAbsent(error)) return undefined;
  throw error;
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ESTALE';
}

async function partOf(file: string, which: 'begin' | 'end'): Promise<string> {
  const handle = await open(file).catch(orAbsent);
  if (handle === undefined) return '';
  try {
    const { size } = await handle.stat();
    const position = which === 'begin' ? 0 : Math.max(0, size - PART_BYTES);
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(Math.min(size, PART_BYTES)), position });
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

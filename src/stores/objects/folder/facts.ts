/**
 * What is known of an object beside its bytes, in a small file of the same name in `.facts` of its folder. It is written
 * before the object gets its name, and holds for exactly the file that it describes: of any other (an operator may put
 * files here by hand) the defaults hold.
 */
import type { BigIntStats } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { ObjectFacts } from '../../../core/files/object-store.ts';

export const FACTS_FOLDER = '.facts';
const DEFAULT_TYPE = 'application/octet-stream';

const stored = z.object({
  path: z.string(),
  bytes: z.number(),
  lastModified: z.number(),
  contentType: z.string(),
  md5: z.string().optional(),
  list: z.string().optional(),
});

export interface StoredFacts {
  /** Of the object, where its file's name could not hold it. */
  readonly path: string;
  readonly bytes: number;
  /** UTC milliseconds: the file's time of modification is set to it. */
  readonly lastModified: number;
  readonly contentType: string;
  readonly md5?: string;
  /** Sum of the list of blocks that it was made of: a client whose answer was lost sends its list again. */
  readonly list?: string;
}

export async function writeFacts(file: string, facts: StoredFacts): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await handle.writeFile(JSON.stringify(facts));
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

export async function readFacts(file: string): Promise<StoredFacts | undefined> {
  try {
    const { md5, list, ...facts } = stored.parse(JSON.parse(await readFile(file, 'utf8')));
    return { ...facts, ...(md5 !== undefined && { md5 }), ...(list !== undefined && { list }) };
  } catch {
    return undefined;
  }
}

/** The facts of a file on the disk, with those that were stored of it where they are of this very file. */
export function factsOf(file: BigIntStats, known: StoredFacts | undefined): ObjectFacts {
  const bytes = Number(file.size);
  const lastModified = Number(file.mtimeMs);
  const facts = { bytes, lastModified, etag: etagOf(lastModified, bytes) };
  if (!isOf(known, facts)) return { ...facts, contentType: DEFAULT_TYPE };
  const { contentType, md5 } = known;
  return md5 === undefined ? { ...facts, contentType } : { ...facts, contentType, md5 };
}

/** Whether what was stored is of that very file. */
export function isOf(
  known: StoredFacts | undefined,
  { bytes, lastModified }: Pick<ObjectFacts, 'bytes' | 'lastModified'>,
): known is StoredFacts {
  return known?.bytes === bytes && known.lastModified === lastModified;
}

/** In the form of the storage service; an object's time of modification always grows. */
function etagOf(lastModified: number, bytes: number): string {
  return `0x8D${lastModified.toString(16).toUpperCase()}${bytes.toString(16).toUpperCase()}`;
}

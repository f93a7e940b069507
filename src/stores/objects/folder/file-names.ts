/**
 * Paths of objects -> names of plain files, so that an operator finds a device's files in a folder named after it. The
 * first segment is the folder, the rest one file name in which slashes are encoded: an object may be called like the
 * beginning of another, which a file and a folder may not.
 */
import { createHash } from 'node:crypto';

/** Bytes of a file name that every file system takes. */
const NAME_BYTES_MAX = 200;
const HASH_CHARS = 24;

export interface FileName {
  readonly folder: string;
  readonly file: string;
}

/** @param foldsCase the file system does not tell `A` from `a`, so capitals are encoded. */
export function fileNameOf(path: string, foldsCase: boolean): FileName {
  const slash = path.indexOf('/');
  return { folder: encoded(path.slice(0, slash), foldsCase), file: encoded(path.slice(slash + 1), foldsCase) };
}

/** The folder's name for a prefix that names one whole first segment. */
export function folderNameOf(firstSegment: string, foldsCase: boolean): string {
  return encoded(firstSegment, foldsCase);
}

/** The text that was encoded; undefined where it was too long to stand in the name whole. */
export function decodedName(name: string): string | undefined {
  if (name.startsWith('~')) return undefined;
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
}

function encoded(text: string, foldsCase: boolean): string {
  // What `encodeURIComponent` leaves is safe but for these: `~` marks a cut name, a leading dot hides a file, and some
  // file systems refuse `*` and a dot at the end.
  let name = encodeURIComponent(text)
    .replace(/[~*'()!]/g, hex)
    .replace(/^\.|\.$/g, hex);
  if (foldsCase) name = name.replace(/%[0-9A-F]{2}|[A-Z]/g, (part) => (part.length === 1 ? hex(part) : part));
  if (name.length <= NAME_BYTES_MAX) return name;
  // Marked, cut and told apart by a sum; the facts beside the file hold the whole.
  const sum = createHash('sha256').update(text).digest('hex').slice(0, HASH_CHARS);
  return `~${sum}~${name.slice(0, NAME_BYTES_MAX - HASH_CHARS - 2).replace(/%.?$/, '')}`;
}

function hex(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** What an object in the bucket is marked with: which upload made it, and of which list of blocks. */
import { createHash, randomUUID } from 'node:crypto';

/** A mark that no other object has. @param ids of the blocks that the object is made of, in order */
export function newMark(ids: readonly string[] = []): string {
  return ids.length === 0 ? randomUUID() : `${randomUUID()}.${sumOf(ids)}`;
}

/** Whether an object was made of that list. */
export function isOfList(mark: string | undefined, ids: readonly string[]): boolean {
  return mark?.endsWith(`.${sumOf(ids)}`) === true;
}

function sumOf(ids: readonly string[]): string {
  return createHash('sha256').update(ids.join('\n')).digest('base64url');
}

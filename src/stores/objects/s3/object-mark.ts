import { randomUUID } from 'node:crypto';

/** A mark that no other object has, and that says of which list of blocks it is made. @param list its sum */
export function newMark(list?: string): string {
  return list === undefined ? randomUUID() : `${randomUUID()}.${list}`;
}

/** Whether an object was made of the list with that sum. */
export function isOfList(mark: string | undefined, list: string): boolean {
  return mark?.endsWith(`.${list}`) === true;
}

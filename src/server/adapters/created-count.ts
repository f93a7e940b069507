import { existsSync, readFileSync } from 'node:fs';
import { writeFileDurably } from '../data/data-folder.ts';

/** How many devices an adapter has brought into the registry, over all starts: one that floods must not fill it in turns. */
export interface CreatedCount {
  readonly count: number;
  /** Durable when it returns. */
  add(): void;
}

/** @param file Holds the number as text */
export function openCreatedCount(file: string): CreatedCount {
  let count = existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) || 0 : 0;
  return {
    get count() {
      return count;
    },
    add() {
      count++;
      writeFileDurably(file, `${count}\n`);
    },
  };
}

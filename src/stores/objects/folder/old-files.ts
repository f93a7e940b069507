/** Files that are replaced or removed: their room is freed a piece at a time, unless they are still being read. */
import { randomUUID } from 'node:crypto';
import { link, rm } from 'node:fs/promises';
import path from 'node:path';
import { discard } from '../disk/discard.ts';
import type { DiskTurns } from '../disk/disk-turns.ts';

/** What becomes of a file that loses its name. */
export interface ReplacedFiles {
  /** Said before the file is opened to be read; the returned function says that it is closed. */
  reads(file: string): () => void;
  /** Has `lose` take the file its name, and frees its room behind that. */
  lost(file: string, lose: () => Promise<unknown>): Promise<void>;
}

/**
 * Where other processes may be reading it: the file system frees it when the last one has closed it. That takes long for gigabytes,
 * but where processes share files the event log is on other disks.
 */
export const removedFiles: ReplacedFiles = {
  reads: () => () => {},
  async lost(_file, lose) {
    await lose();
  },
};

export class OldFiles implements ReplacedFiles {
  readonly #folder: string;
  readonly #turns: DiskTurns;
  /** By the name that a file has, or had when it was opened. */
  readonly #readers = new Map<string, number>();

  /** @param folder on the same file system; what a crash leaves there is removed by its owner. */
  constructor(folder: string, turns: DiskTurns) {
    this.#folder = folder;
    this.#turns = turns;
  }

  reads(file: string): () => void {
    this.#readers.set(file, (this.#readers.get(file) ?? 0) + 1);
    return () => {
      const left = (this.#readers.get(file) ?? 0) - 1;
      if (left > 0) this.#readers.set(file, left);
      else this.#readers.delete(file);
    };
  }

  async lost(file: string, lose: () => Promise<unknown>): Promise<void> {
    const aside = path.join(this.#folder, `gone-${randomUUID()}`);
    // No file, or a file system without second names: what is lost is freed at once.
    const isAside = await link(file, aside).then(
      () => true,
      () => false,
    );
    try {
      await lose();
    } finally {
      // Who opened it before it lost its name has said so before.
      if (isAside && this.#readers.has(file)) await rm(aside, { force: true });
      else if (isAside) await discard(aside, this.#turns);
    }
  }
}

import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { DiskTurns } from './disk-turns.ts';
import { StagedBlocks } from './staged-blocks.ts';

export const STAGING_FOLDER = '.staging';

/** All unfinished objects of a folder store. */
export class Staging {
  readonly #folder: string;
  readonly #turns: DiskTurns;
  readonly #byPath = new Map<string, StagedBlocks>();

  constructor(folder: string, turns: DiskTurns) {
    this.#folder = folder;
    this.#turns = turns;
  }

  /** What an earlier run has left: blocks are kept, the rest of unfinished work is removed. */
  static async open(folder: string, turns: DiskTurns): Promise<Staging> {
    const staging = new Staging(folder, turns);
    for (const name of await readdir(folder)) {
      const staged = await StagedBlocks.reopen(path.join(folder, name), turns);
      // Whose bytes have become an object, or whose index a crash has torn in its first line, is nothing any more.
      const hasData = await stat(path.join(folder, name, 'data')).catch(() => undefined);
      if (staged !== undefined && hasData !== undefined) staging.#byPath.set(staged.objectPath, staged);
      else await rm(path.join(folder, name), { recursive: true, force: true });
    }
    return staging;
  }

  of(objectPath: string): StagedBlocks {
    const known = this.#byPath.get(objectPath);
    if (known !== undefined) return known;
    const staged = new StagedBlocks(objectPath, this.#folderOf(objectPath), this.#turns);
    this.#byPath.set(objectPath, staged);
    return staged;
  }

  all(): readonly StagedBlocks[] {
    return [...this.#byPath.values()];
  }

  bytesOf(objectPath: string): number {
    return this.#byPath.get(objectPath)?.bytes ?? 0;
  }

  /** @param dropped is told how many bytes are not there any more. */
  async drop(objectPath: string, dropped: (bytes: number) => void): Promise<void> {
    const staged = this.#byPath.get(objectPath);
    if (staged === undefined) return;
    this.#byPath.delete(objectPath);
    await staged.remove();
    dropped(staged.bytes);
  }

  /** Drops those in which nothing was staged since `before` (UTC milliseconds). */
  async expire(before: number, dropped: (objectPath: string, bytes: number) => void): Promise<void> {
    for (const staged of this.all()) {
      const index = path.join(this.#folderOf(staged.objectPath), 'index');
      const found = await stat(index).catch(() => undefined);
      if (found !== undefined && found.mtimeMs >= before) continue;
      await this.drop(staged.objectPath, (bytes) => dropped(staged.objectPath, bytes));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.all().map((staged) => staged.close()));
  }

  #folderOf(objectPath: string): string {
    return path.join(this.#folder, createHash('sha256').update(objectPath).digest('hex').slice(0, 32));
  }
}

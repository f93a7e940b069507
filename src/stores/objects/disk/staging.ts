import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { limits } from '../../../base/limits.ts';
import { Shares } from '../../../base/shares.ts';
import { ObjectError } from '../../../core/files/object-store.ts';
import type { PathLocks } from '../path-locks.ts';
import type { DiskTurns } from './disk-turns.ts';
import { type BlockPlaces, StagedBlocks } from './staged-blocks.ts';

export const STAGING_FOLDER = '.staging';

/** All unfinished objects of a folder store. */
export class Staging {
  readonly #folder: string;
  readonly #turns: DiskTurns;
  readonly #byPath = new Map<string, StagedBlocks>();
  /** How many of them are of each device. */
  readonly #countOf = new Map<string, number>();
  readonly #blocks = new Shares({ max: limits.fileBlocksInAllMax, perKeyMax: limits.fileBlocksPerDeviceMax });

  constructor(folder: string, turns: DiskTurns) {
    this.#folder = folder;
    this.#turns = turns;
  }

  /** What an earlier run has left: blocks are kept, the rest of unfinished work is removed. */
  static async open(folder: string, turns: DiskTurns): Promise<Staging> {
    const staging = new Staging(folder, turns);
    for (const name of await readdir(folder)) {
      const staged = await StagedBlocks.reopen(path.join(folder, name), turns, (objectPath) =>
        staging.#placesOf(objectPath),
      );
      // Whose bytes have become an object, or whose index a crash has torn in its first line, is nothing any more.
      const hasData = await stat(path.join(folder, name, 'data')).catch(() => undefined);
      if (staged !== undefined && hasData !== undefined) staging.#add(staged);
      else await rm(path.join(folder, name), { recursive: true, force: true });
    }
    return staging;
  }

  /** @throws ObjectError full: the device has so many unfinished ones */
  of(objectPath: string): StagedBlocks {
    const known = this.#byPath.get(objectPath);
    if (known !== undefined) return known;
    if ((this.#countOf.get(deviceOf(objectPath)) ?? 0) >= limits.fileUnfinishedPerDeviceMax)
      throw new ObjectError('full', 'too many unfinished files');
    const staged = new StagedBlocks(objectPath, this.#folderOf(objectPath), this.#turns, this.#placesOf(objectPath));
    this.#add(staged);
    return staged;
  }

  /** Undefined = nothing is staged under the path. */
  find(objectPath: string): StagedBlocks | undefined {
    return this.#byPath.get(objectPath);
  }

  all(): readonly StagedBlocks[] {
    return [...this.#byPath.values()];
  }

  bytesOf(objectPath: string): number {
    return this.#byPath.get(objectPath)?.bytes ?? 0;
  }

  /** The caller works on the object alone. @param dropped is told how many bytes are not there any more. */
  async drop(objectPath: string, dropped: (bytes: number) => void): Promise<void> {
    const staged = this.#byPath.get(objectPath);
    if (staged === undefined) return;
    // What cannot be removed now is so at a later call.
    await staged.remove();
    this.#byPath.delete(objectPath);
    const device = deviceOf(objectPath);
    const left = (this.#countOf.get(device) ?? 0) - 1;
    if (left > 0) this.#countOf.set(device, left);
    else this.#countOf.delete(device);
    dropped(staged.bytes);
  }

  /**
   * Drops those in which nothing was staged since `before` (UTC milliseconds). Where a client is at work it is left for the next
   * time: one that sends a block slowly does not hold up all others.
   */
  async expire(before: number, locks: PathLocks, dropped: (objectPath: string, bytes: number) => void): Promise<void> {
    for (const { objectPath } of this.all()) {
      if (locks.isUsed(objectPath)) continue;
      await locks.run(objectPath, async () => {
        const found = await stat(path.join(this.#folderOf(objectPath), 'index')).catch(() => undefined);
        if (found !== undefined && found.mtimeMs >= before) return;
        await this.drop(objectPath, (bytes) => dropped(objectPath, bytes));
      });
    }
  }

  /** Drops those whose paths begin with `prefix`, in the same way. */
  async dropAll(prefix: string, locks: PathLocks, dropped: (objectPath: string, bytes: number) => void): Promise<void> {
    for (const { objectPath } of this.all()) {
      if (!objectPath.startsWith(prefix)) continue;
      await locks.run(objectPath, () => this.drop(objectPath, (bytes) => dropped(objectPath, bytes)));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.all().map((staged) => staged.close()));
  }

  #add(staged: StagedBlocks): void {
    const known = this.#byPath.has(staged.objectPath);
    this.#byPath.set(staged.objectPath, staged);
    const device = deviceOf(staged.objectPath);
    if (!known) this.#countOf.set(device, (this.#countOf.get(device) ?? 0) + 1);
  }

  #placesOf(objectPath: string): BlockPlaces {
    const device = deviceOf(objectPath);
    return { take: () => this.#blocks.take(device), give: (count) => this.#blocks.give(device, count) };
  }

  #folderOf(objectPath: string): string {
    return path.join(this.#folder, createHash('sha256').update(objectPath).digest('hex').slice(0, 32));
  }
}

function deviceOf(objectPath: string): string {
  return objectPath.slice(0, objectPath.indexOf('/'));
}

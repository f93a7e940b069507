import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { ObjectError } from '../../../core/files/object-store.ts';
import type { PathLocks } from '../path-locks.ts';
import { BlockBounds } from './block-bounds.ts';
import { namesIn } from './block-files.ts';
import { BlockList } from './block-list.ts';
import type { DiskTurns } from './disk-turns.ts';
import { StagedBlocks } from './staged-blocks.ts';
import { type BlockContent, type Blocks, type Dropped, folderOfBlocks, type Unfinished } from './unfinished.ts';

/** What both kinds of staging are made of. */
export interface StagingParts {
  /** Of the blocks of all objects; it is there. */
  readonly folder: string;
  readonly turns: DiskTurns;
  /** Of the objects' paths. */
  readonly locks: PathLocks;
  readonly dropped: Dropped;
}

/** All unfinished objects of a folder that nobody else uses: which blocks there are is known without asking the disk. */
export class Staging implements Unfinished {
  readonly #parts: StagingParts;
  readonly #byPath = new Map<string, StagedBlocks>();
  readonly #bounds = new BlockBounds();

  private constructor(parts: StagingParts) {
    this.#parts = parts;
  }

  /** What an earlier run has left: blocks are kept, the rest of unfinished work is removed. */
  static async open(parts: StagingParts): Promise<Staging> {
    const { folder, turns } = parts;
    const staging = new Staging(parts);
    for (const name of await readdir(folder)) {
      const staged = await StagedBlocks.reopen(path.join(folder, name), turns, (objectPath) =>
        staging.#bounds.placesOf(objectPath),
      );
      // Whose bytes have become an object, or whose index a crash has torn in its first line, is nothing any more; and where
      // processes that shared the folder have taken blocks too, those known here may be older ones.
      const names = await namesIn(path.join(folder, name));
      const isOurs = names.includes('data') && names.every((each) => each === 'data' || each === 'index');
      if (staged !== undefined && isOurs) staging.#add(staged);
      else await rm(path.join(folder, name), { recursive: true, force: true });
    }
    return staging;
  }

  all(): readonly { readonly objectPath: string; readonly bytes: number }[] {
    return [...this.#byPath.values()];
  }

  async write(objectPath: string, id: string, content: BlockContent): Promise<void> {
    const staged = this.#of(objectPath);
    try {
      await staged.write(id, content);
    } finally {
      this.#parts.dropped(objectPath, -staged.leftGrown());
    }
  }

  async blocks(objectPath: string): Promise<Blocks> {
    // No block, no entry: but an object of none may be wanted.
    return this.#byPath.get(objectPath) ?? noBlocks(this.#parts.turns);
  }

  async bytesOf(objectPath: string): Promise<number> {
    return this.#byPath.get(objectPath)?.bytes ?? 0;
  }

  async drop(objectPath: string): Promise<void> {
    const staged = this.#byPath.get(objectPath);
    if (staged === undefined) return;
    // What cannot be removed now is so at a later call.
    await staged.remove();
    this.#byPath.delete(objectPath);
    this.#bounds.ended(objectPath);
    this.#parts.dropped(objectPath, staged.bytes);
  }

  async expire(before: number): Promise<void> {
    const { folder, locks } = this.#parts;
    for (const { objectPath } of this.all()) {
      if (locks.isUsed(objectPath)) continue;
      await locks.run(objectPath, async () => {
        const found = await stat(path.join(folderOfBlocks(folder, objectPath), 'index')).catch(() => undefined);
        if (found !== undefined && found.mtimeMs >= before) return;
        await this.drop(objectPath);
      });
    }
  }

  async dropAll(prefix: string): Promise<void> {
    for (const { objectPath } of this.all()) {
      if (objectPath.startsWith(prefix)) await this.#parts.locks.run(objectPath, () => this.drop(objectPath));
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#byPath.values()].map((staged) => staged.close()));
  }

  /** @throws ObjectError full */
  #of(objectPath: string): StagedBlocks {
    const known = this.#byPath.get(objectPath);
    if (known !== undefined) return known;
    this.#bounds.demand(objectPath);
    const { folder, turns } = this.#parts;
    const places = this.#bounds.placesOf(objectPath);
    const staged = new StagedBlocks(objectPath, folderOfBlocks(folder, objectPath), turns, places);
    this.#add(staged);
    return staged;
  }

  #add(staged: StagedBlocks): void {
    if (!this.#byPath.has(staged.objectPath)) this.#bounds.begun(staged.objectPath);
    this.#byPath.set(staged.objectPath, staged);
  }
}

function noBlocks(turns: DiskTurns): Blocks {
  return {
    isOver: true,
    async list(ids) {
      if (ids.length > 0) throw new ObjectError('unknownBlock');
      return new BlockList([], turns);
    },
    asObject: async () => undefined,
    areThere: async () => true,
    close: async () => {},
  };
}

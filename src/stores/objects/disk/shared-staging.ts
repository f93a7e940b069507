import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { AllBlocks } from './all-blocks.ts';
import { BlockBounds } from './block-bounds.ts';
import { lastChange, namesIn, pathIn, removeBlocks } from './block-files.ts';
import { OwnBlocks } from './own-blocks.ts';
import type { StagingParts } from './staging.ts';
import { type BlockContent, type Blocks, folderOfBlocks, type Unfinished } from './unfinished.ts';

/**
 * Unfinished objects of a folder that several processes use at the same time, each with files of its own (`block-files.ts`): which blocks
 * there are only the disk knows. A start removes nothing. Bounds count what this process has taken.
 */
export class SharedStaging implements Unfinished {
  readonly #parts: StagingParts;
  /** What this process has taken, by the object's path. */
  readonly #own = new Map<string, OwnBlocks>();
  readonly #bounds = new BlockBounds();
  /** Paths of objects by the name of their folder, as far as they were asked for. */
  #paths = new Map<string, string>();

  constructor(parts: StagingParts) {
    this.#parts = parts;
  }

  async write(objectPath: string, id: string, content: BlockContent): Promise<void> {
    await this.#of(objectPath).write(id, content);
  }

  async blocks(objectPath: string, ids: readonly string[]): Promise<Blocks> {
    const own = this.#own.get(objectPath)?.index;
    return AllBlocks.read(objectPath, this.#folderOf(objectPath), ids, { turns: this.#parts.turns, own });
  }

  async bytesOf(objectPath: string): Promise<number> {
    return (await this.#own.get(objectPath)?.bytes()) ?? 0;
  }

  all(): readonly { readonly objectPath: string; readonly bytes: number }[] {
    return [...this.#own].map(([objectPath, { taken }]) => ({ objectPath, bytes: taken }));
  }

  async drop(objectPath: string): Promise<void> {
    const folder = this.#folderOf(objectPath);
    const own = this.#own.get(objectPath);
    await own?.close();
    await removeBlocks(folder, await namesIn(folder));
    if (own !== undefined) this.#forget(objectPath, own);
  }

  async dropAll(prefix: string): Promise<void> {
    const names = await this.#folders();
    const paths = new Map<string, string>();
    for (const name of names) {
      const objectPath = this.#paths.get(name) ?? (await pathIn(path.join(this.#parts.folder, name)));
      if (objectPath !== undefined) paths.set(name, objectPath);
    }
    this.#paths = paths;
    for (const objectPath of paths.values()) {
      if (objectPath.startsWith(prefix)) await this.#parts.locks.run(objectPath, () => this.drop(objectPath));
    }
  }

  /** Files that are not blocks too: what a process was storing when it was killed. */
  async expire(before: number): Promise<void> {
    const { folder, locks } = this.#parts;
    const own = new Map([...this.#own].map(([objectPath, blocks]) => [blocks.folder, objectPath]));
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const place = path.join(folder, entry.name);
      // A folder is young where a pair was begun in it lately; else its files are asked.
      const changed = (await lastChange(place)) ?? Number.POSITIVE_INFINITY;
      if (changed >= before) continue;
      if (entry.isDirectory()) await this.#expireBlocks(place, own.get(place), before);
      else if (isOnTheWay(entry.name)) await rm(place, { force: true });
    }
    for (const [objectPath, blocks] of this.#own) {
      if (locks.isUsed(objectPath)) continue;
      await locks.run(objectPath, async () => {
        if (await blocks.isGone()) this.#forget(objectPath, blocks);
      });
    }
  }

  /** @param objectPath where this process has taken some of them */
  async #expireBlocks(folder: string, objectPath: string | undefined, before: number): Promise<void> {
    const drop = async (): Promise<void> => {
      const names = await namesIn(folder);
      const changes = await Promise.all(names.map((name) => lastChange(path.join(folder, name))));
      if (changes.every((changed) => (changed ?? 0) < before)) await removeBlocks(folder, names);
    };
    if (objectPath === undefined) await drop();
    else if (!this.#parts.locks.isUsed(objectPath)) await this.#parts.locks.run(objectPath, drop);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#own.values()].map((own) => own.close()));
  }

  /** @throws ObjectError full */
  #of(objectPath: string): OwnBlocks {
    const known = this.#own.get(objectPath);
    if (known !== undefined) return known;
    this.#bounds.demand(objectPath);
    const own = new OwnBlocks({
      ...{ objectPath, folder: this.#folderOf(objectPath), turns: this.#parts.turns },
      places: this.#bounds.placesOf(objectPath),
      dropped: (bytes) => this.#parts.dropped(objectPath, bytes),
    });
    this.#own.set(objectPath, own);
    this.#bounds.begun(objectPath);
    return own;
  }

  #forget(objectPath: string, own: OwnBlocks): void {
    own.forgetAll();
    this.#own.delete(objectPath);
    this.#bounds.ended(objectPath);
  }

  #folderOf(objectPath: string): string {
    return folderOfBlocks(this.#parts.folder, objectPath);
  }

  /** Names of those with blocks. */
  async #folders(): Promise<readonly string[]> {
    const entries = await readdir(this.#parts.folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }
}

/** What a store makes beside blocks: of the folder store and of `spool.ts`. */
const isOnTheWay = (name: string): boolean => /^(put|facts|gone|case)-/.test(name);

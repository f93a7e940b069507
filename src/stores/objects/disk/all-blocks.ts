import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { ObjectError } from '../../../core/files/object-store.ts';
import { blocksIn, dataOf, isData, isIndex, namesIn, orAbsent } from './block-files.ts';
import type { BlockLine } from './block-lines.ts';
import { BlockList, type OpenRegion } from './block-list.ts';
import type { DiskTurns } from './disk-turns.ts';
import { contiguousBytes } from './placement.ts';
import type { Blocks } from './unfinished.ts';

interface Found extends BlockLine {
  /** Name of the index that tells of it. */
  readonly index: string;
}

/**
 * The blocks of one object that a list names, of all that processes have taken, as the disk has them at the moment in which they
 * are read. The others, of which there may be many more, are not kept.
 */
export class AllBlocks implements Blocks {
  readonly #folder: string;
  readonly #turns: DiskTurns;
  /** Name of the index that this process alone writes. */
  readonly #own: string | undefined;
  readonly #ids: ReadonlySet<string>;
  /** The newest of each id. */
  readonly #blocks = new Map<string, Found>();
  /** Names of data. */
  #files: ReadonlySet<string> = new Set();
  /** Of any block, named or not: whether one has its bytes, and the largest number of those whose bytes are gone. */
  #hasBytes = false;
  #goneOrder: number | undefined;
  /** By the name of the index. */
  readonly #data = new Map<string, FileHandle>();

  private constructor(
    folder: string,
    ids: readonly string[],
    { turns, own }: { readonly turns: DiskTurns; readonly own: string | undefined },
  ) {
    this.#folder = folder;
    this.#ids = new Set(ids);
    this.#turns = turns;
    this.#own = own;
  }

  /**
   * @param own name of the index that this process alone writes
   * @throws ObjectError unavailable: another process removes them at this moment
   */
  static async read(
    objectPath: string,
    folder: string,
    ids: readonly string[],
    parts: { readonly turns: DiskTurns; readonly own: string | undefined },
  ): Promise<AllBlocks> {
    const all = new AllBlocks(folder, ids, parts);
    const names = await namesIn(folder);
    all.#files = new Set(names.filter(isData));
    for (const index of names.filter(isIndex)) {
      try {
        for await (const blocks of blocksIn(path.join(folder, index), objectPath)) all.#keep(index, blocks);
      } catch (error) {
        orAbsent(error);
        throw beingRemoved();
      }
    }
    return all;
  }

  /** Whoever removes blocks removes the bytes of the newest one first. */
  get isOver(): boolean {
    if (!this.#hasBytes) return true;
    const gone = this.#goneOrder;
    const named = [...this.#ids].map((id) => this.#blocks.get(id));
    return (
      gone !== undefined &&
      named.every((block) => block !== undefined && (block.order ?? 0) <= gone) &&
      named.some((block) => block !== undefined && !this.#isThere(block.index))
    );
  }

  #isThere(index: string): boolean {
    return this.#files.has(dataOf(index));
  }

  #keep(index: string, blocks: readonly BlockLine[]): void {
    const isThere = this.#isThere(index);
    for (const block of blocks) {
      if (isThere) this.#hasBytes = true;
      else this.#goneOrder = Math.max(this.#goneOrder ?? 0, block.order ?? 0);
      if (!this.#ids.has(block.id)) continue;
      const known = this.#blocks.get(block.id);
      const found = { ...block, index };
      if (known === undefined || isNewer(found, known)) this.#blocks.set(block.id, found);
    }
  }

  async list(ids: readonly string[]): Promise<BlockList> {
    const regions: OpenRegion[] = [];
    for (const id of ids) {
      const block = this.#blocks.get(id);
      // An older block of that id is not what was sent last.
      if (block === undefined || !this.#isThere(block.index)) throw new ObjectError('unknownBlock');
      const { offset, bytes, index } = block;
      regions.push({ offset, bytes, data: this.#data.get(index) ?? (await this.#open(index)) });
    }
    return new BlockList(regions, this.#turns);
  }

  async asObject({ regions }: BlockList): Promise<string | undefined> {
    const bytes = contiguousBytes(regions);
    const own = this.#own === undefined ? undefined : this.#data.get(this.#own);
    if (bytes === undefined || own === undefined || regions.some(({ data }) => data !== own)) return undefined;
    await own.truncate(bytes);
    await this.#turns.run(() => own.datasync());
    return path.join(this.#folder, dataOf(this.#own ?? ''));
  }

  /** Of those that were listed. */
  async areThere(): Promise<boolean> {
    const names = new Set(await namesIn(this.#folder));
    return [...this.#data.keys()].every((index) => names.has(dataOf(index)));
  }

  async close(): Promise<void> {
    const handles = [...this.#data.values()];
    this.#data.clear();
    await Promise.all(handles.map((handle) => handle.close()));
  }

  async #open(index: string): Promise<FileHandle> {
    const mode = index === this.#own ? constants.O_RDWR : constants.O_RDONLY;
    const handle = await open(path.join(this.#folder, dataOf(index)), mode | constants.O_NOFOLLOW).catch(orAbsent);
    if (handle === undefined) throw beingRemoved();
    this.#data.set(index, handle);
    return handle;
  }
}

const beingRemoved = (): ObjectError => new ObjectError('unavailable', 'blocks are being removed');

/** Of one index the later line is the newer one; of two with one number, which came at the same time, either is. */
function isNewer(block: Found, known: Found): boolean {
  const [order, knownOrder] = [block.order ?? 0, known.order ?? 0];
  return order > knownOrder || (order === knownOrder && block.index >= known.index);
}

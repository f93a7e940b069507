import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { ObjectError } from '../../../core/files/object-store.ts';
import { dataOf, isIndex, namesIn, orAbsent } from './block-files.ts';
import { type BlockLine, parsedIndex } from './block-lines.ts';
import { BlockList, type OpenRegion } from './block-list.ts';
import type { DiskTurns } from './disk-turns.ts';
import { contiguousBytes } from './placement.ts';
import type { Blocks } from './unfinished.ts';

interface Found extends BlockLine {
  /** Name of the index that tells of it. */
  readonly index: string;
}

/** Blocks of one object that all processes have taken, as the disk has them at the moment in which they are read. */
export class AllBlocks implements Blocks {
  readonly #folder: string;
  readonly #turns: DiskTurns;
  /** Name of the index that this process alone writes. */
  readonly #own: string | undefined;
  #files: ReadonlySet<string> = new Set();
  /** The newest of each id. */
  readonly #blocks = new Map<string, Found>();
  /** By the name of the index. */
  readonly #data = new Map<string, FileHandle>();

  private constructor(folder: string, turns: DiskTurns, own: string | undefined) {
    this.#folder = folder;
    this.#turns = turns;
    this.#own = own;
  }

  /** @param own name of the index that this process alone writes */
  static async read(
    objectPath: string,
    folder: string,
    { turns, own }: { readonly turns: DiskTurns; readonly own: string | undefined },
  ): Promise<AllBlocks> {
    const all = new AllBlocks(folder, turns, own);
    const names = await namesIn(folder);
    all.#files = new Set(names);
    for (const index of names.filter(isIndex)) {
      const text = await readFile(path.join(folder, index), 'utf8').catch(orAbsent);
      const parsed = parsedIndex(text ?? '');
      if (parsed?.path !== objectPath) continue;
      for (const block of parsed.blocks) all.#keep({ ...block, index });
    }
    return all;
  }

  /** Bytes go before lines when blocks are removed: those that are left then are no blocks. */
  get isEmpty(): boolean {
    return ![...this.#blocks.values()].some(({ index }) => this.#files.has(dataOf(index)));
  }

  #keep(block: Found): void {
    const known = this.#blocks.get(block.id);
    if (known === undefined || isNewer(block, known)) this.#blocks.set(block.id, block);
  }

  async list(ids: readonly string[]): Promise<BlockList> {
    const regions: OpenRegion[] = [];
    for (const id of ids) {
      const block = this.#blocks.get(id);
      if (block === undefined) throw new ObjectError('unknownBlock');
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

  async close(): Promise<void> {
    const handles = [...this.#data.values()];
    this.#data.clear();
    await Promise.all(handles.map((handle) => handle.close()));
  }

  /** An upload that has ended elsewhere has no data any more, and an older block of that id is not what was sent last. */
  async #open(index: string): Promise<FileHandle> {
    const mode = index === this.#own ? constants.O_RDWR : constants.O_RDONLY;
    const handle = await open(path.join(this.#folder, dataOf(index)), mode | constants.O_NOFOLLOW).catch(orAbsent);
    if (handle === undefined) throw new ObjectError('unknownBlock', 'the data of a block is gone');
    this.#data.set(index, handle);
    return handle;
  }
}

/** Of one index the later line is the newer one; of two with one number, which came at the same time, either is. */
function isNewer(block: Found, known: Found): boolean {
  const [order, knownOrder] = [block.order ?? 0, known.order ?? 0];
  return order > knownOrder || (order === knownOrder && block.index >= known.index);
}

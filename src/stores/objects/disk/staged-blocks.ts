/**
 * The blocks of one unfinished object: one file of bytes, and an index of one JSON line per block, appended when the
 * block's bytes are durable. A block is there when its line is.
 *
 *     .staging/<sum of the path>/data      blocks, each in the region that `placement.ts` chose
 *     .staging/<sum of the path>/index     {"path":…}, then {"id":…,"offset":…,"bytes":…} for each block
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { limits } from '../../../base/limits.ts';
import { type ByteSource, ObjectError } from '../../../core/files/object-store.ts';
import type { BlockPlaces } from './block-bounds.ts';
import { type BlockLine, lineOfBlock, parsedIndex, pathLine } from './block-lines.ts';
import { BlockList } from './block-list.ts';
import { discard } from './discard.ts';
import { diskError } from './disk-error.ts';
import type { DiskPlace } from './disk-room.ts';
import type { DiskTurns } from './disk-turns.ts';
import { writeDurably } from './file-writer.ts';
import { LeftBytes } from './left-bytes.ts';
import { contiguousBytes, Placement, type Region } from './placement.ts';
import type { BlockContent, Blocks } from './unfinished.ts';

interface Files {
  readonly data: FileHandle;
  readonly index: FileHandle;
}

export class StagedBlocks implements Blocks {
  readonly objectPath: string;
  readonly #folder: string;
  readonly #turns: DiskTurns;
  readonly #places: BlockPlaces;
  #taken = 0;
  readonly #placement = new Placement();
  readonly #blocks = new Map<string, Region>();
  /** Bytes on the disk, and blocks that were ever put there: replaced ones included. */
  #bytes = 0;
  #count = 0;
  #opening: Promise<Files> | undefined;
  /** Lines are appended one after the other. */
  #appending: Promise<unknown> = Promise.resolve();
  /** Whether the index may end in the middle of a line. */
  #isTorn = false;
  readonly #writing = new Set<Promise<unknown>>();
  readonly #left = new LeftBytes();

  /** @param places for blocks, of which each takes one until all are removed */
  constructor(objectPath: string, folder: string, turns: DiskTurns, places: BlockPlaces) {
    this.objectPath = objectPath;
    this.#places = places;
    this.#folder = folder;
    this.#turns = turns;
  }

  /** What an earlier run of the program has left in a folder; undefined = nothing that can be used. */
  static async reopen(
    folder: string,
    turns: DiskTurns,
    placesOf: (objectPath: string) => BlockPlaces,
  ): Promise<StagedBlocks | undefined> {
    const text = await readFile(path.join(folder, 'index'), 'utf8').catch(() => '');
    const index = parsedIndex(text);
    if (index === undefined) return undefined;
    const staged = new StagedBlocks(index.path, folder, turns, placesOf(index.path));
    staged.#isTorn = !text.endsWith('\n');
    for (const { id, offset, bytes } of index.blocks) {
      // Those that are there are kept, whether there is a place for them or not.
      staged.#takePlace();
      staged.#keep(id, { offset, bytes });
      staged.#placement.take({ offset, bytes });
    }
    return staged;
  }

  /** On the disk, with what blocks have left there that broke off. */
  get bytes(): number {
    return this.#bytes + this.#left.bytes;
  }

  /** By how many bytes more than its blocks it has grown since the last call. */
  leftGrown(): number {
    return this.#left.grown();
  }

  get isOver(): boolean {
    return this.#blocks.size === 0;
  }

  /** Durable when it resolves. @throws ObjectError */
  async write(id: string, { source, bytes, offsetMax }: BlockContent): Promise<void> {
    const [known] = this.#blocks.keys();
    if (known !== undefined && known.length !== id.length) throw new ObjectError('blockId');
    if (this.#count + this.#writing.size >= limits.fileBlocksStagedMax) throw new ObjectError('tooManyBlocks');
    if (!this.#takePlace()) throw new ObjectError('tooManyBlocks');
    const work = this.#turns.room.holding(bytes, (place) => this.#write(id, source, { bytes, offsetMax, place }));
    this.#writing.add(work);
    try {
      await work;
    } catch (error) {
      this.#taken -= 1;
      this.#places.give(1);
      throw error;
    } finally {
      this.#writing.delete(work);
      // An upload may rest for an hour: its files are open only while something is written.
      if (this.#writing.size === 0) await this.#closeFiles();
    }
  }

  async #write(
    id: string,
    source: ByteSource,
    { bytes, offsetMax, place }: { bytes: number; offsetMax: number; place: DiskPlace },
  ): Promise<void> {
    const { data } = await this.#open();
    try {
      await this.#put(data, id, source, { bytes, offsetMax, place });
    } catch (error) {
      this.#left.broke(bytes);
      throw error;
    } finally {
      await this.#left.look(data, () => this.#bytes).catch(() => {});
    }
  }

  async #put(
    data: FileHandle,
    id: string,
    source: ByteSource,
    { bytes, offsetMax, place }: { bytes: number; offsetMax: number; place: DiskPlace },
  ): Promise<void> {
    const region = this.#placement.place(id, bytes, offsetMax);
    try {
      await writeDurably(data, source, region.offset, { turns: this.#turns, place });
    } catch (error) {
      this.#placement.release(region);
      throw error;
    }
    // Where this fails the line may be on the disk all the same, so that nobody else gets the region.
    await this.#append({ id, ...region });
    this.#keep(id, region);
  }

  #takePlace(): boolean {
    const isTaken = this.#places.take();
    if (isTaken) this.#taken += 1;
    return isTaken;
  }

  #keep(id: string, region: Region): void {
    this.#blocks.set(id, region);
    this.#bytes += region.bytes;
    this.#count += 1;
  }

  /** What is being written now, so that a commit finds it whole. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#writing]);
  }

  async list(ids: readonly string[]): Promise<BlockList> {
    const regions = ids.map((id) => {
      const region = this.#blocks.get(id);
      if (region === undefined) throw new ObjectError('unknownBlock');
      return region;
    });
    const { data } = await this.#open();
    return new BlockList(
      regions.map((region) => ({ ...region, data })),
      this.#turns,
    );
  }

  async asObject({ regions }: BlockList): Promise<string | undefined> {
    const bytes = contiguousBytes(regions);
    if (bytes === undefined) return undefined;
    const { data } = await this.#open();
    await data.truncate(bytes);
    await this.#turns.run(() => data.datasync());
    return path.join(this.#folder, 'data');
  }

  async areThere(): Promise<boolean> {
    return true;
  }

  /** Several blocks may come at once: the first opens the files for all. */
  #open(): Promise<Files> {
    this.#opening ??= this.#openFiles().catch((error) => {
      this.#opening = undefined;
      throw diskError(error);
    });
    return this.#opening;
  }

  async #openFiles(): Promise<Files> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const data = await open(path.join(this.#folder, 'data'), constants.O_RDWR | constants.O_CREAT, 0o600);
    const index = await open(path.join(this.#folder, 'index'), 'a', 0o600);
    if ((await index.stat()).size === 0) await index.appendFile(pathLine(this.objectPath));
    return { data, index };
  }

  #append(line: BlockLine): Promise<void> {
    const appended = this.#appending.then(async () => {
      const { index } = await this.#open();
      const begin = this.#isTorn ? '\n' : '';
      this.#isTorn = true;
      await index.appendFile(begin + lineOfBlock(line));
      this.#isTorn = false;
      await this.#turns.run(() => index.datasync());
    });
    this.#appending = appended.catch(() => {});
    return appended.catch((error) => {
      throw diskError(error);
    });
  }

  async close(): Promise<void> {
    await this.settled();
    await this.#closeFiles();
  }

  async #closeFiles(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    const files = await opening?.catch(() => undefined);
    await Promise.all([files?.data.close(), files?.index.close()]);
  }

  async remove(): Promise<void> {
    await this.close();
    // Where the rest fails nothing of it is an object's any more.
    this.#blocks.clear();
    await discard(path.join(this.#folder, 'data'), this.#turns);
    await rm(this.#folder, { recursive: true, force: true });
    if (this.#taken > 0) this.#places.give(this.#taken);
    this.#taken = 0;
  }
}

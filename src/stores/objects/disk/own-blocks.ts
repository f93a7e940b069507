/**
 * Blocks of one unfinished object that this process takes into a pair of files of its own (`block-files.ts`), in a folder that
 * other processes use at the same time. Any of them may remove the pair: when it has made an object of the blocks, say. So
 * a block is answered for only when its pair still has its names after the block's line is durable, and nothing is made
 * anew under an old name.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { limits } from '../../../base/limits.ts';
import { type ByteSource, ObjectError } from '../../../core/files/object-store.ts';
import type { BlockPlaces } from './block-bounds.ts';
import { dataOf, lastBlocksIn, lastChange } from './block-files.ts';
import { lineOfBlock, pathLine } from './block-lines.ts';
import { diskError } from './disk-error.ts';
import type { DiskPlace } from './disk-room.ts';
import type { DiskTurns } from './disk-turns.ts';
import { writeDurably } from './file-writer.ts';
import { LeftBytes } from './left-bytes.ts';
import { bytesOf, isNamed, type OpenPair, type Pair, reopened } from './own-pair.ts';
import { Placement, type Region } from './placement.ts';
import { syncFile } from './sync-file.ts';
import type { BlockContent } from './unfinished.ts';

export interface OwnBlocksParts {
  readonly objectPath: string;
  /** Of all blocks of the object. */
  readonly folder: string;
  readonly turns: DiskTurns;
  /** Each block takes one until it is gone. */
  readonly places: BlockPlaces;
  /** Told of bytes that another process has removed. */
  dropped(bytes: number): void;
}

const MAKE_TRIES = 3;

export class OwnBlocks {
  readonly #parts: OwnBlocksParts;
  /** Those that are still there, the one that is written to last. */
  #pairs: Pair[] = [];
  #idChars: number | undefined;
  /** Larger than the number of every block that was seen. */
  #order = 0;
  #opening: Promise<OpenPair> | undefined;
  /** Of pairs that are over, while others may still write there. */
  #left: OpenPair[] = [];
  #appending: Promise<unknown> = Promise.resolve();
  readonly #writing = new Set<Promise<unknown>>();

  constructor(parts: OwnBlocksParts) {
    this.#parts = parts;
  }

  get folder(): string {
    return this.#parts.folder;
  }

  /** Bytes of what is not known to be gone. */
  get taken(): number {
    return this.#pairs.reduce((sum, pair) => sum + bytesOf(pair), 0);
  }

  /** Bytes of those that are still there. */
  async bytes(): Promise<number> {
    const bytes = this.#pairs.map(async (pair) => ((await this.#isThere(pair)) ? bytesOf(pair) : 0));
    return (await Promise.all(bytes)).reduce((sum, each) => sum + each, 0);
  }

  /** Name of the index that is written to. */
  get index(): string | undefined {
    const pair = this.#pairs.at(-1);
    return pair?.isOver === false ? pair.index : undefined;
  }

  /** Durable, and there for every process, when it resolves. @throws ObjectError */
  async write(id: string, { source, bytes, offsetMax }: BlockContent): Promise<void> {
    const { places, turns } = this.#parts;
    if (this.#idChars !== undefined && this.#pairs.length > 0 && this.#idChars !== id.length)
      throw new ObjectError('blockId');
    const count = this.#pairs.reduce((sum, pair) => sum + pair.count, 0);
    if (count + this.#writing.size >= limits.fileBlocksStagedMax) throw new ObjectError('tooManyBlocks');
    if (!places.take()) throw new ObjectError('tooManyBlocks');
    const work = turns.room.holding(bytes, (place) => this.#write(id, source, { bytes, offsetMax, place }));
    this.#writing.add(work);
    try {
      await work;
    } catch (error) {
      places.give(1);
      throw diskError(error);
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
    const open = await this.#open();
    // Before anything of it is on the disk: what is refused is counted nowhere.
    await this.#see(open.pair, id);
    try {
      await this.#put(open, id, source, { bytes, offsetMax, place });
    } catch (error) {
      open.pair.left.broke(bytes);
      throw error;
    } finally {
      await this.#lookAtLeft(open);
    }
  }

  async #lookAtLeft({ pair, data }: OpenPair): Promise<void> {
    await pair.left.look(data, () => pair.bytes).catch(() => {});
    if (this.#pairs.includes(pair)) this.#parts.dropped(-pair.left.grown());
  }

  async #put(
    open: OpenPair,
    id: string,
    source: ByteSource,
    { bytes, offsetMax, place }: { bytes: number; offsetMax: number; place: DiskPlace },
  ): Promise<void> {
    const region = open.pair.placement.place(id, bytes, offsetMax);
    try {
      await writeDurably(open.data, source, region.offset, { turns: this.#parts.turns, place });
    } catch (error) {
      open.pair.placement.release(region);
      throw error;
    }
    const appended = this.#appending.then(() => this.#append(open, id, region));
    this.#appending = appended.catch(() => {});
    await appended;
  }

  /** Looks at the last blocks of others. @throws ObjectError blockId: theirs have ids of another length */
  async #see(pair: Pair, id: string): Promise<void> {
    const others = await lastBlocksIn(this.#parts.folder, pair.index);
    if (others.some((block) => block.id.length !== id.length)) throw new ObjectError('blockId');
    this.#order = Math.max(this.#order, ...others.map(({ order = 0 }) => order));
  }

  /** One after the other. */
  async #append(open: OpenPair, id: string, region: Region): Promise<void> {
    const { pair } = open;
    const { turns } = this.#parts;
    if (pair.isOver) throw gone();
    // Again: who sends a block when another one was answered sends the newer one.
    await this.#see(pair, id).catch((error) => {
      pair.placement.release(region);
      throw error;
    });
    this.#order += 1;
    try {
      await open.index.appendFile(lineOfBlock({ id, ...region, order: this.#order }));
      await turns.run(() => open.index.datasync());
    } catch (error) {
      // What the line is on the disk now nobody knows: its bytes stay, and nothing is written behind it.
      this.#end(open);
      throw error;
    }
    if (!(await isNamed(open.data)) || !(await isNamed(open.index))) {
      this.#end(open);
      this.#forget(pair);
      throw gone();
    }
    this.#idChars = id.length;
    pair.bytes += region.bytes;
    pair.count += 1;
  }

  /** Several blocks may come at once: the first opens the files for all. */
  #open(): Promise<OpenPair> {
    if (this.#opening === undefined) {
      const opening = this.#openPair().catch((error) => {
        if (this.#opening === opening) this.#opening = undefined;
        throw error;
      });
      this.#opening = opening;
    }
    return this.#opening;
  }

  async #openPair(): Promise<OpenPair> {
    const pair = this.#pairs.at(-1);
    if (pair?.isOver === false) {
      const known = await reopened(this.#parts.folder, pair);
      if (known !== undefined) return known;
      this.#forget(pair);
    }
    const made = await this.#make();
    this.#pairs.push(made.pair);
    return made;
  }

  async #make(): Promise<OpenPair> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#makeOnce();
      } catch (error) {
        // Another process has removed the folder in between, which was empty.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries === MAKE_TRIES) throw error;
      }
    }
  }

  async #makeOnce(): Promise<OpenPair> {
    const { folder, objectPath } = this.#parts;
    const isNew = (await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined;
    const index = `index-${randomUUID()}`;
    const [dataFile, indexFile] = [path.join(folder, dataOf(index)), path.join(folder, index)];
    const handles: FileHandle[] = [];
    try {
      handles.push(await open(dataFile, 'wx+', 0o600));
      handles.push(await open(indexFile, 'ax', 0o600));
      await handles[1].appendFile(pathLine(objectPath));
      await syncFile(folder);
      if (isNew) await syncFile(path.dirname(folder));
    } catch (error) {
      await Promise.all(handles.map((handle) => handle.close()));
      await rm(dataFile, { force: true });
      await rm(indexFile, { force: true });
      throw error;
    }
    const pair = { index, placement: new Placement(), bytes: 0, left: new LeftBytes(), count: 0, isOver: false };
    return { pair, data: handles[0], index: handles[1] };
  }

  /** What is under way there has no line yet, and is refused. */
  #end(open: OpenPair): void {
    if (open.pair.isOver) return;
    open.pair.isOver = true;
    this.#left.push(open);
    this.#opening = undefined;
  }

  /** Its blocks are gone. */
  #forget(pair: Pair): void {
    if (!this.#pairs.includes(pair)) return;
    this.#pairs = this.#pairs.filter((each) => each !== pair);
    this.#parts.places.give(pair.count);
    this.#parts.dropped(bytesOf(pair));
  }

  /** Forgets what other processes have removed. The caller works on the object alone. @returns whether nothing is left */
  async isGone(): Promise<boolean> {
    for (const pair of this.#pairs) if (!(await this.#isThere(pair))) this.#forget(pair);
    return this.#pairs.length === 0;
  }

  async #isThere(pair: Pair): Promise<boolean> {
    return (await lastChange(path.join(this.#parts.folder, pair.index))) !== undefined;
  }

  /** All of it is gone. The caller works on the object alone. */
  forgetAll(): void {
    for (const pair of this.#pairs) this.#forget(pair);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#writing]);
    await this.#closeFiles();
  }

  async #closeFiles(): Promise<void> {
    const [opening, left] = [this.#opening, this.#left];
    this.#opening = undefined;
    this.#left = [];
    const files = await opening?.catch(() => undefined);
    const handles = [...left, ...(files === undefined ? [] : [files])].flatMap(({ data, index }) => [data, index]);
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

const gone = (): ObjectError => new ObjectError('unavailable', 'blocks were removed while another one came');

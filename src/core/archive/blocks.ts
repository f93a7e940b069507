/**
 * The list of an archive's files of one partition, kept beside its cursor: a row for each block of files, so that years of them are
 * some thousands of rows. In memory are the heads of the blocks, and the newest one.
 */
import { limits } from '../../base/limits.ts';
import type { CursorPlace, CursorRow, CursorStore } from '../routes/ports.ts';
import { pathOf } from './rules.ts';
import type { ArchivedFile, FileScheme, ListedFile } from './types.ts';

/** Files of one scheme, in order. */
export interface Block {
  readonly key: string;
  readonly scheme: FileScheme;
  readonly files: readonly ArchivedFile[];
}

interface Head {
  readonly key: string;
  readonly first: number;
  readonly firstTime: number;
}

/** A row's value: the scheme, then each file as a list of numbers, of which bytes are -1 where they are not known. */
interface Stored {
  readonly scheme: FileScheme;
  readonly files: readonly (readonly number[])[];
}

const KEY_DIGITS = 16;
const keyOf = (first: number): string => String(first).padStart(KEY_DIGITS, '0');
/** The greatest key that is less. */
const keyBefore = (key: string): string | undefined => (Number(key) === 0 ? undefined : keyOf(Number(key) - 1));

export function rowOf({ key, scheme, files }: Block): CursorRow {
  const value: Stored = {
    scheme,
    files: files.map((file) => [
      ...[file.first, file.last, file.firstTime, file.lastTime],
      ...[file.events, file.bytes ?? -1, file.missed],
    ]),
  };
  return { key, value: JSON.stringify(value) };
}

function blockOf({ key, value }: CursorRow): Block {
  const { scheme, files } = JSON.parse(value) as Stored;
  return {
    ...{ key, scheme },
    files: files.map(([first, last, firstTime, lastTime, events, bytes, missed]) => ({
      ...{ first, last, firstTime, lastTime, events, missed },
      bytes: bytes === -1 ? undefined : bytes,
    })),
  };
}

export function listedFiles({ scheme, files }: Block): readonly ListedFile[] {
  const { partition, format } = scheme;
  return files.map((file) => ({ ...file, partition, format, path: pathOf(scheme, file.first, file.firstTime) }));
}

/** The files of one partition of one archive. */
export class FileBlocks {
  readonly #cursors: CursorStore;
  readonly #place: CursorPlace;
  readonly #heads: Head[] = [];
  #newest: Block | undefined;

  private constructor(cursors: CursorStore, place: CursorPlace) {
    this.#cursors = cursors;
    this.#place = place;
  }

  static async load(cursors: CursorStore, place: CursorPlace): Promise<FileBlocks> {
    const blocks = new FileBlocks(cursors, place);
    await blocks.refresh();
    return blocks;
  }

  /** Reads what has come since: the newest block that is known, and those behind it. */
  async refresh(): Promise<void> {
    const last = this.#heads.at(-1);
    let after = last === undefined ? undefined : keyBefore(last.key);
    for (;;) {
      const rows = await this.#cursors.rows(this.#place, after, limits.archiveBlocksPage);
      for (const row of rows) this.#keep(blockOf(row));
      if (rows.length < limits.archiveBlocksPage) return;
      after = rows.at(-1)?.key;
    }
  }

  get newest(): Block | undefined {
    return this.#newest;
  }

  /** The newest file. */
  get last(): ArchivedFile | undefined {
    return this.#newest?.files.at(-1);
  }

  /** The newest block with the file behind those that it has, or a new one where it is full or of another scheme. */
  with(scheme: FileScheme, file: ArchivedFile): Block {
    const newest = this.#newest;
    const goesOn =
      newest !== undefined &&
      newest.files.length < limits.archiveBlockFiles &&
      JSON.stringify(newest.scheme) === JSON.stringify(scheme);
    if (goesOn) return { ...newest, files: [...newest.files, file] };
    return { key: keyOf(file.first), scheme, files: [file] };
  }

  /** What `with` has given, or a block that has changed, is kept now. */
  saved(block: Block): void {
    // Of older ones the rows are read each time.
    if (this.#newest === undefined || block.key >= this.#newest.key) this.#keep(block);
  }

  /** The block that has the file that begins with this sequence number, if there is one. */
  async blockOf(first: number): Promise<Block | undefined> {
    const key = this.#heads.findLast((head) => head.first <= first)?.key;
    return key === undefined ? undefined : this.#load(key);
  }

  /** The block that has the file of this sequence number, or the next one behind it; undefined = none. */
  async find(sequence: number): Promise<ListedFile | undefined> {
    return this.#search(
      (head) => head.first <= sequence,
      (file) => file.last >= sequence,
    );
  }

  /** The first file with an event of this enqueued time or a later one. */
  async findTime(time: number): Promise<ListedFile | undefined> {
    return this.#search(
      (head) => head.firstTime <= time,
      (file) => file.lastTime >= time,
    );
  }

  /** Blocks in order; those that hold no file that begins behind `after` are left out. */
  async *all(after = -1): AsyncGenerator<Block> {
    const from = this.#heads.findLastIndex(({ first }) => first <= after);
    for (const { key } of this.#heads.slice(Math.max(0, from))) {
      const block = await this.#load(key);
      if (block !== undefined) yield block;
    }
  }

  async #search(
    mayBegin: (head: Head) => boolean,
    isIt: (file: ArchivedFile) => boolean,
  ): Promise<ListedFile | undefined> {
    let at = this.#heads.length - 1;
    while (at > 0 && !mayBegin(this.#heads[at])) at--;
    for (; at >= 0 && at < this.#heads.length; at++) {
      const block = await this.#load(this.#heads[at].key);
      const found = block && listedFiles(block).find(isIt);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #load(key: string): Promise<Block | undefined> {
    if (key === this.#newest?.key) return this.#newest;
    const [row] = await this.#cursors.rows(this.#place, keyBefore(key), 1);
    return row?.key === key ? blockOf(row) : undefined;
  }

  #keep(block: Block): void {
    const [first] = block.files;
    const last = this.#heads.at(-1);
    if (last === undefined || last.key < block.key) {
      this.#heads.push({ key: block.key, first: first.first, firstTime: first.firstTime });
    }
    this.#newest = block;
  }
}

import type { FileHandle } from 'node:fs/promises';

/** Bytes of a block of the file system, in which a file's room is told (POSIX: `st_blocks`). */
const UNIT_BYTES = 512;

/**
 * Bytes of blocks that broke off. They stay in the file of an unfinished object until another block is put over them, or the
 * object ends: a client that breaks off on purpose would else fill a disk with what nobody counts.
 */
export class LeftBytes {
  /** Of all blocks that broke off: no more can be left. */
  #broken = 0;
  #found = 0;
  #told = 0;

  /** As the last call of `grown` has told it. */
  get bytes(): number {
    return this.#told;
  }

  /** A block of so many bytes broke off; how many of them were written nobody knows. */
  broke(bytes: number): void {
    this.#broken += bytes;
  }

  /** Looks again how many there are. @param kept bytes of the file's blocks, asked for when the file was looked at */
  async look(data: FileHandle, kept: () => number): Promise<void> {
    if (this.#broken === 0) return;
    const { blocks } = await data.stat();
    this.#found = Math.max(0, Math.min(this.#broken, blocks * UNIT_BYTES - kept()));
  }

  /** By how many bytes they have grown since the last call. */
  grown(): number {
    const grown = this.#found - this.#told;
    this.#told = this.#found;
    return grown;
  }
}

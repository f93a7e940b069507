/**
 * Fills the page cache, as it is on any server that has run for a while, before a measurement. Linux only.
 *
 * On a virtual machine whose host takes back memory that the guest does not use (free page reporting, balloons) each page
 * that was free costs a fault in the host, 2 to 9 microseconds for 4 KiB here, which the writer of files pays for: after
 * some ten seconds of load half of the hub's CPU time. With a full cache the kernel takes old pages of files instead.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Free memory that is left: more than the kernel keeps by itself, so that reading makes room and ends. */
const FREE_BYTES = 1.5 * 2 ** 30;
const PIECE_BYTES = 4 << 20;
/** How much is read at most, in machines' memories: something else may give memory back meanwhile. */
const READ_MEMORIES_MAX = 6;

export class PageCache {
  readonly #file: string;
  readonly #descriptor: number;
  readonly #fileBytes = 2 * os.totalmem();
  readonly #piece = Buffer.alloc(PIECE_BYTES);
  #at = 0;

  /** @param directory on a disk: what has its files in memory caches nothing */
  constructor(directory: string) {
    this.#file = path.join(directory, `page-cache-${process.pid}.dat`);
    this.#descriptor = openSync(this.#file, 'w+');
    // Holes take no room on the disk, but pages in the cache when they are read.
    ftruncateSync(this.#descriptor, this.#fileBytes);
  }

  /** Reads until little memory is free. */
  fill(): void {
    const begun = performance.now();
    let read = 0;
    while (freeBytes() > FREE_BYTES && read < READ_MEMORIES_MAX * os.totalmem()) {
      const got = readSync(this.#descriptor, this.#piece, 0, PIECE_BYTES, this.#at);
      this.#at = got < PIECE_BYTES ? 0 : this.#at + got;
      read += PIECE_BYTES;
      if (process.stderr.isTTY) process.stderr.write(`\rfilling the page cache: ${Math.floor(read / 2 ** 30)} GiB`);
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    if (freeBytes() > FREE_BYTES) {
      const seconds = ((performance.now() - begun) / 1000).toFixed(0);
      throw new Error(
        `the page cache did not fill in ${seconds} s: is ${path.dirname(this.#file)} on a disk? Choose another --directory.`,
      );
    }
  }

  /** Gives the memory back. */
  close(): void {
    closeSync(this.#descriptor);
    rmSync(this.#file);
  }
}

function freeBytes(): number {
  const line = /^MemFree:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  if (line === null) throw new Error('/proc/meminfo does not say how much memory is free');
  return Number(line[1]) * 1024;
}

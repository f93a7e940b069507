import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

/**
 * All that the journal asks of a file system, so that tests can inject faults and the simulation a disk of its own. A
 * rejected promise carries the system's error with its `code`.
 */
export interface JournalFiles {
  /** Makes the folder and its parents; done already is fine. */
  makeFolder(folder: string): Promise<void>;
  /** Names of the files in the folder, in no order. */
  list(folder: string): Promise<readonly string[]>;
  /** Makes a file that must not exist. */
  create(file: string): Promise<JournalFile>;
  /** Opens a file that exists, for reading and writing. */
  open(file: string): Promise<JournalFile>;
  unlink(file: string): Promise<void>;
  /** Makes the creation and removal of files in the folder durable. */
  syncFolder(folder: string): Promise<void>;
}

export interface JournalFile {
  size(): Promise<number>;
  /** Writes all of the buffers, one behind the other, from `at` on. May have written a part when it fails. */
  write(buffers: readonly Buffer[], at: number): Promise<void>;
  /** Fills `target` from `at` on; the answer is how many bytes there were. */
  read(target: Buffer, at: number): Promise<number>;
  truncate(length: number): Promise<void>;
  /** Makes what was written durable (fdatasync). */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const openFd = promisify(fs.open);
const closeFd = promisify(fs.close);
const fsyncFd = promisify(fs.fsync);
const fdatasyncFd = promisify(fs.fdatasync);
const ftruncateFd = promisify(fs.ftruncate);
const fstatFd = promisify(fs.fstat);

/** The machine's own file system. */
export const systemFiles: JournalFiles = {
  makeFolder: async (folder) => {
    await fs.promises.mkdir(folder, { recursive: true, mode: 0o700 });
    await syncFolder(path.dirname(folder));
  },
  list: (folder) => fs.promises.readdir(folder),
  create: async (file) => systemFile(await openFd(file, 'wx+', 0o600)),
  open: async (file) => systemFile(await openFd(file, 'r+')),
  unlink: (file) => fs.promises.unlink(file),
  syncFolder,
};

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a directory; its file systems journal names themselves.
  if (process.platform === 'win32') return;
  const fd = await openFd(folder, 'r');
  try {
    await fsyncFd(fd);
  } finally {
    await closeFd(fd);
  }
}

function systemFile(fd: number): JournalFile {
  return {
    size: async () => (await fstatFd(fd)).size,
    write: (buffers, at) => writeAll(fd, buffers, at),
    read: (target, at) => readAll(fd, target, at),
    truncate: (length) => ftruncateFd(fd, length),
    sync: () => fdatasyncFd(fd),
    close: () => closeFd(fd),
  };
}

/** One system call in the usual case; a short write (a nearly full disk) is continued until it succeeds or fails. */
async function writeAll(fd: number, buffers: readonly Buffer[], at: number): Promise<void> {
  let rest = buffers;
  let place = at;
  while (rest.length > 0) {
    const written = await writeSome(fd, rest, place);
    place += written;
    rest = behind(rest, written);
  }
}

function writeSome(fd: number, buffers: readonly Buffer[], at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.writev(fd, buffers, at, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}

function behind(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  let skip = bytes;
  for (let at = 0; at < buffers.length; at++) {
    if (skip < buffers[at].length) return [buffers[at].subarray(skip), ...buffers.slice(at + 1)];
    skip -= buffers[at].length;
  }
  return [];
}

async function readAll(fd: number, target: Buffer, at: number): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const got = await readSome(fd, target, filled, at + filled);
    if (got === 0) break;
    filled += got;
  }
  return filled;
}

function readSome(fd: number, target: Buffer, offset: number, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, target, offset, target.length - offset, at, (error, got) =>
      error === null ? resolve(got) : reject(error),
    );
  });
}

/**
 * A disk in memory under the journal, which loses and tears what was not synced and fails when it is told to.
 *
 * Each file has bytes as programs see them, and durable bytes. A sync makes the writes since the last one durable. A
 * sync that fails leaves them visible, but no later sync ever makes them durable: so do the page caches of today. A crash
 * keeps of everything that was not made durable whatever the random source decides, sector by sector, and of each
 * file name that was made or removed since the folder was synced either the old or the new state.
 */
import path from 'node:path';
import type { JournalFile, JournalFiles } from '../embedded/event-log/files.ts';

const SECTOR_BYTES = 512;

export type DiskCall =
  | 'list'
  | 'create'
  | 'open'
  | 'unlink'
  | 'syncFolder'
  | 'size'
  | 'write'
  | 'read'
  | 'truncate'
  | 'sync';

/** What goes wrong with a call. */
export interface DiskFault {
  /** The system's code, `EIO` or `ENOSPC`. */
  readonly code: string;
  /** Of a write: how many of its bytes get through before it fails. */
  readonly writtenBytes?: number;
}

interface Change {
  readonly at: number;
  /** Undefined = the file is cut at `at`. */
  readonly bytes: Buffer | undefined;
}

class Inode {
  seen: Buffer = Buffer.alloc(0);
  durable: Buffer = Buffer.alloc(0);
  pending: Change[] = [];
  /** Changes whose sync has failed. */
  lost: Change[] = [];
}

export class VirtualDisk implements JournalFiles {
  /** Asked before every call; the number counts all calls from 0 on. */
  fault: (call: DiskCall, file: string, number: number) => DiskFault | undefined = () => undefined;
  /** Bytes of all files together; a write that would exceed it writes what fits. */
  capacityBytes = Number.POSITIVE_INFINITY;
  calls = 0;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** Grows with every crash: files opened before it are gone. */
  #epoch = 0;

  get usedBytes(): number {
    return [...this.#names.values()].reduce((sum, inode) => sum + inode.seen.length, 0);
  }

  /** The file's bytes as a program sees them; for tests that look at them or damage them. */
  bytes(file: string): Buffer {
    return this.#find(file).seen;
  }

  /** Puts other bytes in the file's place, durably. */
  replace(file: string, bytes: Buffer): void {
    const inode = this.#names.get(file) ?? new Inode();
    [inode.seen, inode.durable, inode.pending, inode.lost] = [bytes, bytes, [], []];
    this.#names.set(file, inode);
    this.#durableNames.set(file, inode);
  }

  remove(file: string): void {
    this.#names.delete(file);
    this.#durableNames.delete(file);
  }

  files(): readonly string[] {
    return [...this.#names.keys()].sort();
  }

  /** A disk of its own with the same durable content, as after a clean power-off. */
  copy(): VirtualDisk {
    const copy = new VirtualDisk();
    for (const [name, inode] of this.#names) copy.replace(name, Buffer.from(inode.seen));
    return copy;
  }

  /** The power fails. `random` gives numbers from 0 to below 1. */
  crash(random: () => number): void {
    this.#epoch++;
    const inodes = new Set([...this.#names.values(), ...this.#durableNames.values()]);
    for (const inode of inodes) {
      let bytes = inode.durable;
      for (const change of [...inode.lost, ...inode.pending]) bytes = applyPartly(bytes, change, random);
      [inode.seen, inode.durable, inode.pending, inode.lost] = [bytes, bytes, [], []];
    }
    const names = new Map<string, Inode>();
    for (const name of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      const inode = (random() < 0.5 ? this.#names : this.#durableNames).get(name);
      if (inode !== undefined) names.set(name, inode);
    }
    this.#names = names;
    this.#durableNames = new Map(names);
  }

  async makeFolder(): Promise<void> {}

  async list(folder: string): Promise<readonly string[]> {
    await this.#call('list', folder);
    return [...this.#names.keys()].filter((name) => path.dirname(name) === folder).map((name) => path.basename(name));
  }

  async create(file: string): Promise<JournalFile> {
    await this.#call('create', file);
    if (this.#names.has(file)) throw systemError('EEXIST', file);
    const inode = new Inode();
    this.#names.set(file, inode);
    return this.#handle(file, inode);
  }

  async open(file: string): Promise<JournalFile> {
    await this.#call('open', file);
    return this.#handle(file, this.#find(file));
  }

  async unlink(file: string): Promise<void> {
    await this.#call('unlink', file);
    this.#find(file);
    this.#names.delete(file);
  }

  async syncFolder(folder: string): Promise<void> {
    await this.#call('syncFolder', folder);
    for (const name of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      if (path.dirname(name) !== folder) continue;
      const inode = this.#names.get(name);
      if (inode === undefined) this.#durableNames.delete(name);
      else this.#durableNames.set(name, inode);
    }
  }

  #handle(file: string, inode: Inode): JournalFile {
    const epoch = this.#epoch;
    const call = async (kind: DiskCall): Promise<DiskFault | undefined> => {
      if (epoch !== this.#epoch) throw systemError('EBADF', file);
      const fault = await this.#ask(kind, file);
      if (epoch !== this.#epoch) throw systemError('EBADF', file);
      return fault;
    };
    const done = (fault: DiskFault | undefined): void => {
      if (fault !== undefined) throw systemError(fault.code, file);
    };
    return {
      size: async () => {
        done(await call('size'));
        return inode.seen.length;
      },
      write: async (buffers, at) => {
        const fault = await call('write');
        const all = Buffer.concat(buffers);
        const room = Math.max(0, this.capacityBytes - this.usedBytes);
        const fits = Math.min(all.length, fault?.writtenBytes ?? (fault ? 0 : all.length), room);
        const change = { at, bytes: Buffer.from(all.subarray(0, fits)) };
        inode.pending.push(change);
        inode.seen = apply(inode.seen, change);
        done(fault);
        if (fits < all.length) throw systemError('ENOSPC', file);
      },
      read: async (target, at) => {
        done(await call('read'));
        return inode.seen.copy(target, 0, at);
      },
      truncate: async (length) => {
        done(await call('truncate'));
        const change = { at: length, bytes: undefined };
        inode.pending.push(change);
        inode.seen = apply(inode.seen, change);
      },
      sync: async () => {
        const fault = await call('sync');
        if (fault === undefined) for (const change of inode.pending) inode.durable = apply(inode.durable, change);
        else inode.lost.push(...inode.pending);
        inode.pending = [];
        done(fault);
      },
      close: async () => {},
    };
  }

  async #call(call: DiskCall, file: string): Promise<void> {
    const epoch = this.#epoch;
    const fault = await this.#ask(call, file);
    if (fault !== undefined) throw systemError(fault.code, file);
    if (epoch !== this.#epoch) throw systemError('EBADF', file);
  }

  async #ask(call: DiskCall, file: string): Promise<DiskFault | undefined> {
    const fault = this.fault(call, file, this.calls++);
    await Promise.resolve();
    return fault;
  }

  #find(file: string): Inode {
    const inode = this.#names.get(file);
    if (inode === undefined) throw systemError('ENOENT', file);
    return inode;
  }
}

function apply(bytes: Buffer, { at, bytes: written }: Change): Buffer {
  if (written === undefined) return bytes.subarray(0, at);
  const result = Buffer.alloc(Math.max(bytes.length, at + written.length));
  bytes.copy(result);
  written.copy(result, at);
  return result;
}

/** Each sector that the change touches gets its new or keeps its old bytes; the file's length is anything between. */
function applyPartly(bytes: Buffer, change: Change, random: () => number): Buffer {
  if (change.bytes === undefined) return random() < 0.5 ? apply(bytes, change) : bytes;
  const kind = random();
  if (kind < 0.2) return bytes;
  if (kind < 0.4) return apply(bytes, change);
  let result = bytes;
  const end = change.at + change.bytes.length;
  for (let at = change.at; at < end; ) {
    const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    const part = change.bytes.subarray(at - change.at, next - change.at);
    if (random() < 0.5) result = apply(result, { at, bytes: part });
    else if (kind < 0.7) return result;
    at = next;
  }
  return result;
}

function systemError(code: string, file: string): Error {
  return Object.assign(new Error(`${code}: ${file}`), { code });
}

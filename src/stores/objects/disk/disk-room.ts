/**
 * That files leave the event log its room on the disk, also while many come at once: what has been let in and is not written
 * yet counts as taken, and the disk is looked at again while bytes come, for others write to it, too.
 */
import { statfs } from 'node:fs/promises';
import { limits } from '../../../base/limits.ts';
import { ObjectError } from '../../../core/files/object-store.ts';

/** Room for one file that comes. */
export interface DiskPlace {
  /** So many bytes of it are written. @throws ObjectError full */
  wrote(bytes: number): Promise<void>;
}

export class DiskRoom {
  readonly #folder: string;
  /** Bytes that were let in and are not written. */
  #promised = 0;
  /** Bytes that were written, of whatever file, since the disk was looked at. */
  #unseen = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Keeps room for `bytes` while `use` writes them; more may come than that, and is looked at as it comes.
   * @throws ObjectError full, before `use` is called or while it writes
   */
  async holding<Result>(bytes: number, use: (place: DiskPlace) => Promise<Result>): Promise<Result> {
    await this.#demand(bytes);
    this.#promised += bytes;
    let left = bytes;
    try {
      return await use({
        wrote: async (count) => {
          const kept = Math.min(left, count);
          left -= kept;
          this.#promised -= kept;
          this.#unseen += count;
          if (this.#unseen >= limits.fileSyncBytes) await this.#demand(0);
        },
      });
    } finally {
      this.#promised -= left;
    }
  }

  async #demand(bytes: number): Promise<void> {
    this.#unseen = 0;
    const { bavail, blocks, bsize } = await statfs(this.#folder);
    const reserve = blocks * bsize * limits.filesDiskReserveShare;
    if (bavail * bsize - this.#promised - bytes < reserve) throw new ObjectError('full', 'little room is left');
  }
}

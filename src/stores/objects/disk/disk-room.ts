/**
 * That files leave the event log its room on the disk, also while many come at once: what has been let in and is not written
 * yet counts as taken, and the disk is looked at again while bytes come, for others write to it, too.
 */
import { statfs } from 'node:fs/promises';
import { limits } from '../../../base/limits.ts';
import { ObjectError } from '../../../core/files/object-store.ts';
import { diskError } from './disk-error.ts';

/** What is asked of a disk. */
type Disk = () => Promise<{ readonly bavail: number; readonly blocks: number; readonly bsize: number }>;

/** Room for one file that comes. */
export interface DiskPlace {
  /** So many bytes of it are about to be written. @throws ObjectError full */
  writes(bytes: number): Promise<void>;
  /** So many bytes of it are written. @throws ObjectError full */
  wrote(bytes: number): Promise<void>;
}

export class DiskRoom {
  readonly #disk: Disk;
  /** Bytes that were let in, of all files since the start. */
  #granted = 0;
  /** Those of them that were written, or are not to come any more. */
  #done = 0;
  /** Bytes that were written, of whatever file, since the disk was looked at. */
  #unseen = 0;

  /** @param disk the one that the folder is on */
  constructor(folder: string, disk: Disk = () => statfs(folder)) {
    this.#disk = disk;
  }

  /**
   * Keeps room for `bytes` while `use` writes them; more may come than that, and is let in as it comes.
   * @throws ObjectError full, before `use` is called or while it writes
   */
  async holding<Result>(bytes: number, use: (place: DiskPlace) => Promise<Result>): Promise<Result> {
    let left = await this.#grant(bytes, bytes);
    try {
      return await use({
        writes: async (count) => {
          const missing = count - left;
          if (missing > 0) left += await this.#grant(Math.max(missing, limits.fileSyncBytes), missing);
        },
        wrote: async (count) => {
          left -= count;
          this.#done += count;
          this.#unseen += count;
          if (this.#unseen >= limits.fileSyncBytes) await this.#demandReserve();
        },
      });
    } finally {
      this.#done += left;
    }
  }

  /** Lets in as many bytes as are wanted, or fewer where fewer are free; their number. @throws ObjectError full, unavailable */
  async #grant(wanted: number, atLeast: number): Promise<number> {
    // What is written while the disk is looked at may be missing in what is found: it counts as not written.
    const done = this.#done;
    const free = (await this.#free()) - (this.#granted - done);
    if (free < atLeast) throw noRoom();
    const given = Math.max(atLeast, Math.min(wanted, Math.floor(free)));
    this.#granted += given;
    return given;
  }

  /** What was let in goes on while the reserve itself is free: it holds what others write meanwhile. @throws ObjectError full, unavailable */
  async #demandReserve(): Promise<void> {
    if ((await this.#free()) < 0) throw noRoom();
  }

  /** Bytes beside the reserve. */
  async #free(): Promise<number> {
    this.#unseen = 0;
    const { bavail, blocks, bsize } = await this.#disk().catch((error) => {
      throw diskError(error);
    });
    return bavail * bsize - blocks * bsize * limits.filesDiskReserveShare;
  }
}

const noRoom = (): ObjectError => new ObjectError('full', 'little room is left');

/** Room for files: what is on its way counts, so that many at once do not take more than one after the other could. */
import { limits as bounds } from '../../base/limits.ts';
import { type ByteSource, ObjectError, type ObjectStore } from './object-store.ts';
import type { FileLimits } from './types.ts';

/** Whose room it takes. */
export interface SpaceOwner {
  /** The device's part of the container; undefined = the hub's own part, which has no bound of its own. */
  readonly folder: string | undefined;
  /** Whose bytes are counted together. */
  readonly deviceId: string | undefined;
}

/** A file that comes. @param bytes undefined = not stated */
interface Coming {
  readonly source: ByteSource;
  readonly bytes?: number;
}

export class FileSpace {
  readonly #limits: Pick<FileLimits, 'deviceBytesMax' | 'filesBytesMax'>;
  readonly #devices = new Map<string, number>();
  #all = 0;

  constructor(limits: Pick<FileLimits, 'deviceBytesMax' | 'filesBytesMax'>) {
    this.#limits = limits;
  }

  /**
   * Keeps room while `use` stores the content: all of it where its size is stated, else as it comes.
   * @throws ObjectError full, before `use` is called or out of the source
   */
  async letIn<Result>(
    store: Pick<ObjectStore, 'usage'>,
    owner: SpaceOwner,
    { source, bytes }: Coming,
    use: (source: ByteSource) => Promise<Result>,
  ): Promise<Result> {
    let taken = 0;
    const take = async (wanted: number, atLeast: number): Promise<void> => {
      taken += await this.#take(store, owner, wanted, atLeast);
    };
    async function* growing(): ByteSource {
      let come = 0;
      for await (const piece of source) {
        come += piece.length;
        if (come > taken) await take(Math.max(come - taken, bounds.fileSyncBytes), come - taken);
        yield piece;
      }
    }
    try {
      await take(bytes ?? 0, bytes ?? 0);
      return await use(bytes === undefined ? growing() : source);
    } finally {
      this.#add(owner, -taken);
    }
  }

  /** Takes so many bytes, or fewer where fewer are left: their number. @throws ObjectError full */
  async #take(store: Pick<ObjectStore, 'usage'>, owner: SpaceOwner, wanted: number, atLeast: number): Promise<number> {
    const { folder, deviceId } = owner;
    const [device, all] = await Promise.all([folder === undefined ? undefined : store.usage(folder), store.usage('')]);
    // From here on nobody else takes anything.
    const { deviceBytesMax, filesBytesMax } = this.#limits;
    const coming = deviceId === undefined ? 0 : (this.#devices.get(deviceId) ?? 0);
    const ofDevice = folder === undefined ? Number.POSITIVE_INFINITY : deviceBytesMax - coming - (device?.bytes ?? 0);
    const left = Math.min(ofDevice, filesBytesMax - this.#all - (all?.bytes ?? 0));
    if (left <= 0 || left < atLeast) throw new ObjectError('full', 'there is no more room for files');
    const given = Math.min(wanted, left);
    this.#add(owner, given);
    return given;
  }

  #add({ deviceId }: SpaceOwner, bytes: number): void {
    this.#all += bytes;
    if (deviceId === undefined) return;
    const coming = (this.#devices.get(deviceId) ?? 0) + bytes;
    if (coming === 0) this.#devices.delete(deviceId);
    else this.#devices.set(deviceId, coming);
  }
}

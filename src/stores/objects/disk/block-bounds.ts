import { limits } from '../../../base/limits.ts';
import { Shares } from '../../../base/shares.ts';
import { ObjectError } from '../../../core/files/object-store.ts';

/** Where blocks of an unfinished object are counted beside those of others. */
export interface BlockPlaces {
  /** False = there is none. */
  take(): boolean;
  give(count: number): void;
}

/** How many unfinished objects, and blocks of them, each device has in this process. */
export class BlockBounds {
  readonly #objects = new Map<string, number>();
  readonly #blocks = new Shares({ max: limits.fileBlocksInAllMax, perKeyMax: limits.fileBlocksPerDeviceMax });

  /** @throws ObjectError full: the device has so many unfinished ones */
  demand(objectPath: string): void {
    if ((this.#objects.get(deviceOf(objectPath)) ?? 0) >= limits.fileUnfinishedPerDeviceMax)
      throw new ObjectError('full', 'too many unfinished files');
  }

  begun(objectPath: string): void {
    const device = deviceOf(objectPath);
    this.#objects.set(device, (this.#objects.get(device) ?? 0) + 1);
  }

  ended(objectPath: string): void {
    const device = deviceOf(objectPath);
    const left = (this.#objects.get(device) ?? 0) - 1;
    if (left > 0) this.#objects.set(device, left);
    else this.#objects.delete(device);
  }

  placesOf(objectPath: string): BlockPlaces {
    const device = deviceOf(objectPath);
    return { take: () => this.#blocks.take(device), give: (count) => this.#blocks.give(device, count) };
  }
}

function deviceOf(objectPath: string): string {
  return objectPath.slice(0, objectPath.indexOf('/'));
}

/** How much lies in the folder, by device: counted once in the background after the start, then as it changes. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Usage } from '../../../core/files/object-store.ts';
import { STAGING_FOLDER } from '../disk/staging.ts';
import { folderNameOf } from './file-names.ts';

export class UsageCounts {
  readonly #folder: string;
  readonly #foldsCase: boolean;
  /** Of what has changed since the counting began; by the folder's name. */
  readonly #counts = new Map<string, { bytes: number; objects: number }>();
  #all = { bytes: 0, objects: 0 };
  readonly #counted: Promise<void>;

  constructor(folder: string, foldsCase: boolean) {
    this.#folder = folder;
    this.#foldsCase = foldsCase;
    this.#counted = this.#count();
    // Who asks hears of it.
    this.#counted.catch(() => {});
  }

  add(objectPath: string, bytes: number, objects: number): void {
    this.#addTo(folderNameOf(objectPath.slice(0, objectPath.indexOf('/')), this.#foldsCase), bytes, objects);
  }

  /** @param prefix `''`, or one that begins with a device: all of the device's files are counted together. */
  async of(prefix: string): Promise<Usage> {
    await this.#counted;
    if (prefix === '') return { ...this.#all };
    return { bytes: 0, objects: 0, ...this.#counts.get(folderNameOf(prefix.split('/')[0], this.#foldsCase)) };
  }

  #addTo(name: string, bytes: number, objects: number): void {
    const known = this.#counts.get(name) ?? { bytes: 0, objects: 0 };
    known.bytes += bytes;
    known.objects += objects;
    if (known.bytes === 0 && known.objects === 0) this.#counts.delete(name);
    else this.#counts.set(name, known);
    this.#all = { bytes: this.#all.bytes + bytes, objects: this.#all.objects + objects };
  }

  async #count(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (name === STAGING_FOLDER) continue;
      for (const entry of await readdir(path.join(this.#folder, name), { withFileTypes: true }).catch(() => [])) {
        if (!entry.isFile()) continue;
        const found = await stat(path.join(this.#folder, name, entry.name)).catch(() => undefined);
        if (found !== undefined) this.#addTo(name, found.size, 1);
      }
    }
  }
}

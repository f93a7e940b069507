/** How much lies in a store, by device: counted once in the background after the start, then as it changes. */
import type { Usage } from '../../core/files/object-store.ts';

export interface UsageParts {
  /** Under which name the objects of a device are counted. */
  groupOf(objectPath: string): string;
  /** What is stored. */
  entries(): AsyncIterable<{ readonly group: string; readonly bytes: number }>;
}

interface Count {
  bytes: number;
  objects: number;
}

export class UsageCounts {
  readonly #parts: UsageParts;
  /** Of what has changed since the counting began, and of what was counted. */
  readonly #counts = new Map<string, Count>();
  #all = { bytes: 0, objects: 0 };
  #counted: Promise<void> | undefined;

  constructor(parts: UsageParts) {
    this.#parts = parts;
    // Who asks hears of a failure.
    this.#count().catch(() => {});
  }

  add(objectPath: string, bytes: number, objects: number): void {
    this.#addTo(this.#parts.groupOf(objectPath), bytes, objects);
  }

  /** @param prefix `''`, or one that begins with a device: all of the device's files are counted together. */
  async of(prefix: string): Promise<Usage> {
    await this.#count();
    if (prefix === '') return { ...this.#all };
    return { bytes: 0, objects: 0, ...this.#counts.get(this.#parts.groupOf(prefix)) };
  }

  #addTo(group: string, bytes: number, objects: number): void {
    const known = this.#counts.get(group) ?? { bytes: 0, objects: 0 };
    known.bytes += bytes;
    known.objects += objects;
    if (known.bytes === 0 && known.objects === 0) this.#counts.delete(group);
    else this.#counts.set(group, known);
    this.#all = { bytes: this.#all.bytes + bytes, objects: this.#all.objects + objects };
  }

  /** One that fails is begun again for the next caller. */
  #count(): Promise<void> {
    this.#counted ??= this.#countAll().catch((error) => {
      this.#counted = undefined;
      throw error;
    });
    return this.#counted;
  }

  async #countAll(): Promise<void> {
    const found = new Map<string, Count>();
    for await (const { group, bytes } of this.#parts.entries()) {
      const known = found.get(group) ?? { bytes: 0, objects: 0 };
      found.set(group, { bytes: known.bytes + bytes, objects: known.objects + 1 });
    }
    for (const [group, { bytes, objects }] of found) this.#addTo(group, bytes, objects);
  }
}

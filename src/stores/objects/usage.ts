/**
 * How much lies in a store, by device: counted once in the background after the start, then as it changes; where others change
 * it too, anew from time to time.
 */
import type { Usage } from '../../core/files/object-store.ts';

export interface UsageParts {
  /** Under which name the objects of a device are counted. */
  groupOf(objectPath: string): string;
  /** What is stored. */
  entries(): AsyncIterable<{ readonly group: string; readonly bytes: number }>;
}

/** Bytes of unfinished objects, by path, that `add` was told of. */
export type Unfinished = readonly { readonly objectPath: string; readonly bytes: number }[];

export class UsageCounts {
  readonly #parts: UsageParts;
  /** Of what has changed since the counting began, and of what was counted. */
  #counts = new Counts();
  /** Of what has changed since it is counted anew. */
  #since: Counts | undefined;
  #counted: Promise<void> | undefined;

  constructor(parts: UsageParts) {
    this.#parts = parts;
    // Who asks hears of a failure.
    this.#count().catch(() => {});
  }

  add(objectPath: string, bytes: number, objects: number): void {
    const group = this.#parts.groupOf(objectPath);
    this.#counts.add(group, bytes, objects);
    this.#since?.add(group, bytes, objects);
  }

  /** @param prefix `''`, or one that begins with a device: all of the device's files are counted together. */
  async of(prefix: string): Promise<Usage> {
    await this.#count();
    return prefix === '' ? this.#counts.all() : this.#counts.of(this.#parts.groupOf(prefix));
  }

  /** Counts anew, so that what others have stored and removed is in it. */
  async recount(unfinished: Unfinished): Promise<void> {
    await this.#count();
    const since = new Counts();
    this.#since = since;
    const before = unfinished.map(({ objectPath, bytes }) => ({ group: this.#parts.groupOf(objectPath), bytes }));
    try {
      const found = await countsOf(this.#parts.entries());
      for (const { group, bytes } of before) found.add(group, bytes, 0);
      found.addAll(since);
      this.#counts = found;
    } finally {
      this.#since = undefined;
    }
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
    this.#counts.addAll(await countsOf(this.#parts.entries()));
  }
}

interface Count {
  bytes: number;
  objects: number;
}

class Counts {
  readonly #byGroup = new Map<string, Count>();
  #all = { bytes: 0, objects: 0 };

  add(group: string, bytes: number, objects: number): void {
    const known = this.#byGroup.get(group) ?? { bytes: 0, objects: 0 };
    known.bytes += bytes;
    known.objects += objects;
    if (known.bytes === 0 && known.objects === 0) this.#byGroup.delete(group);
    else this.#byGroup.set(group, known);
    this.#all = { bytes: this.#all.bytes + bytes, objects: this.#all.objects + objects };
  }

  addAll(more: Counts): void {
    for (const [group, { bytes, objects }] of more.#byGroup) this.add(group, bytes, objects);
  }

  of(group: string): Usage {
    return { bytes: 0, objects: 0, ...this.#byGroup.get(group) };
  }

  all(): Usage {
    return { ...this.#all };
  }
}

async function countsOf(entries: ReturnType<UsageParts['entries']>): Promise<Counts> {
  const found = new Counts();
  for await (const { group, bytes } of entries) found.add(group, bytes, 1);
  return found;
}

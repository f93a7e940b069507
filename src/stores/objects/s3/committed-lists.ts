import { createHash } from 'node:crypto';

/** So many are remembered: of uploads whose client may still ask for its list again. */
const LISTS_MAX = 1000;

/** Which list of blocks an object was made of last, in this run of the program. */
export class CommittedLists {
  readonly #byPath = new Map<string, { readonly list: string; readonly etag: string }>();

  add(objectPath: string, ids: readonly string[], etag: string): void {
    this.#byPath.delete(objectPath);
    if (ids.length > 0) this.#byPath.set(objectPath, { list: sumOf(ids), etag });
    const [oldest] = this.#byPath.keys();
    if (this.#byPath.size > LISTS_MAX && oldest !== undefined) this.#byPath.delete(oldest);
  }

  has(objectPath: string, ids: readonly string[]): boolean {
    return this.#byPath.get(objectPath)?.list === sumOf(ids);
  }

  etagOf(objectPath: string): string | undefined {
    return this.#byPath.get(objectPath)?.etag;
  }
}

function sumOf(ids: readonly string[]): string {
  return createHash('sha256').update(ids.join('\n')).digest('base64');
}

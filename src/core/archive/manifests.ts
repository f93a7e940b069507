/** The list of an archive's files beside them in the store, for those who have only the store: an object for each block. */
import { type Block, listedFiles } from './blocks.ts';
import type { ArchiveStore } from './ports.ts';
import { manifestPath } from './rules.ts';

export class Manifests {
  readonly #store: ArchiveStore;
  readonly #endpoint: string;
  /** Blocks that are to be told, by their keys. */
  readonly #due = new Map<string, Block>();

  constructor(store: ArchiveStore, endpoint: string) {
    this.#store = store;
    this.#endpoint = endpoint;
  }

  /** A block has changed, or may have. */
  changed(block: Block): void {
    this.#due.set(block.key, block);
  }

  /** Puts what has changed into the store. It may be one file behind; the next one brings it up. */
  async tell(): Promise<void> {
    for (const [key, block] of this.#due) {
      try {
        await this.#put(block);
      } catch {
        // The next file, or the next look, tries again.
        return;
      }
      if (this.#due.get(key) === block) this.#due.delete(key);
    }
  }

  async #put(block: Block): Promise<void> {
    const { eventHub, partition, format } = block.scheme;
    const files = listedFiles(block).filter(({ bytes }) => bytes !== undefined);
    const text = JSON.stringify({ version: 1, eventHub, endpoint: this.#endpoint, partition, format, files });
    const bytes = Buffer.from(text);
    const source = async function* () {
      yield bytes;
    };
    const options = { contentType: 'application/json', bytes: bytes.length, bytesMax: bytes.length, condition: {} };
    await this.#store.put(manifestPath(block.scheme, Number(block.key)), source(), options);
  }
}

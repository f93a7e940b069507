import type { RunMemory } from '../event-log/run-memory.ts';
import type { Chunk } from './fetched.ts';

/** The last chunks of each partition that were read, up to a number of bytes in all; the ones that were asked for longest ago go first. */
export class Chunks {
  readonly #bytesMax: number;
  readonly #memory: RunMemory;
  readonly #byPartition: Chunk[][];
  /** Oldest use first. */
  readonly #uses = new Map<Chunk, number>();
  #bytes = 0;

  /** @param memory what the chunks lie in: they are let go of when they are dropped */
  constructor(partitionCount: number, bytesMax: number, memory: RunMemory) {
    this.#bytesMax = bytesMax;
    this.#memory = memory;
    this.#byPartition = Array.from({ length: partitionCount }, () => []);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The chunk that begins at `from` or before it and ends behind it. */
  find(partition: number, from: number): Chunk | undefined {
    const found = this.#byPartition[partition].find((chunk) => chunk.from <= from && from < chunk.next);
    if (found !== undefined) {
      this.#uses.delete(found);
      this.#uses.set(found, partition);
    }
    return found;
  }

  add(partition: number, chunk: Chunk): void {
    if (chunk.runs.length === 0) {
      this.#drop(chunk);
      return;
    }
    this.#byPartition[partition].push(chunk);
    this.#uses.set(chunk, partition);
    this.#bytes += chunk.memory.length;
    for (const [oldest, of] of this.#uses) {
      if (this.#bytes <= this.#bytesMax || oldest === chunk) return;
      this.#uses.delete(oldest);
      this.#bytes -= oldest.memory.length;
      const chunks = this.#byPartition[of];
      chunks.splice(chunks.indexOf(oldest), 1);
      this.#drop(oldest);
    }
  }

  #drop(chunk: Chunk): void {
    chunk.isDropped = true;
    this.#memory.letGo(chunk.memory);
  }
}

import { limits } from '../../base/limits.ts';
import { BatchWriter, type ForwardedMessage } from '../../wire/gateway/batch.ts';
import type { GatewayStore } from './store.ts';

/** Messages that share a commit, as they lie on the disk. */
export interface Block {
  readonly n: number;
  readonly messages: number;
  readonly size: number;
  readonly body: Uint8Array;
}

/** Numbers of blocks, both included. */
export interface Range {
  readonly first: number;
  last: number;
}

/** What a commit has changed, as differences. */
export interface Change {
  blocks: number;
  messages: number;
  bytes: number;
  /** Bytes of new blocks. */
  added: number;
  dropped: number;
}

export const noChange: Readonly<Change> = { blocks: 0, messages: 0, bytes: 0, added: 0, dropped: 0 };

interface Sums {
  readonly messages: number;
  readonly bytes: number;
}

/** What a block takes beside the messages themselves. */
const BLOCK_BYTES = 64;
const BLOCKS_PER_READ = 64;

/** The queue's table: blocks by number, the oldest first. What changes it runs in an open commit of the store. */
export class BlockTable {
  readonly #writer = new BatchWriter();
  readonly #sql;

  constructor(store: GatewayStore) {
    this.#sql = {
      insert: store.prepare('insert into block (n, messages, size, body) values (?, ?, ?, ?)'),
      from: store.prepare('select n, messages, size, body from block where n >= ? and n <= ? order by n limit ?'),
      oldest: store.prepare('select n, messages, size from block order by n limit 1'),
      remove: store.prepare('delete from block where n between ? and ?'),
      sums: store.prepare('select sum(messages) as messages, sum(size) as size from block'),
      sumsOf: store.prepare('select sum(messages) as messages, sum(size) as size from block where n between ? and ?'),
      ends: store.prepare('select min(n) as first, max(n) as last from block'),
    };
  }

  sums(): Sums {
    return sumsOf(this.#sql.sums.get());
  }

  /** Undefined = there is no block. */
  ends(): Readonly<Range> | undefined {
    const { first, last } = this.#sql.ends.get() as { first: number | null; last: number | null };
    return first === null || last === null ? undefined : { first, last };
  }

  /** The next blocks of those numbers, some of them; none = there is none. */
  read(first: number, last: number): readonly Block[] {
    return this.#sql.from.all(first, last, BLOCKS_PER_READ) as unknown as Block[];
  }

  remove(gone: readonly Range[], change: Change): void {
    for (const { first, last } of gone) {
      const { messages, bytes } = sumsOf(this.#sql.sumsOf.get(first, last));
      change.messages -= messages;
      change.bytes -= bytes;
      this.#sql.remove.run(first, last);
    }
  }

  /** Removes the oldest blocks, under way to the hub or not, until so many bytes have gone in all, or none is left. */
  dropOldest(bytes: number, change: Change): void {
    for (let left = bytes; left > 0; ) {
      const oldest = this.#sql.oldest.get() as Omit<Block, 'body'> | undefined;
      if (oldest === undefined) return;
      this.#sql.remove.run(oldest.n, oldest.n);
      left -= oldest.size;
      change.messages -= oldest.messages;
      change.bytes -= oldest.size;
      change.dropped += oldest.messages;
    }
  }

  /** @param next number of the first block that is made of them */
  add(messages: readonly ForwardedMessage[], next: number, change: Change): void {
    const end = (): void => {
      const { count } = this.#writer;
      if (count === 0) return;
      const body = this.#writer.finish(0);
      this.#sql.insert.run(next + change.blocks++, count, body.length + BLOCK_BYTES, body);
      change.messages += count;
      change.bytes += body.length + BLOCK_BYTES;
      change.added += body.length + BLOCK_BYTES;
    };
    for (const message of messages) {
      const isFull = this.#writer.byteLength + message.body.length > limits.gatewayBlockBytesMax;
      if (isFull || this.#writer.count >= limits.gatewayBlockMessagesMax) end();
      this.#writer.add(message);
    }
    end();
  }
}

function sumsOf(row: unknown): Sums {
  const { messages, size } = row as { messages: number | null; size: number | null };
  return { messages: messages ?? 0, bytes: size ?? 0 };
}

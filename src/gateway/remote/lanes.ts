import { type ForwardedMessage, forwarded, type ReceivedMessage, readBatch } from '../../wire/gateway/batch.ts';
import { GatewayDecodeError } from '../../wire/gateway/bytes.ts';
import type { Block, BlockTable } from './block-table.ts';

/** `backlog`: what was there when the hub was reached. `live`: what has come since, which does not wait behind it. */
export type Lane = 'live' | 'backlog';

/** Messages on their way to the hub: neighbours of one lane. */
export interface Taken {
  readonly lane: Lane;
  readonly first: number;
  readonly last: number;
  readonly messages: readonly ForwardedMessage[];
  /** As they count against the bound. */
  readonly size: number;
}

/** How far the blocks were taken on their way to the hub: each lane in the order in which they came. */
export class Lanes {
  readonly #table: BlockTable;
  readonly #onBroken: (block: Block) => void;
  /** Blocks up to here are the backlog. */
  #horizon = 0;
  readonly #cursors: Record<Lane, number> = { live: 0, backlog: 0 };
  #liveBytes = 0;

  /** @param onBroken hears of a block that the disk has given back broken: it must leave the disk, or each start would come to it again */
  constructor(table: BlockTable, onBroken: (block: Block) => void) {
    this.#table = table;
    this.#onBroken = onBroken;
  }

  /** What is on the disk is the backlog, what comes from now on is live. @param next number of the next block */
  begin(next: number): void {
    const ends = this.#table.ends();
    this.#horizon = ends?.last ?? next - 1;
    this.#cursors.backlog = ends?.first ?? next;
    this.#cursors.live = this.#horizon + 1;
    this.#liveBytes = 0;
  }

  /** New blocks are on the disk. */
  added(bytes: number): void {
    this.#liveBytes += bytes;
  }

  /** Messages of the backlog that were not taken yet are there. */
  get hasBacklog(): boolean {
    return this.#cursors.backlog <= this.#horizon;
  }

  /** Bytes of live messages that were not taken yet. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /**
   * The next messages of a lane, whole blocks up to `bytesMax` and at least one. Undefined = there is none.
   * @param next number of the next block
   */
  take(lane: Lane, bytesMax: number, messagesMax: number, next: number): Taken | undefined {
    const taken = this.#take(lane, bytesMax, messagesMax, lane === 'backlog' ? this.#horizon : next - 1);
    // Dropped ones were never taken: at the end there are none, whatever was counted.
    if (lane === 'live') this.#liveBytes = taken === undefined ? 0 : Math.max(1, this.#liveBytes - taken.size);
    if (lane === 'live' && this.#cursors.live >= next) this.#liveBytes = 0;
    return taken;
  }

  #take(lane: Lane, bytesMax: number, messagesMax: number, until: number): Taken | undefined {
    const messages: ForwardedMessage[] = [];
    let size = 0;
    let first: number | undefined;
    let last = 0;
    while (this.#cursors[lane] <= until) {
      const blocks = this.#table.read(this.#cursors[lane], until);
      if (blocks.length === 0) this.#cursors[lane] = until + 1;
      for (const block of blocks) {
        const isFull = size + block.size > bytesMax || messages.length + block.messages > messagesMax;
        if (first !== undefined && isFull) return { lane, first, last, messages, size };
        this.#cursors[lane] = block.n + 1;
        const found = messagesOf(block);
        if (found === undefined) {
          this.#onBroken(block);
          continue;
        }
        for (const message of found) messages.push(forwarded(message));
        size += block.size;
        first ??= block.n;
        last = block.n;
      }
    }
    return first === undefined ? undefined : { lane, first, last, messages, size };
  }
}

/** Undefined = the block is broken. */
function messagesOf({ body }: Block): readonly ReceivedMessage[] | undefined {
  try {
    return readBatch(Buffer.from(body));
  } catch (error) {
    if (!(error instanceof GatewayDecodeError)) throw error;
    return undefined;
  }
}

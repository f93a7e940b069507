import { limits } from '../../base/limits.ts';
import {
  BatchWriter,
  type ForwardedMessage,
  forwarded,
  type ReceivedMessage,
  readBatch,
} from '../../wire/gateway/batch.ts';
import { GatewayDecodeError } from '../../wire/gateway/bytes.ts';
import { Refused } from '../refused.ts';
import type { GatewayStore } from './store.ts';

/** What a queue does that is full: refuses the newest message, or drops the oldest and counts it. */
export type WhenFull = 'refuse' | 'dropOldest';

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

export interface QueueOptions {
  readonly store: GatewayStore;
  readonly bytesMax: number;
  readonly whenFull: WhenFull;
}

interface Block {
  readonly n: number;
  readonly messages: number;
  readonly size: number;
  readonly body: Uint8Array;
}

interface Range {
  readonly first: number;
  last: number;
}

interface Group {
  readonly messages: ForwardedMessage[];
  bytes: number;
}

/** What a commit has changed, as differences. */
interface Change {
  blocks: number;
  messages: number;
  bytes: number;
  /** Bytes of new blocks. */
  added: number;
  dropped: number;
}

const nothing: Readonly<Change> = { blocks: 0, messages: 0, bytes: 0, added: 0, dropped: 0 };

/** What a block takes beside the messages themselves. */
const BLOCK_BYTES = 64;
/** Share of the bound at which devices are to stop, and at which they may go on. */
const HIGH = 0.9;
const LOW = 0.8;

/**
 * Messages of devices on the gateway's disk until the hub has them, bounded in bytes. Those that share a commit are one row, a block.
 * Each lane gives them in the order in which they came; a message leaves the disk when `done` says that the hub has it, so that a
 * gateway that is killed sends again at most what was under way.
 */
export class Queue {
  readonly #store: GatewayStore;
  readonly #bytesMax: number;
  readonly #whenFull: WhenFull;
  readonly #writer = new BatchWriter();
  #next: number;
  /** Rows up to here are the backlog. */
  #horizon = 0;
  readonly #cursors: Record<Lane, number> = { live: 0, backlog: 0 };
  /** What comes onto the disk with the next commit. */
  #open: Group = { messages: [], bytes: 0 };
  /** Bytes that are not on the disk yet. */
  #pending = 0;
  #flushing: Promise<void> | undefined;
  #isRemovingAlone = false;
  /** Rows that the hub has, and that leave the disk with the next commit. */
  #gone: Range[] = [];
  #bytes = 0;
  #liveBytes = 0;
  #messages = 0;
  #dropped = 0;
  /** By device and message id, the oldest first: what a device sends again while it waits for our answer. */
  readonly #recent = new Map<string, Promise<void>>();
  #waiters: (() => void)[] = [];
  #takenWaiters: (() => void)[] = [];
  #isHigh = false;
  /** Called when there may be something to take. */
  onMessages: () => void = () => {};
  /** Called with the number of messages that were dropped for newer ones. */
  onDropped: (count: number) => void = () => {};
  /** Called with the number of messages that the disk has given back broken: they are dropped, the others go on. */
  onBroken: (count: number) => void = () => {};
  readonly #sql;

  constructor({ store, bytesMax, whenFull }: QueueOptions) {
    this.#store = store;
    this.#bytesMax = bytesMax;
    this.#whenFull = whenFull;
    this.#sql = {
      insert: store.prepare('insert into block (n, messages, size, body) values (?, ?, ?, ?)'),
      from: store.prepare('select n, messages, size, body from block where n >= ? and n <= ? order by n limit ?'),
      oldest: store.prepare('select n, messages, size from block order by n limit 1'),
      remove: store.prepare('delete from block where n between ? and ?'),
      sums: store.prepare('select sum(messages) as messages, sum(size) as size from block'),
      sumsOf: store.prepare('select sum(messages) as messages, sum(size) as size from block where n between ? and ?'),
      ends: store.prepare('select min(n) as first, max(n) as last from block'),
    };
    const sums = this.#sql.sums.get() as { messages: number | null; size: number | null };
    this.#messages = sums.messages ?? 0;
    this.#bytes = sums.size ?? 0;
    const ends = this.#sql.ends.get() as { first: number | null; last: number | null };
    this.#next = (ends.last ?? 0) + 1;
    this.#setHigh();
  }

  /** Of all messages that are on the disk. */
  get bytes(): number {
    return this.#bytes;
  }

  /** On the disk. */
  get messages(): number {
    return this.#messages;
  }

  /** Messages that were dropped for newer ones since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** False = devices are to be slowed until `drained`. */
  get writable(): boolean {
    return !this.#isHigh && this.#pending < limits.gatewayPendingBytesHigh;
  }

  drained(): Promise<void> {
    if (this.writable) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /**
   * Resolves when the message is on the disk. One with the id of one that is still known is not taken again.
   * @throws Refused tooLarge, queueFull, throttled (more waits for the disk than may be held), unreachable (the disk fails)
   */
  put(message: ForwardedMessage): Promise<void> {
    const size = sizeOf(message);
    if (size > this.#bytesMax || size > limits.gatewayBatchBytesMax) {
      return refuse('tooLarge', `The message is larger than the gateway's queue takes.`);
    }
    const { messageId, deviceId, moduleId } = message;
    const key = messageId === undefined ? undefined : `${deviceId}/${moduleId ?? ''}/${messageId}`;
    const before = key === undefined ? undefined : this.#recent.get(key);
    if (before !== undefined) return before;
    if (this.#whenFull === 'refuse' && this.#bytes + this.#pending + size > this.#bytesMax) {
      return refuse('queueFull', "The gateway's queue is full.");
    }
    if (this.#pending + size > limits.gatewayPendingBytesMax) {
      return refuse('throttled', "More messages wait for the gateway's disk than it may hold.", 1);
    }
    this.#open.messages.push(message);
    this.#open.bytes += size;
    this.#pending += size;
    const stored = this.#flush();
    if (key !== undefined) this.#remember(key, stored);
    return stored;
  }

  /** The hub is reached: what is here is the backlog, what comes from now on is live. */
  begin(): void {
    this.#store.flush();
    const { first, last } = this.#sql.ends.get() as { first: number | null; last: number | null };
    this.#horizon = last ?? this.#next - 1;
    this.#cursors.backlog = first ?? this.#next;
    this.#cursors.live = this.#horizon + 1;
    this.#liveBytes = 0;
    this.#wakeTaken();
  }

  /** Messages of the backlog that were not taken yet are there. */
  get hasBacklog(): boolean {
    return this.#cursors.backlog <= this.#horizon;
  }

  /** Whether nothing waits to be taken by the live lane. */
  get isLiveTaken(): boolean {
    return this.#pending === 0 && this.#liveBytes === 0;
  }

  /** Resolves as soon as everything that has come until now was taken by the live lane, or was not live. */
  liveTaken(): Promise<void> {
    if (this.isLiveTaken) return Promise.resolve();
    return new Promise((resolve) => this.#takenWaiters.push(resolve));
  }

  /** Bytes of live messages that were not taken yet. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /**
   * The next messages of a lane, whole blocks up to `bytesMax` and at least one. Undefined = there is none.
   * @param bytesMax as messages count against the bound
   */
  take(lane: Lane, bytesMax: number, messagesMax: number): Taken | undefined {
    const taken = this.#take(lane, bytesMax, messagesMax);
    // Dropped ones were never taken: at the end there are none, whatever was counted.
    if (lane === 'live') this.#liveBytes = taken === undefined ? 0 : Math.max(1, this.#liveBytes - taken.size);
    if (lane === 'live' && this.#cursors.live >= this.#next) this.#liveBytes = 0;
    this.#wakeTaken();
    return taken;
  }

  #take(lane: Lane, bytesMax: number, messagesMax: number): Taken | undefined {
    const until = lane === 'backlog' ? this.#horizon : this.#next - 1;
    const messages: ForwardedMessage[] = [];
    let size = 0;
    let first: number | undefined;
    let last = 0;
    while (this.#cursors[lane] <= until) {
      const blocks = this.#sql.from.all(this.#cursors[lane], until, BLOCKS_PER_READ) as unknown as Block[];
      if (blocks.length === 0) this.#cursors[lane] = until + 1;
      for (const block of blocks) {
        const isFull = size + block.size > bytesMax || messages.length + block.messages > messagesMax;
        if (first !== undefined && isFull) return { lane, first, last, messages, size };
        const found = this.#messagesOf(block);
        if (found === undefined) {
          this.#cursors[lane] = block.n + 1;
          continue;
        }
        for (const message of found) messages.push(forwarded(message));
        size += block.size;
        first ??= block.n;
        last = block.n;
        this.#cursors[lane] = block.n + 1;
      }
    }
    return first === undefined ? undefined : { lane, first, last, messages, size };
  }

  /** Undefined = it is broken, and leaves the disk: else the gateway would come to it again after each start, and to nothing behind it. */
  #messagesOf({ n, messages, body }: Block): readonly ReceivedMessage[] | undefined {
    try {
      return readBatch(Buffer.from(body));
    } catch (error) {
      if (!(error instanceof GatewayDecodeError)) throw error;
      this.#dropped += messages;
      this.onBroken(messages);
      this.done({ first: n, last: n });
      return undefined;
    }
  }

  /** The hub has them: they leave the disk. */
  done({ first, last }: Pick<Taken, 'first' | 'last'>): void {
    const newest = this.#gone.at(-1);
    if (newest !== undefined && newest.last + 1 === first) newest.last = last;
    else this.#gone.push({ first, last });
    // Its failure is told to the caller of `put`; the next flush tries again.
    this.#flush().catch(() => {});
  }

  #remember(key: string, stored: Promise<void>): void {
    this.#recent.set(key, stored);
    stored.catch(() => this.#recent.delete(key));
    if (this.#recent.size <= limits.gatewayRecentMessagesMax) return;
    for (const oldest of this.#recent.keys()) {
      this.#recent.delete(oldest);
      break;
    }
  }

  /** What has gone leaves the disk, and what is open comes onto it, in one commit. */
  #flush(): Promise<void> {
    this.#flushing ??= this.#write();
    return this.#flushing;
  }

  async #write(): Promise<void> {
    let group: Group = { messages: [], bytes: 0 };
    let gone: readonly Range[] = [];
    let change: Change = nothing;
    let isBegun = false;
    try {
      await this.#store.write(() => {
        isBegun = true;
        this.#flushing = undefined;
        group = this.#open;
        this.#open = { messages: [], bytes: 0 };
        gone = this.#gone;
        this.#gone = [];
        change = this.#change(gone, group);
      });
    } catch (error) {
      // Another write may have ended the commit before this one.
      if (!isBegun) {
        this.#flushing = undefined;
        group = this.#open;
        this.#open = { messages: [], bytes: 0 };
      }
      this.#gone.unshift(...gone);
      this.#pending -= group.bytes;
      this.#wake();
      if (gone.length > 0) this.#removeAlone();
      throw error;
    }
    this.#pending -= group.bytes;
    this.#next += change.blocks;
    this.#liveBytes += change.added;
    this.#messages += change.messages;
    this.#bytes += change.bytes;
    this.#dropped += change.dropped;
    if (change.dropped > 0) this.onDropped(change.dropped);
    this.#wake();
    if (group.messages.length > 0) this.onMessages();
  }

  /** On a full disk nothing can be added, but what has gone can leave. */
  #removeAlone(): void {
    if (this.#isRemovingAlone) return;
    this.#isRemovingAlone = true;
    let gone: readonly Range[] = [];
    let change: Change = nothing;
    const removal = this.#store.write(() => {
      gone = this.#gone;
      this.#gone = [];
      change = this.#change(gone, { messages: [], bytes: 0 });
    });
    removal.then(
      () => {
        this.#isRemovingAlone = false;
        this.#messages += change.messages;
        this.#bytes += change.bytes;
        this.#wake();
      },
      () => {
        // The next flush tries again.
        this.#isRemovingAlone = false;
        this.#gone.unshift(...gone);
      },
    );
  }

  /** In an open commit. */
  #change(gone: readonly Range[], { messages, bytes }: Group): Change {
    const change = { ...nothing };
    for (const { first, last } of gone) {
      const sums = this.#sql.sumsOf.get(first, last) as { messages: number | null; size: number | null };
      change.messages -= sums.messages ?? 0;
      change.bytes -= sums.size ?? 0;
      this.#sql.remove.run(first, last);
    }
    if (this.#whenFull === 'dropOldest') this.#dropFor(bytes, change);
    const end = (): void => {
      const { count } = this.#writer;
      if (count === 0) return;
      const body = this.#writer.finish(0);
      this.#sql.insert.run(this.#next + change.blocks++, count, body.length + BLOCK_BYTES, body);
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
    return change;
  }

  /** Removes the oldest blocks, under way to the hub or not, until there is room. */
  #dropFor(bytes: number, change: { messages: number; bytes: number; dropped: number }): void {
    while (this.#bytes + change.bytes + bytes > this.#bytesMax) {
      const oldest = this.#sql.oldest.get() as Omit<Block, 'body'> | undefined;
      if (oldest === undefined) return;
      this.#sql.remove.run(oldest.n, oldest.n);
      change.messages -= oldest.messages;
      change.bytes -= oldest.size;
      change.dropped += oldest.messages;
    }
  }

  #setHigh(): void {
    if (this.#whenFull === 'dropOldest') return;
    if (this.#bytes >= this.#bytesMax * HIGH) this.#isHigh = true;
    else if (this.#bytes < this.#bytesMax * LOW) this.#isHigh = false;
  }

  #wakeTaken(): void {
    if (!this.isLiveTaken) return;
    for (const waiter of this.#takenWaiters.splice(0)) waiter();
  }

  #wake(): void {
    this.#setHigh();
    this.#wakeTaken();
    if (!this.writable) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}

const BLOCKS_PER_READ = 64;

/** About what a message takes in a block where nothing of it was told before. */
export function sizeOf({ body, deviceId, messageId, properties }: ForwardedMessage): number {
  let size = body.length + deviceId.length + (messageId?.length ?? 0) + 16;
  for (const [name, value] of properties) size += Buffer.byteLength(name) + Buffer.byteLength(value ?? '');
  return size;
}

function refuse(
  code: 'tooLarge' | 'queueFull' | 'throttled',
  text: string,
  retryAfterSeconds?: number,
): Promise<never> {
  return Promise.reject(new Refused(code, text, retryAfterSeconds));
}

import { limits } from '../../base/limits.ts';
import type { ForwardedMessage } from '../../wire/gateway/batch.ts';
import { Refused } from '../refused.ts';
import { BlockTable, type Change, noChange, type Range } from './block-table.ts';
import { type Lane, Lanes, type Taken } from './lanes.ts';
import { QueueRoom, type WhenFull } from './queue-room.ts';
import type { GatewayStore } from './store.ts';

export interface QueueOptions {
  readonly store: GatewayStore;
  readonly bytesMax: number;
  readonly whenFull: WhenFull;
}

interface Group {
  readonly messages: ForwardedMessage[];
  bytes: number;
}

/**
 * Messages of devices on the gateway's disk until the hub has them, bounded in bytes. Those that share a commit are one row, a block.
 * Each lane gives them in the order in which they came; a message leaves the disk when `done` says that the hub has it, so that a
 * gateway that is killed sends again at most what was under way.
 */
export class Queue {
  readonly #store: GatewayStore;
  readonly #table: BlockTable;
  readonly #room: QueueRoom;
  readonly #lanes: Lanes;
  #next: number;
  /** What comes onto the disk with the next commit. */
  #open: Group = { messages: [], bytes: 0 };
  #flushing: Promise<void> | undefined;
  #isRemovingAlone = false;
  /** Blocks that the hub has, and that leave the disk with the next commit. */
  #gone: Range[] = [];
  #messages: number;
  #dropped = 0;
  /** By device and message id, the oldest first: what a device sends again while it waits for our answer. */
  readonly #recent = new Map<string, Promise<void>>();
  #takenWaiters: (() => void)[] = [];
  /** Called when there may be something to take. */
  onMessages: () => void = () => {};
  /** Called with the number of messages that were dropped for newer ones. */
  onDropped: (count: number) => void = () => {};
  /** Called with the number of messages that the disk has given back broken: they are dropped, the others go on. */
  onBroken: (count: number) => void = () => {};

  constructor({ store, bytesMax, whenFull }: QueueOptions) {
    this.#store = store;
    this.#table = new BlockTable(store);
    this.#room = new QueueRoom(bytesMax, whenFull);
    this.#lanes = new Lanes(this.#table, ({ n, messages }) => {
      this.#dropped += messages;
      this.onBroken(messages);
      this.done({ first: n, last: n });
    });
    const { messages, bytes } = this.#table.sums();
    this.#messages = messages;
    this.#room.bytes = bytes;
    this.#next = (this.#table.ends()?.last ?? 0) + 1;
    this.#room.changed();
  }

  /** Of all messages that are on the disk. */
  get bytes(): number {
    return this.#room.bytes;
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
    return this.#room.writable;
  }

  drained(): Promise<void> {
    return this.#room.drained();
  }

  /**
   * Resolves when the message is on the disk. One with the id of one that is still known is not taken again.
   * @throws Refused tooLarge, queueFull, throttled (more waits for the disk than may be held), unreachable (the disk fails)
   */
  put(message: ForwardedMessage): Promise<void> {
    const size = sizeOf(message);
    if (size > this.#room.bytesMax || size > limits.gatewayBatchBytesMax) {
      return refuse('tooLarge', `The message is larger than the gateway's queue takes.`);
    }
    const { messageId, deviceId, moduleId } = message;
    const key = messageId === undefined ? undefined : `${deviceId}/${moduleId ?? ''}/${messageId}`;
    const before = key === undefined ? undefined : this.#recent.get(key);
    if (before !== undefined) return before;
    if (this.#room.isFullFor(size)) return refuse('queueFull', "The gateway's queue is full.");
    if (this.#room.pending + size > limits.gatewayPendingBytesMax) {
      return refuse('throttled', "More messages wait for the gateway's disk than it may hold.", 1);
    }
    this.#open.messages.push(message);
    this.#open.bytes += size;
    this.#room.pending += size;
    const stored = this.#flush();
    if (key !== undefined) this.#remember(key, stored);
    return stored;
  }

  /** The hub is reached: what is here is the backlog, what comes from now on is live. */
  begin(): void {
    this.#store.flush();
    this.#lanes.begin(this.#next);
    this.#wakeTaken();
  }

  /** Messages of the backlog that were not taken yet are there. */
  get hasBacklog(): boolean {
    return this.#lanes.hasBacklog;
  }

  /** Bytes of live messages that were not taken yet. */
  get liveBytes(): number {
    return this.#lanes.liveBytes;
  }

  /** Whether nothing waits to be taken by the live lane. */
  get isLiveTaken(): boolean {
    return this.#room.pending === 0 && this.#lanes.liveBytes === 0;
  }

  /** Resolves as soon as everything that has come until now was taken by the live lane, or was not live. */
  liveTaken(): Promise<void> {
    if (this.isLiveTaken) return Promise.resolve();
    return new Promise((resolve) => this.#takenWaiters.push(resolve));
  }

  /**
   * The next messages of a lane, whole blocks up to `bytesMax` and at least one. Undefined = there is none.
   * @param bytesMax as messages count against the bound
   */
  take(lane: Lane, bytesMax: number, messagesMax: number): Taken | undefined {
    const taken = this.#lanes.take(lane, bytesMax, messagesMax, this.#next);
    this.#wakeTaken();
    return taken;
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
    let change: Change = noChange;
    let isBegun = false;
    try {
      await this.#store.write(() => {
        isBegun = true;
        this.#flushing = undefined;
        group = this.#takeOpen();
        gone = this.#takeGone();
        change = this.#change(gone, group);
      });
    } catch (error) {
      // Another write may have ended the commit before this one.
      if (!isBegun) {
        this.#flushing = undefined;
        group = this.#takeOpen();
      }
      this.#gone.unshift(...gone);
      this.#room.pending -= group.bytes;
      this.#wake();
      if (gone.length > 0) this.#removeAlone();
      throw error;
    }
    this.#room.pending -= group.bytes;
    this.#next += change.blocks;
    this.#lanes.added(change.added);
    this.#count(change);
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
    let change: Change = noChange;
    const removal = this.#store.write(() => {
      gone = this.#takeGone();
      change = this.#change(gone, { messages: [], bytes: 0 });
    });
    removal.then(
      () => {
        this.#isRemovingAlone = false;
        this.#count(change);
        this.#wake();
      },
      () => {
        // The next flush tries again.
        this.#isRemovingAlone = false;
        this.#gone.unshift(...gone);
      },
    );
  }

  #takeOpen(): Group {
    const open = this.#open;
    this.#open = { messages: [], bytes: 0 };
    return open;
  }

  #takeGone(): readonly Range[] {
    const gone = this.#gone;
    this.#gone = [];
    return gone;
  }

  /** In an open commit. */
  #change(gone: readonly Range[], { messages, bytes }: Group): Change {
    const change = { ...noChange };
    this.#table.remove(gone, change);
    const { bytesMax, whenFull } = this.#room;
    if (whenFull === 'dropOldest') {
      this.#table.dropOldest(this.#room.bytes + change.bytes + bytes - bytesMax, change);
    }
    this.#table.add(messages, this.#next, change);
    return change;
  }

  #count({ messages, bytes }: Change): void {
    this.#messages += messages;
    this.#room.bytes += bytes;
  }

  #wakeTaken(): void {
    if (!this.isLiveTaken) return;
    for (const waiter of this.#takenWaiters.splice(0)) waiter();
  }

  #wake(): void {
    this.#wakeTaken();
    this.#room.changed();
  }
}

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

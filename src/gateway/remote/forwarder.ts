import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { BatchWriter, type ForwardedMessage } from '../../wire/gateway/batch.ts';
import type { RefusedKind, RefusedMessage } from '../../wire/gateway/refused.ts';
import { Refused } from '../refused.ts';
import type { Lane, Taken } from './lanes.ts';
import { Pace } from './pace.ts';
import { type Queue, sizeOf } from './queue.ts';

/** The link to the hub on which batches go. */
export interface BatchLink {
  /** Resolves with what the hub has refused of the batch when the rest is on its disk. Rejects when the link is lost. */
  send(batch: Buffer): Promise<readonly RefusedMessage[]>;
}

export interface ForwarderParts {
  readonly queue: Queue;
  readonly clock: Clock;
  /** How long live messages may wait for others, so that fewer batches go over a link that is paid by the byte. Milliseconds. */
  readonly lingerMs?: number;
  /** A message that the hub will never take. */
  readonly refused?: (message: ForwardedMessage, kind: RefusedKind) => void;
}

/** A message that does not pass the disk: its device waits for the hub's answer. */
interface Direct {
  readonly message: ForwardedMessage;
  readonly size: number;
  /** It comes onto the disk where the hub does not answer; else its device is told. */
  readonly isKept: boolean;
  resolve(): void;
  reject(error: Refused): void;
}

interface Batch {
  readonly bytes: Buffer;
  readonly direct: readonly Direct[];
  readonly taken: Taken | undefined;
}

/** Every so many batches one is of the backlog, whatever is live. */
const BACKLOG_TURN = 4;
/** Compression of zlib: none where answers come so fast that only the processor counts; the best where the link is slow. */
const FAST_MS = 20;
const SLOW_BYTES_PER_SECOND = 500_000;
const levelOf = ({ roundTripMs, bytesPerSecond = 0 }: Pace): number => {
  if (roundTripMs <= FAST_MS) return 0;
  return bytesPerSecond < SLOW_BYTES_PER_SECOND ? 6 : 1;
};

/**
 * Moves messages to the hub while there is a link: those whose devices wait, and what has come onto the disk since the hub was reached, before the
 * backlog, which has a quarter of the batches at least. A batch goes when it is full, or when nothing is under way.
 */
export class Forwarder {
  readonly #queue: Queue;
  readonly #clock: Clock;
  readonly #lingerMs: number;
  readonly #refused: (message: ForwardedMessage, kind: RefusedKind) => void;
  readonly #writer = new BatchWriter();
  readonly #pace: Pace;
  #link: BatchLink | undefined;
  #direct: Direct[] = [];
  #directBytes = 0;
  readonly #underway = new Set<Batch>();
  #batches = 0;
  #isLingering = false;
  /** Bytes sent for each that was taken. */
  #ratio = 1;
  #isScheduled = false;
  /** Messages and bytes of batches that the hub has taken. */
  readonly totals = { messages: 0, bytes: 0, batches: 0, refused: 0 };

  constructor({ queue, clock, lingerMs = 0, refused = () => {} }: ForwarderParts) {
    this.#queue = queue;
    this.#clock = clock;
    this.#lingerMs = lingerMs;
    this.#refused = refused;
    this.#pace = new Pace(clock);
    queue.onMessages = () => this.#wake();
  }

  /** Bytes per second that the link has carried lately; undefined = not known. */
  get bytesPerSecond(): number | undefined {
    return this.#pace.bytesPerSecond;
  }

  /** The hub is reached: begins to send. */
  linked(link: BatchLink): void {
    this.#link = link;
    this.#queue.begin();
    this.#wake();
  }

  /** The link is gone. What was under way counts as not sent; devices that wait are told. */
  lost(): void {
    this.#link = undefined;
    this.#pace.reset();
    const waiting = [...[...this.#underway].flatMap(({ direct }) => direct), ...this.#direct];
    this.#underway.clear();
    this.#direct = [];
    this.#directBytes = 0;
    for (const { message, isKept, resolve, reject } of waiting) {
      if (isKept) this.#queue.put(message).then(resolve, reject);
      else reject(unreachable());
    }
  }

  /**
   * Whether the hub answers about as soon as the gateway's own disk would, and nothing is before a message that comes now: then it is not
   * written twice.
   */
  get isNear(): boolean {
    if (this.#link === undefined || this.#directBytes > limits.gatewayDirectBytesHigh) return false;
    return this.#pace.roundTripMs <= limits.gatewayNearMsMax && this.#queue.isLiveTaken;
  }

  /**
   * Sends a message past the disk. Resolves when it is on the hub's disk.
   * @param isKept where the link is lost before the hub has answered, the message comes onto the gateway's disk: resolves then too
   * @throws Refused unreachable, throttled (too many wait), unauthorized, disabled, tooLarge, invalid
   */
  send(message: ForwardedMessage, isKept = false): Promise<void> {
    if (this.#link === undefined) return Promise.reject(unreachable());
    const size = sizeOf(message) + DIRECT_BYTES;
    if (this.#directBytes + size > limits.gatewayDirectBytesMax) {
      return Promise.reject(new Refused('throttled', 'More messages wait for the hub than the gateway may hold.', 1));
    }
    return new Promise((resolve, reject) => {
      this.#direct.push({ message, size, isKept, resolve, reject });
      this.#directBytes += size;
      this.#wake();
    });
  }

  get isLinked(): boolean {
    return this.#link !== undefined;
  }

  /** After what else comes in this turn of the event loop. */
  #wake(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#link !== undefined && this.#pace.hasRoom && this.#underway.size < limits.gatewayBatchesInflightMax) {
      const batch = this.#next();
      if (batch === undefined) return;
      void this.#send(this.#link, batch);
    }
  }

  #next(): Batch | undefined {
    const { hasBacklog, liveBytes } = this.#queue;
    const live = this.#directBytes + liveBytes;
    if (hasBacklog && (live === 0 || this.#batches % BACKLOG_TURN === BACKLOG_TURN - 1)) {
      return this.#fill('backlog') ?? this.#fill('live');
    }
    if (live === 0) return undefined;
    // Alone on the link, or as much as fits: else it waits for the answer that is under way, or for the time that it may wait.
    const isFull = live * this.#ratio >= this.#pace.batch;
    if (!isFull && !hasBacklog && (this.#underway.size > 0 || this.#lingers())) return undefined;
    return this.#fill('live') ?? (hasBacklog ? this.#fill('backlog') : undefined);
  }

  /** Whether live messages are to wait for others. */
  #lingers(): boolean {
    if (this.#lingerMs === 0) return false;
    if (this.#isLingering) return true;
    this.#isLingering = true;
    this.#clock.after(this.#lingerMs, () => {
      this.#isLingering = false;
      if (this.#link === undefined || this.#underway.size > 0) return;
      const batch = this.#fill('live');
      if (batch !== undefined) void this.#send(this.#link, batch);
    });
    return true;
  }

  #fill(lane: Lane): Batch | undefined {
    const bytesMax = Math.min(limits.gatewayBatchBytesMax / 2, this.#pace.batch / this.#ratio);
    const direct: Direct[] = [];
    let size = 0;
    if (lane === 'live') {
      for (const each of this.#direct) {
        if (direct.length > 0 && (size + each.size > bytesMax || direct.length >= MESSAGES_MAX)) break;
        direct.push(each);
        size += each.size;
      }
      this.#direct.splice(0, direct.length);
      this.#directBytes -= size;
    }
    const room = MESSAGES_MAX - direct.length;
    const hasRoom = direct.length === 0 || (size < bytesMax && room >= limits.gatewayBlockMessagesMax);
    const taken = hasRoom ? this.#queue.take(lane, bytesMax - size, room) : undefined;
    if (direct.length === 0 && taken === undefined) return undefined;
    for (const { message } of direct) this.#writer.add(message);
    for (const message of taken?.messages ?? []) this.#writer.add(message);
    const plainBytes = this.#writer.byteLength;
    const bytes = this.#writer.finish(levelOf(this.#pace));
    this.#ratio = Math.min(2, bytes.length / Math.max(1, plainBytes));
    return { bytes, direct, taken };
  }

  /** Never rejects. */
  async #send(link: BatchLink, batch: Batch): Promise<void> {
    this.#batches++;
    this.#underway.add(batch);
    const sentAt = this.#pace.sent(batch.bytes.length);
    let refused: readonly RefusedMessage[];
    try {
      refused = await link.send(batch.bytes);
    } catch {
      // The holder of the link says that it is lost.
      return;
    }
    // Answered by a link that was lost meanwhile: it has been given back.
    if (!this.#underway.delete(batch)) return;
    this.#pace.answered(batch.bytes.length, sentAt);
    this.#settle(batch, refused);
    this.#pump();
  }

  #settle({ bytes, direct, taken }: Batch, refused: readonly RefusedMessage[]): void {
    const kinds = new Map(refused.map(({ at, kind }) => [at, kind]));
    for (const [at, { message, resolve, reject }] of direct.entries()) {
      const kind = kinds.get(at);
      if (kind === undefined) resolve();
      else {
        this.#refused(message, kind);
        reject(refusalOf(kind));
      }
    }
    const messages = taken?.messages ?? [];
    for (const [at, kind] of kinds) {
      const message = messages[at - direct.length];
      if (message !== undefined) this.#refused(message, kind);
    }
    if (taken !== undefined) this.#queue.done(taken);
    this.totals.messages += direct.length + messages.length - refused.length;
    this.totals.refused += refused.length;
    this.totals.bytes += bytes.length;
    this.totals.batches++;
  }
}

/** What a message takes in memory beside its parts. */
const DIRECT_BYTES = 48;
const MESSAGES_MAX = limits.gatewayBatchMessagesMax;

const unreachable = (): Refused => new Refused('unreachable', 'The hub cannot be reached.');

function refusalOf(kind: RefusedKind): Refused {
  switch (kind) {
    case 'unknown':
      return new Refused('unauthorized', 'The hub knows no such device.');
    case 'disabled':
      return new Refused('disabled', 'The device is disabled.');
    case 'tooLarge':
      return new Refused('tooLarge', 'The message is larger than the hub takes.');
    case 'invalid':
      return new Refused('invalid', 'The hub takes no such message.');
  }
}

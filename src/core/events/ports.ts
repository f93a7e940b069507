import type { IdentityKey } from '../identity/types.ts';
import type { EventPosition, EventRun, EventStamp, HubEventStamp, PartitionFacts, Telemetry } from './types.ts';

/**
 * A durable, partitioned, append-only log of opaque records. One contract suite (`stores/contract/event-log.ts`) runs
 * over every implementation.
 */
export interface EventLog {
  /** The event hub's name (`EntityPath`). */
  readonly name: string;
  readonly partitionCount: number;
  /** UTC milliseconds at which the log was made. */
  readonly createdTime: number;
  readonly writer: EventWriter;
  /** What is durable in the partition, whichever node wrote it: no older than the call. */
  partition(partition: number): Promise<PartitionFacts>;
  /**
   * The newest facts that this process has heard of, at no cost. Never ahead of what is durable, and no older than what a waiter
   * or watcher of this log has been told; what other nodes write may be missing until their events are read.
   */
  lastKnown(partition: number): PartitionFacts;
  /**
   * The sequence number at which a reader of `position` begins: the first one that is kept and matches, or the next one
   * to be given. A sequence beyond the end is answered as it is: the caller decides (service reference 5.4).
   */
  seek(partition: number, position: EventPosition): Promise<number>;
  /**
   * Durable records from `fromSequence` on, at most about `bytesMax` bytes but at least one record if there is one; empty
   * at the end. What retention has removed is left out: the first run then begins later than asked for. The bytes stay as
   * they are until the answer is given back.
   * @param signal ends a reading that waits for what is not there yet, as history's does: it rejects with the signal's reason
   */
  read(partition: number, fromSequence: number, bytesMax: number, signal?: AbortSignal): Promise<readonly EventRun[]>;
  /**
   * Says that the runs of this answer of `read` are looked at no more: their memory may be used for other events from now
   * on. Giving back is for those who read much: an answer that is not given back costs its memory, for as long as it is kept.
   */
  giveBack(answer: readonly EventRun[]): void;
  /** Calls `listener` after records of the partition became durable and readable. The returned function ends it. */
  watch(partition: number, listener: () => void): () => void;
  /** Whether records can be made durable at the moment, and if not, why and what to do. */
  health(): LogHealth;
}

/** `isHeld`: records that are put in wait until they can be, and doors go on until too many do; else doors refuse. */
export type LogHealth =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string; readonly isHeld?: boolean };

/**
 * The open batch, as one listener's thread sees it. Synchronous on purpose: ingestion reserves room, writes the record's
 * bytes in place, and goes on; nothing is allocated per record. Batches become durable strictly in order.
 *
 *     const at = writer.reserve(partition, size);       // may roll to a new batch, so read `bytes` and `batch` after it
 *     record.copy(writer.bytes(partition), at);         // fill exactly `size` bytes before the next call
 *     writer.await(this);                               // this.batchDurable(writer.batch) follows, or batchFailed
 */
export interface EventWriter {
  /**
   * Number of the open batch; grows by one with each. After `reserve`, the batch that holds the record. A record is
   * durable when `batchDurable` has been called with this number or a higher one.
   */
  readonly batch: number;
  /** True while so many bytes wait for the disk that doors must stop reading; `whenRelieved` tells of the end. */
  readonly congested: boolean;
  /** Bytes that wait for the disk, and from how many on it is congested. */
  readonly pendingBytes: number;
  readonly pendingBytesMax: number;
  /** Room for a record of `size` bytes in `partition`'s run of the open batch: its place in `bytes(partition)`. */
  reserve(partition: number, size: number): number;
  /** The buffer of the partition's open run. Valid until the next `reserve`. */
  bytes(partition: number): Buffer;
  /** Calls `waiter` once when the open batch is durable or has failed. Asking twice in one batch counts once. */
  await(waiter: DurabilityWaiter): void;
  /** Calls `listener` once when `congested` has become false. */
  whenRelieved(listener: () => void): void;
}

export interface DurabilityWaiter {
  /** Every record reserved in this batch or an earlier one is on disk. */
  batchDurable(batch: number): void;
  /** The records of this batch may be lost and must not be acknowledged. */
  batchFailed(batch: number, error: Error): void;
}

/** Turns a stamped message into the bytes that the log keeps and readers receive (`src/records`). */
export interface RecordCodec {
  encode(stamp: EventStamp | HubEventStamp, telemetry: Telemetry, enqueuedTime: number, mark?: RoutingMark): Buffer;
  /** The same record but for body and time, to be written many times. */
  template(stamp: EventStamp, message: Pick<Telemetry, 'system' | 'properties'>): RecordTemplate;
}

/** Finds what a record says of its tracing: its bytes from `start` to `end`; undefined = it is not traced. */
export type TraceReader = (bytes: Buffer, start: number, end: number) => TraceMark | undefined;

/** Of a traced message, as its record has it. */
export interface TraceMark {
  readonly traceId: string;
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly messageId?: string;
  /** `traceParentOf` what its sender says. */
  readonly traceparent?: string;
}

/** A record that lacks its body and its time; shared by messages of one sender with the same properties. Immutable. */
export interface RecordTemplate {
  /** Bytes of the record with a body of `bodyBytes`. */
  size(bodyBytes: number, mark: RoutingMark): number;
  /** Writes the record at `at`; the body is `source` from `bodyStart` to `bodyEnd`. The bytes are those of `encode`. */
  write(
    target: Buffer,
    at: number,
    enqueuedTime: number,
    source: Uint8Array,
    bodyStart: number,
    bodyEnd: number,
    mark: RoutingMark,
  ): void;
  /** What it was made of, or the same read from it. */
  message(): MessageHead;
}

/** A message without its body. */
export type MessageHead = Pick<Telemetry, 'system' | 'properties'>;

/**
 * Where an event goes, as its record says it: a bit for each endpoint, and `HIDDEN_MARK` where readers of the built-in event hub do
 * not see it. 0 = they see it, and it goes nowhere else: so are records from before there were routes.
 */
export type RoutingMark = number;

export const HIDDEN_MARK = 0x10000;
export const SLOTS_MASK = 0xffff;

/** Reads the mark of the record at `start`. */
export type RoutingMarkReader = (bytes: Buffer, start: number) => RoutingMark;

/** What decides where events go. */
export interface Routing {
  /** The routes in force; undefined = every event is in the built-in event hub alone. */
  readonly current: RouteDecider | undefined;
  /** Whether the log may hold events that readers do not see. */
  readonly mayHide: boolean;
  /** Resolves, soon, when what routes ask of the identity's twin is known. Undefined: nothing is asked, or it is known. */
  ready(key: IdentityKey): Promise<void> | undefined;
}

export interface RouteDecider {
  /** @param source Where the body is, from `bodyStart` to `bodyEnd` @param now UTC milliseconds */
  decide(
    stamp: HubEventStamp,
    message: MessageHead,
    source: Uint8Array,
    bodyStart: number,
    bodyEnd: number,
    now: number,
  ): RoutingMark;
  /** Of all messages of the sender with these properties; undefined = it hangs on more than these. */
  decideHead(stamp: HubEventStamp, message: MessageHead): RoutingMark | undefined;
}

/** Where consumer groups are kept. Names are compared without regard to case, and kept as created. */
export interface ConsumerGroupStore {
  list(eventHub: string): Promise<readonly ConsumerGroup[]>;
  create(eventHub: string, group: ConsumerGroup, countMax: number): Promise<'created' | 'exists' | 'full'>;
  delete(eventHub: string, name: string): Promise<'deleted' | 'notFound'>;
}

export interface ConsumerGroup {
  readonly name: string;
  /** UTC milliseconds. */
  readonly createdTime: number;
}

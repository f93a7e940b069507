import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import { work } from '../../../base/work.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import type { DeliveredRecord } from '../../../core/events/room.ts';
import type { EventRun } from '../../../core/events/types.ts';
import { runtimeMetrics } from '../../../wire/amqp/message.ts';
import {
  patchEventAnnotations,
  RECORD_HEADER_BYTES,
  RECORD_HIDDEN,
  RECORD_VERSION,
  routingMark,
} from '../../../wire/amqp/record.ts';
import { TRANSFER_HEAD_BYTES, writeTransferHead } from '../../../wire/amqp/transfer.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import { DELIVERY_BUFFER_BYTES } from './delivery-buffers.ts';
import { DeliveryFrames } from './delivery-frames.ts';
import { deliveryPieces, type PartitionPieces } from './delivery-pieces.ts';
import type { Deliverer, DeliverySocket, DeliveryTurns } from './delivery-turns.ts';
import { offsetText } from './management.ts';

export interface DeliveryOptions {
  readonly link: OutgoingLink;
  readonly log: EventLog;
  /** What readers may know of the partition's end. */
  readonly shown: Pick<EventLog, 'lastKnown'>;
  readonly partition: number;
  /** Sequence number of the first event to deliver. */
  readonly from: number;
  /** The reader asked for the partition's facts with every event. */
  readonly withMetrics: boolean;
  /** Told of each record that is written to the reader; absent = nobody follows messages. */
  readonly delivered?: (record: DeliveredRecord) => void;
  /** Whose turn it is in this thread. */
  readonly turns: DeliveryTurns;
  /** The reader's. */
  readonly socket: DeliverySocket;
  /** UTC milliseconds now. */
  now(): number;
  /** Bytes that the socket has not taken yet. */
  unsentBytes(): number;
  /** The log could not be read, or holds what is no record. */
  failed(error: unknown): void;
}

/** Bytes that are asked of the log at a time. */
const READ_BYTES = 256 * 1024;
const nothing = Buffer.alloc(0);

/**
 * Delivers the events of one partition to one reader: copies stored records into transfer frames, many per write, patches
 * what the log knows into the copies, and stops where credit, window or room in the socket end. Where another reader of the
 * partition was given the same events lately, the frames are taken from there. Holds at most one read of the log and nothing
 * that depends on how far the reader lags.
 */
export class EventDelivery implements Deliverer {
  readonly #options: DeliveryOptions;
  readonly #unwatch: () => void;
  readonly #pieces: PartitionPieces;
  readonly #frames: DeliveryFrames;
  #next: number;
  /** What was read and not delivered yet; `#at` is the place of the next record in the first run. */
  #runs: EventRun[] = [];
  /** The log's answer that they are of. */
  #answer: readonly EventRun[] = [];
  #at = 0;
  #left = 0;
  #isReading = false;
  /** The log may hold more than was read. */
  #mayHaveMore = true;
  #isStopped = false;
  /** Ends the reading that is under way. */
  readonly #ending = new AbortController();
  /** A message of several frames, of which the peer's window has taken only some. */
  #partial: { readonly message: Buffer; readonly deliveryId: number; at: number } | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#next = options.from;
    this.#pieces = deliveryPieces.of(options.log, options.partition);
    this.#pieces.enter();
    this.#frames = new DeliveryFrames(options.link, this.#pieces, options.unsentBytes);
    this.#unwatch = options.log.watch(options.partition, () => {
      this.#mayHaveMore = true;
      this.pump();
    });
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#ending.abort();
    this.#unwatch();
    this.#pieces.leave();
    this.#pieces.laidOut(this);
    this.#forgetRuns();
    this.#partial = undefined;
    this.#frames.drop();
  }

  /** To be called whenever more may be delivered: credit, window or room in the socket have come, or events. */
  pump(): void {
    if (!this.#isStopped) this.#options.turns.want(this);
  }

  cannotRead(sequence: number, error: unknown): void {
    if (this.#isStopped) return;
    if (this.#next === sequence) this.#options.failed(error);
    else this.pump();
  }

  get socket(): DeliverySocket {
    return this.#options.socket;
  }

  written(): void {
    this.#frames.written();
  }

  deliverPiece(): boolean {
    const { link, log, partition } = this.#options;
    if (this.#isStopped || !link.isOpen) return false;
    const first = this.#next;
    try {
      const frames = this.#frames;
      frames.beginPiece();
      while (this.#mayWrite() && frames.pieceBytes < DELIVERY_BUFFER_BYTES && this.#repeat());
      const metrics = this.#options.withMetrics && this.#left > 0 ? this.#metrics() : nothing;
      while (this.#mayWrite() && frames.pieceBytes < DELIVERY_BUFFER_BYTES && this.#deliver(metrics));
      frames.flush();
      if (!this.#isReading) this.#pieces.laidOut(this);
      work.eventsDelivered += this.#next - first;
      const isFull = frames.pieceBytes >= DELIVERY_BUFFER_BYTES;
      if (this.#left > 0 || this.#partial !== undefined) return isFull;
      if (link.credit === 0) return false;
      this.#mayHaveMore &&= this.#next <= log.lastKnown(partition).lastSequence;
      if (this.#mayHaveMore) {
        // What comes next may be laid out already as well.
        if (isFull && this.#mayRepeat()) return true;
        this.#read();
      } else if (!this.#isReading) link.drained();
    } catch (error) {
      this.#options.failed(error);
    }
    return false;
  }

  #mayWrite(): boolean {
    const waiting = this.#options.unsentBytes() + this.#frames.length;
    const { link } = this.#options;
    if (link.session.transfersMax > 0 && waiting + DELIVERY_BUFFER_BYTES <= limits.readerBytesMax) return true;
    link.session.awaitRoom(link);
    return false;
  }

  /** What was laid out for others will do for this reader. */
  #mayRepeat(): boolean {
    const { withMetrics, delivered } = this.#options;
    return this.#pieces.isShared && !withMetrics && delivered === undefined;
  }

  /** Writes events as they were laid out for another reader. False if there are none, or no credit. */
  #repeat(): boolean {
    const { link } = this.#options;
    if (this.#partial !== undefined || !this.#mayRepeat()) return false;
    const piece = this.#pieces.find(this.#next);
    if (piece === undefined || piece.frameBytesMax > link.session.peerFrameBytesMax) return false;
    const behind = piece.firstSequence + piece.count;
    const count = Math.min(behind - this.#next, link.credit, link.session.transfersMax);
    if (count === 0) return false;
    this.#frames.repeat(piece, this.#next, count);
    this.#next += count;
    this.#forgetRuns();
    // The log holds more than what was repeated, or did when this reader was told of it.
    this.#mayHaveMore = true;
    return true;
  }

  /** Writes the next frames. False if there is nothing to write or no credit. */
  #deliver(metrics: Buffer): boolean {
    if (this.#partial !== undefined) return this.#continue(this.#partial);
    const { link } = this.#options;
    if (this.#left === 0 || link.credit === 0) return false;
    const run = this.#runs[0];
    const { bytes } = run;
    const size = bytes.readUInt32LE(this.#at);
    const start = this.#at + 4;
    assert(bytes[start] === RECORD_VERSION && start + size <= run.end, 'the log holds event records of version 1');
    const messageStart = start + RECORD_HEADER_BYTES;
    const messageSize = size - RECORD_HEADER_BYTES;
    const { session } = link;
    const frameBytes = TRANSFER_HEAD_BYTES + metrics.length + messageSize;
    const deliveryId = session.beginDelivery(link);
    if (frameBytes <= session.peerFrameBytesMax) {
      const head = this.#room(frameBytes);
      const { out } = this.#frames;
      const handle = link.attach.handle;
      let place = writeTransferHead(
        out,
        head,
        session.channel,
        handle,
        deliveryId,
        false,
        frameBytes - TRANSFER_HEAD_BYTES,
      );
      if (metrics.length > 0) place += metrics.copy(out, place);
      bytes.copy(out, place, messageStart, messageStart + messageSize);
      patchEventAnnotations(out, place, this.#next, run.time);
      session.countTransfers(1);
      if (metrics.length === 0) this.#frames.laidOut(this.#next, frameBytes);
      else this.#frames.laidOutForOne();
    } else {
      const message = Buffer.allocUnsafe(metrics.length + messageSize);
      metrics.copy(message);
      bytes.copy(message, metrics.length, messageStart, messageStart + messageSize);
      patchEventAnnotations(message, metrics.length, this.#next, run.time);
      this.#partial = { message, deliveryId, at: 0 };
    }
    const end = start + size;
    this.#options.delivered?.({ bytes, start, end, sequence: this.#next });
    this.#advance(end);
    return true;
  }

  /** Writes one more frame of a message that has several. */
  #continue(partial: { readonly message: Buffer; readonly deliveryId: number; at: number }): boolean {
    const { session, attach } = this.#options.link;
    const { message, deliveryId, at } = partial;
    const end = Math.min(message.length, at + session.peerFrameBytesMax - TRANSFER_HEAD_BYTES);
    const more = end < message.length;
    const head = this.#room(TRANSFER_HEAD_BYTES + end - at);
    const { out } = this.#frames;
    const place = writeTransferHead(out, head, session.channel, attach.handle, deliveryId, more, end - at);
    message.copy(out, place, at, end);
    this.#frames.laidOutForOne();
    session.countTransfers(1);
    partial.at = end;
    if (!more) this.#partial = undefined;
    return true;
  }

  #advance(place: number): void {
    this.#next++;
    this.#at = place;
    this.#left--;
    if (this.#left === 0) {
      this.#runs.shift();
      this.#enterRun();
    } else this.#passHidden();
  }

  #enterRun(): void {
    const run = this.#runs[0];
    if (run === undefined) return;
    // What retention has removed in between is skipped: the log then begins later than asked for.
    this.#next = run.firstSequence;
    this.#at = run.start;
    this.#left = run.count;
    this.#passHidden();
  }

  /** Passes over events that are for endpoints alone: no more of them in a turn than one answer of the log holds. */
  #passHidden(): void {
    while (this.#left > 0) {
      const { bytes } = this.#runs[0];
      if ((routingMark(bytes, this.#at + 4) & RECORD_HIDDEN) === 0) return;
      this.#at += 4 + bytes.readUInt32LE(this.#at);
      this.#next++;
      this.#left--;
      if (this.#left > 0) continue;
      this.#runs.shift();
      const run = this.#runs[0];
      if (run === undefined) return;
      this.#next = run.firstSequence;
      this.#at = run.start;
      this.#left = run.count;
    }
  }

  #forgetRuns(): void {
    this.#runs = [];
    this.#left = 0;
    this.#options.log.giveBack(this.#answer);
    this.#answer = [];
  }

  #read(): void {
    if (this.#isReading || (this.#mayRepeat() && !this.#pieces.mayRead(this, this.#next))) return;
    this.#isReading = true;
    this.#mayHaveMore = false;
    this.#forgetRuns();
    const { log, partition, failed } = this.#options;
    const from = this.#next;
    log.read(partition, from, READ_BYTES, this.#ending.signal).then(
      (answer) => {
        this.#isReading = false;
        if (this.#isStopped || this.#next !== from) {
          // The latter: what it was to read has come by way of another reader.
          log.giveBack(answer);
          this.#mayHaveMore = true;
        } else {
          this.#answer = answer;
          this.#runs = answer.filter((run) => run.count > 0);
          if (this.#runs.length > 0) this.#mayHaveMore = true;
          this.#enterRun();
        }
        this.pump();
      },
      (error) => {
        this.#isReading = false;
        if (this.#isStopped) return;
        this.#pieces.cannotRead(this, error);
        failed(error);
      },
    );
  }

  #metrics(): Buffer {
    const { shown, partition, now } = this.#options;
    const { lastSequence, lastTime } = shown.lastKnown(partition);
    return runtimeMetrics({ lastSequence, lastOffset: offsetText(lastSequence), lastTime, now: now() });
  }

  /** Room for a frame: its place in the frames' open buffer. */
  #room(size: number): number {
    const frames = this.#frames;
    if (!frames.hasRoom(size)) {
      const run = this.#runs[0];
      frames.open(size, run === undefined ? 0 : run.end - this.#at + this.#left * TRANSFER_HEAD_BYTES);
    }
    return frames.take(size);
  }
}

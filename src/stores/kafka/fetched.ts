/** Kafka's record batches as runs of the log's own records; the newest and the last read of each partition stay for the next reader. */
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventRun } from '../../core/events/types.ts';
import { MalformedKafka } from '../../wire/kafka/fields.ts';
import { inflate } from '../../wire/kafka/inflate.ts';
import { type BatchHead, RecordCursor, readBatchHead } from '../../wire/kafka/record-batch.ts';
import type { RecordForm } from '../../wire/kafka/record-form.ts';
import type { RunMemory } from '../event-log/run-memory.ts';

/** What a run is before the buffer is known in which it lies. */
type OpenRun = { -readonly [Field in keyof Omit<EventRun, 'bytes'>]: EventRun[Field] };

/** Records of one fetch from `from` on, up to `next`: offsets between them that no run holds cannot be read, and never will. */
export interface Chunk {
  readonly from: number;
  readonly next: number;
  readonly runs: readonly EventRun[];
  /** In which they lie; held by who has had the chunk made, until it is dropped. */
  readonly memory: Buffer;
  /** Its memory may hold others by now. */
  isDropped: boolean;
}

/** As the hub writes them, the log's records are longer by so much: mostly the first buffer will do. */
const GROWTH = 1.4;

const LENGTH_BYTES = 4;
const EMPTY = Buffer.alloc(0);

export class FetchedRecords {
  readonly #form: RecordForm;
  readonly #log: Log;
  readonly #memory: RunMemory;
  readonly #cursor = new RecordCursor();
  /** What is being laid out: one buffer for all batches of an answer. */
  #out: Buffer = EMPTY;
  #at = 0;
  /** Bytes that batches of the answer have become. */
  #inflated = 0;

  /** @param memory what chunks lie in */
  constructor(form: RecordForm, log: Log, memory: RunMemory) {
    this.#form = form;
    this.#log = log;
    this.#memory = memory;
  }

  /**
   * The batches of an answer, from offset `from` on. A batch that cannot be read (compressed by what is not known here, or not a
   * batch of records) is left out as a whole, and said; the next one follows. What another program has written may become
   * thousands of times as long: the chunk then ends before the answer does, within a batch if need be.
   * @throws MalformedKafka damaged bytes
   */
  chunk(records: Buffer, from: number): Chunk {
    const open: OpenRun[] = [];
    let next = from;
    this.#out = this.#memory.take(Math.ceil(GROWTH * records.length));
    this.#at = 0;
    this.#inflated = 0;
    try {
      for (let at = 0; !this.#isFull; ) {
        const head = readBatchHead(records, at, records.length);
        if (head === undefined) break;
        at = head.end;
        if (head.lastOffset < from) continue;
        next = this.#run(records, head, from, open);
      }
    } catch (error) {
      this.#memory.letGo(this.#out);
      this.#out = EMPTY;
      throw error;
    }
    const bytes = this.#out;
    this.#out = EMPTY;
    return { from, next, runs: open.map((run) => ({ ...run, bytes })), memory: bytes, isDropped: false };
  }

  get #isFull(): boolean {
    return this.#at > limits.kafkaChunkLaidOutBytesMax || this.#inflated > limits.kafkaInflatedBytesMax;
  }

  /** @returns the offset behind what was taken of the batch, or left out */
  #run(records: Buffer, head: BatchHead, from: number, runs: OpenRun[]): number {
    const behind = head.lastOffset + 1;
    if (head.isControl || head.isFiller || head.count === 0) return behind;
    const { firstOffset: offset, count, compression, start, end } = head;
    const before = { at: this.#at, runs: runs.length };
    try {
      if (compression === 0) return this.#records(records, start, end, head, from, runs);
      const plain = this.#inflate(records.subarray(start, end), compression);
      if (plain !== undefined) return this.#records(plain, 0, plain.length, head, from, runs);
    } catch (error) {
      this.#at = before.at;
      runs.length = before.runs;
      this.#log.error(
        { offset, count, compression, error: (error as Error).message },
        'events of another program cannot be read, and are left out',
      );
      return behind;
    }
    this.#log.error(
      { offset, count, compression },
      'events of another program are compressed in a way that the hub cannot read',
    );
    return behind;
  }

  #inflate(bytes: Buffer, compression: number): Buffer | undefined {
    try {
      const plain = inflate(bytes, compression, limits.kafkaInflatedBytesMax);
      this.#inflated += plain?.length ?? 0;
      return plain;
    } catch (error) {
      // It may have cost as much as the longest.
      this.#inflated += limits.kafkaInflatedBytesMax;
      throw error;
    }
  }

  /** Runs of unbroken offsets: a batch that was compacted has several. @returns the offset behind the last that was taken */
  #records(source: Buffer, start: number, end: number, head: BatchHead, from: number, runs: OpenRun[]): number {
    const cursor = this.#cursor;
    /** Of this batch. */
    let last: OpenRun | undefined;
    let offset = head.firstOffset - 1;
    cursor.open(source, start, end, head.count);
    while (cursor.next()) {
      const before = offset;
      offset = head.firstOffset + cursor.offsetDelta;
      // A broker does not look at each; who goes on behind such a number would miss what follows.
      if (offset <= before || offset > head.lastOffset) throw new MalformedKafka('records have offsets out of order');
      if (offset < from) continue;
      const time = timeOf(head, cursor);
      const length = this.#form.size(cursor, time);
      const place = this.#at;
      if (place + LENGTH_BYTES + length > this.#out.length) this.#grow(place + LENGTH_BYTES + length);
      this.#out.writeUInt32LE(length, place);
      this.#form.write(cursor, time, this.#out, place + LENGTH_BYTES);
      this.#at = place + LENGTH_BYTES + length;
      if (last !== undefined && last.firstSequence + last.count === offset && last.time === time) {
        last.count++;
        last.end = this.#at;
      } else {
        last = { firstSequence: offset, count: 1, time, start: place, end: this.#at };
        runs.push(last);
      }
      if (this.#at > limits.kafkaChunkLaidOutBytesMax) return offset + 1;
    }
    return head.lastOffset + 1;
  }

  #grow(needed: number): void {
    const larger = this.#memory.take(Math.max(needed, Math.ceil(GROWTH * this.#out.length)));
    this.#out.copy(larger, 0, 0, this.#at);
    this.#memory.letGo(this.#out);
    this.#out = larger;
  }
}

function timeOf(head: BatchHead, { timeDelta }: RecordCursor): number {
  return head.isBrokerTime ? head.time : Math.max(0, head.time + timeDelta);
}

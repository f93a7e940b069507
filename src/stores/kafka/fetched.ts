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

  /** @param memory what chunks lie in */
  constructor(form: RecordForm, log: Log, memory: RunMemory) {
    this.#form = form;
    this.#log = log;
    this.#memory = memory;
  }

  /**
   * The batches of an answer, from offset `from` on. A batch that cannot be read (compressed by what is not known here, or not a
   * batch of records) is left out, and said once; the next one follows.
   * @throws MalformedKafka damaged bytes
   */
  chunk(records: Buffer, from: number): Chunk {
    const open: OpenRun[] = [];
    let next = from;
    this.#out = this.#memory.take(Math.ceil(GROWTH * records.length));
    this.#at = 0;
    try {
      for (let at = 0; ; ) {
        const head = readBatchHead(records, at, records.length);
        if (head === undefined) break;
        at = head.end;
        if (head.lastOffset < from) continue;
        this.#run(records, head, from, open);
        next = head.lastOffset + 1;
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

  #run(records: Buffer, head: BatchHead, from: number, runs: OpenRun[]): void {
    if (head.isControl || head.isFiller || head.count === 0) return;
    try {
      const { compression, start, end } = head;
      const isPlain = compression === 0;
      const plain = isPlain
        ? records
        : inflate(records.subarray(start, end), compression, limits.kafkaInflatedBytesMax);
      if (plain !== undefined) {
        this.#records(plain, isPlain ? start : 0, isPlain ? end : plain.length, head, from, runs);
        return;
      }
    } catch (error) {
      if (error instanceof MalformedKafka) throw error;
      this.#log.error(
        { offset: head.firstOffset, error: (error as Error).message },
        'a batch of Kafka cannot be inflated',
      );
      return;
    }
    const { firstOffset: offset, count, compression } = head;
    this.#log.error(
      { offset, count, compression },
      'events of another program are compressed in a way that the hub cannot read',
    );
  }

  /** Runs of unbroken offsets: a batch that was compacted has several. */
  #records(source: Buffer, start: number, end: number, head: BatchHead, from: number, runs: OpenRun[]): void {
    const cursor = this.#cursor;
    /** Of this batch. */
    let last: OpenRun | undefined;
    cursor.open(source, start, end, head.count);
    while (cursor.next()) {
      const offset = head.firstOffset + cursor.offsetDelta;
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
    }
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

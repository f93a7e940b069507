/** Kafka's record batches as runs of the log's own records; the newest and the last read of each partition stay for the next reader. */
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventRun } from '../../core/events/types.ts';
import { MalformedKafka } from '../../wire/kafka/fields.ts';
import { inflate } from '../../wire/kafka/inflate.ts';
import { type BatchHead, RecordCursor, readBatchHead } from '../../wire/kafka/record-batch.ts';
import type { RecordForm } from '../../wire/kafka/record-form.ts';

/** Records of one fetch from `from` on, up to `next`: offsets between them that no run holds cannot be read, and never will. */
export interface Chunk {
  readonly from: number;
  readonly next: number;
  readonly runs: readonly EventRun[];
  readonly bytes: number;
}

const LENGTH_BYTES = 4;

export class FetchedRecords {
  readonly #form: RecordForm;
  readonly #log: Log;
  readonly #cursor = new RecordCursor();

  constructor(form: RecordForm, log: Log) {
    this.#form = form;
    this.#log = log;
  }

  /**
   * The batches of an answer, from offset `from` on. A batch that cannot be read (compressed by what is not known here, or not a
   * batch of records) is left out, and said once; the next one follows.
   * @throws MalformedKafka damaged bytes
   */
  chunk(records: Buffer, from: number): Chunk {
    const runs: EventRun[] = [];
    let next = from;
    let bytes = 0;
    let at = 0;
    for (;;) {
      const head = readBatchHead(records, at, records.length);
      if (head === undefined) return { from, next, runs, bytes };
      at = head.end;
      if (head.lastOffset < from) continue;
      const run = this.#run(records, head, from);
      if (run !== undefined) {
        runs.push(...run);
        for (const { start, end } of run) bytes += end - start;
      }
      next = head.lastOffset + 1;
    }
  }

  #run(records: Buffer, head: BatchHead, from: number): readonly EventRun[] | undefined {
    if (head.isControl || head.isFiller || head.count === 0) return undefined;
    try {
      if (head.compression === 0) return this.#records(records, head.start, head.end, head, from);
      const plain = inflate(records.subarray(head.start, head.end), head.compression, limits.kafkaInflatedBytesMax);
      if (plain !== undefined) return this.#records(plain, 0, plain.length, head, from);
    } catch (error) {
      if (error instanceof MalformedKafka) throw error;
      this.#log.error(
        { offset: head.firstOffset, error: (error as Error).message },
        'a batch of Kafka cannot be inflated',
      );
      return undefined;
    }
    const { firstOffset: offset, count, compression } = head;
    this.#log.error(
      { offset, count, compression },
      'events of another program are compressed in a way that the hub cannot read',
    );
    return undefined;
  }

  /** Runs of unbroken offsets: a batch that was compacted has several. */
  #records(source: Buffer, start: number, end: number, head: BatchHead, from: number): readonly EventRun[] {
    const cursor = this.#cursor;
    let size = 0;
    cursor.open(source, start, end, head.count);
    while (cursor.next())
      if (head.firstOffset + cursor.offsetDelta >= from)
        size += LENGTH_BYTES + this.#form.size(cursor, timeOf(head, cursor));
    const bytes = Buffer.allocUnsafeSlow(size);
    const runs: { firstSequence: number; count: number; time: number; bytes: Buffer; start: number; end: number }[] =
      [];
    let at = 0;
    cursor.open(source, start, end, head.count);
    while (cursor.next()) {
      const offset = head.firstOffset + cursor.offsetDelta;
      if (offset < from) continue;
      const time = timeOf(head, cursor);
      const length = this.#form.size(cursor, time);
      bytes.writeUInt32LE(length, at);
      this.#form.write(cursor, time, bytes, at + LENGTH_BYTES);
      const last = runs.at(-1);
      const place = at;
      at += LENGTH_BYTES + length;
      if (last !== undefined && last.firstSequence + last.count === offset && last.time === time) {
        last.count++;
        last.end = at;
      } else runs.push({ firstSequence: offset, count: 1, time, bytes, start: place, end: at });
    }
    return runs;
  }
}

function timeOf(head: BatchHead, { timeDelta }: RecordCursor): number {
  return head.isBrokerTime ? head.time : Math.max(0, head.time + timeDelta);
}

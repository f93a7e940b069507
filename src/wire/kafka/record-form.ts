import type { RecordCursor } from './record-batch.ts';

/** How Kafka's records become the records of an event log, which the log itself does not look into. */
export interface RecordForm {
  /**
   * Bytes of the log's record for the record that the cursor has found.
   * @param time the broker's for the record, UTC milliseconds
   */
  size(cursor: RecordCursor, time: number): number;
  /** Writes the log's record at `at`: of the record whose size was asked for last. */
  write(cursor: RecordCursor, time: number, target: Buffer, at: number): void;
}

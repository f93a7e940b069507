/** What a producer knows of one partition. */
import type { BatchNature } from '../../wire/kafka/record-batch.ts';
import type { ProduceAnswer } from '../../wire/kafka/records-requests.ts';
import type { Broker } from './broker-connection.ts';

/** A batch as it is filled: room for its head, then records up to `end`. It must stay as it is until the append has settled. */
export interface FilledBatch {
  readonly bytes: Buffer;
  readonly end: number;
  readonly count: number;
  /** UTC milliseconds of its first record; absent = now. */
  readonly time?: number;
  readonly nature?: BatchNature;
}

export interface Pending {
  readonly batch: FilledBatch;
  readonly since: number;
  resolve(answer: ProduceAnswer): void;
  reject(error: Error): void;
}

export interface Line {
  readonly partition: number;
  epoch: number;
  sequence: number;
  /** Oldest first; the first `sent` are on their way. */
  pending: Pending[];
  sent: number;
  /** Where they are on their way to. */
  broker: number;
  via: Broker | undefined;
  /** An answer has said "again": nothing is sent before all that is on its way is answered. */
  isRecovering: boolean;
}

/** Nothing was sent yet. */
export const newLine = (partition: number): Line => ({
  ...{ partition, epoch: 0, sequence: 0, pending: [], sent: 0, broker: -1, via: undefined, isRecovering: false },
});

/**
 * A partition of the simulation's Kafka, as its leader has it: batches in order, of which those that all replicas in sync hold can be read.
 * What a producer sends twice is left out, by the rules that brokers 4.x have (Kafka's `ProducerStateManager`): the last five batches of
 * a producer are known, a newer epoch begins at 0, an older one is refused, a gap is refused.
 */
import { writeUint64BE } from '../../../src/base/bytes.ts';
import { crc32c } from '../../../src/wire/kafka/crc32c.ts';
import { readBatchHead } from '../../../src/wire/kafka/record-batch.ts';

const OUT_OF_ORDER = 45;
const OLDER_EPOCH = 47;
const REMEMBERED = 5;
/** Places in a batch (`src/wire/kafka/record-batch.ts`). */
const PRODUCER_AT = 43;
const EPOCH_AT = 51;
const SEQUENCE_AT = 53;
const ATTRIBUTES_AT = 21;
const LARGEST_TIME_AT = 35;
const CHECKSUM_AT = 17;
const BROKER_TIME = 8;

interface Kept {
  readonly producer: bigint;
  readonly epoch: number;
  readonly sequence: number;
  readonly first: number;
  readonly count: number;
  readonly time: number;
  readonly bytes: Buffer;
}

export interface Appended {
  readonly error: number;
  readonly first: number;
  readonly time: number;
  /** Behind its last record. */
  readonly next: number;
}

export class SimulatedPartition {
  leader: number;
  leaderEpoch = 0;
  /** Readers see what is before it. */
  committed = 0;
  #batches: Kept[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(leader: number) {
    this.leader = leader;
  }

  get next(): number {
    const last = this.#batches.at(-1);
    return last === undefined ? 0 : last.first + last.count;
  }

  /** Time of the last record that can be read; -1 = none. */
  get lastTime(): number {
    return this.#batches.findLast(({ first }) => first < this.committed)?.time ?? -1;
  }

  /** @param bytes one batch, which is kept @param now UTC milliseconds of the broker's clock */
  append(bytes: Buffer, now: number): Appended {
    const head = readBatchHead(bytes, 0, bytes.length);
    if (head === undefined) throw new Error('the hub has sent a batch that ends too soon');
    const producer = bytes.readBigInt64BE(PRODUCER_AT);
    const epoch = bytes.readInt16BE(EPOCH_AT);
    const sequence = bytes.readInt32BE(SEQUENCE_AT);
    const known = producer < 0n ? [] : this.#batches.filter((batch) => batch.producer === producer);
    const newest = known.at(-1);
    const refused = (error: number): Appended => ({ error, first: -1, time: -1, next: 0 });
    if (newest !== undefined && epoch < newest.epoch) return refused(OLDER_EPOCH);
    if (newest !== undefined && epoch > newest.epoch && sequence !== 0) return refused(OUT_OF_ORDER);
    if (newest?.epoch === epoch) {
      const own = known.filter((batch) => batch.epoch === epoch).slice(-REMEMBERED);
      const same = own.find((batch) => batch.sequence === sequence && batch.count === head.count);
      if (same !== undefined) return { error: 0, first: same.first, time: same.time, next: same.first + same.count };
      if (sequence !== newest.sequence + newest.count) return refused(OUT_OF_ORDER);
    }
    const first = this.next;
    const time = Math.max(now, this.#batches.at(-1)?.time ?? 0);
    stamp(bytes, first, time);
    this.#batches.push({ producer, epoch, sequence, first, count: head.count, time, bytes });
    return { error: 0, first, time, next: first + head.count };
  }

  /** Replicas hold everything before `next`. */
  commit(next: number): void {
    if (next <= this.committed) return;
    this.committed = Math.min(next, this.next);
    for (const wake of [...this.#waiting]) wake();
  }

  /** Another broker leads it, which has what is committed and `more` batches behind that. */
  lead(broker: number, more: number): void {
    this.leader = broker;
    this.leaderEpoch++;
    const held = this.#batches.filter(({ first }) => first < this.committed).length;
    this.#batches = this.#batches.slice(0, held + more);
    this.commit(this.next);
  }

  uncommitted(): number {
    return this.#batches.filter(({ first }) => first >= this.committed).length;
  }

  /** Batches from the one that holds `offset` on, at least one where there is any. */
  read(offset: number, bytesMax: number): Buffer {
    const found: Buffer[] = [];
    let bytes = 0;
    for (const batch of this.#batches) {
      if (batch.first + batch.count <= offset) continue;
      if (batch.first >= this.committed || (found.length > 0 && bytes + batch.bytes.length > bytesMax)) break;
      found.push(batch.bytes);
      bytes += batch.bytes.length;
    }
    return Buffer.concat(found);
  }

  /** The first record of that time or later that can be read; undefined = none. */
  since(time: number): { readonly offset: number; readonly time: number } | undefined {
    const found = this.#batches.find((batch) => batch.time >= time && batch.first < this.committed);
    return found && { offset: found.first, time: found.time };
  }

  /** Calls `wake` after more can be read, until what it returns is called. */
  whenCommitted(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => this.#waiting.delete(wake);
  }
}

/** As a broker writes its own place and time into a batch (`message.timestamp.type=LogAppendTime`). */
function stamp(bytes: Buffer, first: number, time: number): void {
  writeUint64BE(bytes, 0, first);
  bytes.writeInt16BE(bytes.readInt16BE(ATTRIBUTES_AT) | BROKER_TIME, ATTRIBUTES_AT);
  writeUint64BE(bytes, LARGEST_TIME_AT, time);
  bytes.writeUInt32BE(crc32c(bytes, ATTRIBUTES_AT), CHECKSUM_AT);
}

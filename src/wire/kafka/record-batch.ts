/**
 * Record batches of Kafka's format 2, written and read where they lie.
 *
 *     0   i64  offset of the first record (the broker's)     27  i64  time of the first record
 *     8   i32  bytes behind this field                       35  i64  largest time
 *     12  i32  leader epoch (the broker's)                   43  i64  producer id
 *     16  i8   2                                             51  i16  producer epoch
 *     17  u32  CRC-32C of what follows                       53  i32  sequence number of the first record
 *     21  i16  attributes                                    57  i32  number of records
 *     23  i32  offset of the last record less the first's    61       records
 *
 * A record: its length, attributes (0), time less the first's, offset less the first's, then a key, a value and headers, each
 * behind its length; lengths are zigzag varints, -1 = null. All records of a batch that is written here have one time, which
 * the broker replaces by its own (`message.timestamp.type=LogAppendTime`).
 */
import { readUint64BE, writeUint64BE } from '../../base/bytes.ts';
import { crc32c } from './crc32c.ts';
import { MalformedKafka } from './fields.ts';

export const BATCH_HEAD_BYTES = 61;
/** Length, attributes, time, offset: at their longest. */
export const RECORD_HEAD_BYTES_MAX = 5 + 1 + 1 + 5;

const LENGTH_AT = 8;
const FORMAT_AT = 16;
const CHECKSUM_AT = 17;
const ATTRIBUTES_AT = 21;
const LAST_OFFSET_AT = 23;
const FIRST_TIME_AT = 27;
const LARGEST_TIME_AT = 35;
const PRODUCER_AT = 43;
const PRODUCER_EPOCH_AT = 51;
const SEQUENCE_AT = 53;
const COUNT_AT = 57;
/** A batch's length counts from behind its own field. */
const COUNTED_FROM = 12;
const FORMAT = 2;

const COMPRESSION_MASK = 7;
const LOG_APPEND_TIME = 8;
const CONTROL = 32;
const NO_TIME = -1n;

/** Bytes of the zigzag varint of a number from 0 to 2^30. */
export function varintBytes(value: number): number {
  if (value < 0x40) return 1;
  if (value < 0x2000) return 2;
  if (value < 0x100000) return 3;
  return value < 0x8000000 ? 4 : 5;
}

/** Writes a number from -1 to 2^30 and returns the place behind it. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  let place = at;
  for (; rest >= 0x80; rest >>>= 7) target[place++] = (rest & 0x7f) | 0x80;
  target[place++] = rest;
  return place;
}

/** The same of a record whose time is `timeDelta` milliseconds behind the batch's: from 0 to 2^30. */
export function writeTimedRecordHead(
  target: Uint8Array,
  at: number,
  nth: number,
  timeDelta: number,
  size: number,
): number {
  let place = writeVarint(target, at, 1 + varintBytes(timeDelta) + varintBytes(nth) + size);
  target[place++] = 0;
  place = writeVarint(target, place, timeDelta);
  return writeVarint(target, place, nth);
}

/** Writes the head of record `nth` of a batch, with `size` bytes of key, value and headers behind it; returns the place of these. */
export function writeRecordHead(target: Uint8Array, at: number, nth: number, size: number): number {
  let place = writeVarint(target, at, 2 + varintBytes(nth) + size);
  target[place++] = 0;
  target[place++] = 0;
  place = writeVarint(target, place, nth);
  return place;
}

/** Who writes a batch, and as the how manieth: by this the broker leaves out what it has already. */
export interface ProducerMark {
  readonly id: bigint;
  readonly epoch: number;
  /** Of the batch's first record, in its partition. */
  readonly sequence: number;
}

/** What is unusual of a batch that was not written at the time of its events. */
export interface BatchNature {
  /** UTC milliseconds of its last record; absent = of all of them. -1 with a time of -1 = numbers that no events have (`isFiller`). */
  readonly largestTime?: number;
  /** As `BatchHead.compression`; absent = its records are not compressed. */
  readonly compression?: number;
}

/**
 * Fills in the head of a batch of `count` records that ends at `end`, and begins at 0.
 * @param time UTC milliseconds of its first record
 */
export function sealBatch(
  batch: Buffer,
  end: number,
  count: number,
  producer: ProducerMark,
  time: number,
  { largestTime = time, compression = 0 }: BatchNature = {},
): void {
  writeUint64BE(batch, 0, 0);
  batch.writeInt32BE(end - COUNTED_FROM, LENGTH_AT);
  batch.writeInt32BE(-1, COUNTED_FROM);
  batch[FORMAT_AT] = FORMAT;
  batch.writeInt16BE(compression, ATTRIBUTES_AT);
  batch.writeInt32BE(count - 1, LAST_OFFSET_AT);
  writeTime(batch, FIRST_TIME_AT, time);
  writeTime(batch, LARGEST_TIME_AT, largestTime);
  batch.writeBigInt64BE(producer.id, PRODUCER_AT);
  batch.writeInt16BE(producer.epoch, PRODUCER_EPOCH_AT);
  batch.writeInt32BE(producer.sequence, SEQUENCE_AT);
  batch.writeInt32BE(count, COUNT_AT);
  batch.writeUInt32BE(crc32c(batch, ATTRIBUTES_AT, end), CHECKSUM_AT);
}

function writeTime(batch: Buffer, at: number, time: number): void {
  if (time < 0) batch.writeBigInt64BE(NO_TIME, at);
  else writeUint64BE(batch, at, time);
}

export interface BatchHead {
  readonly firstOffset: number;
  /** Of the last record, kept or not: the next batch begins behind it. */
  readonly lastOffset: number;
  readonly count: number;
  /** UTC milliseconds: the broker's where `isBrokerTime`, else of the first record. */
  readonly time: number;
  readonly isBrokerTime: boolean;
  /** Marks of transactions, not records. */
  readonly isControl: boolean;
  /** Records without a time of either kind: they stand for numbers that no events have, as `data export` writes them. */
  readonly isFiller: boolean;
  /** 0 = not compressed, 1 = gzip, 2 = snappy, 3 = lz4, 4 = zstd. */
  readonly compression: number;
  /** Where its records begin. */
  readonly start: number;
  /** Where it ends. */
  readonly end: number;
}

/**
 * The batch that begins at `at`; undefined = it is not there as a whole, as the last one of an answer may be.
 * @throws MalformedKafka another format, or bytes that have changed since they were written
 */
export function readBatchHead(bytes: Buffer, at: number, end: number): BatchHead | undefined {
  if (end - at < BATCH_HEAD_BYTES) return undefined;
  const length = bytes.readInt32BE(at + LENGTH_AT);
  if (bytes[at + FORMAT_AT] !== FORMAT) throw new MalformedKafka(`a record batch has format ${bytes[at + FORMAT_AT]}`);
  if (length < BATCH_HEAD_BYTES - COUNTED_FROM) throw new MalformedKafka('a record batch is shorter than its head');
  const batchEnd = at + COUNTED_FROM + length;
  if (batchEnd > end) return undefined;
  if (crc32c(bytes, at + ATTRIBUTES_AT, batchEnd) !== bytes.readUInt32BE(at + CHECKSUM_AT)) {
    throw new MalformedKafka(`the record batch at offset ${readUint64BE(bytes, at)} is damaged`);
  }
  const attributes = bytes.readInt16BE(at + ATTRIBUTES_AT);
  const firstOffset = readUint64BE(bytes, at);
  const isBrokerTime = (attributes & LOG_APPEND_TIME) !== 0;
  const firstTime = bytes.readBigInt64BE(at + FIRST_TIME_AT);
  const time = isBrokerTime ? bytes.readBigInt64BE(at + LARGEST_TIME_AT) : firstTime;
  return {
    firstOffset,
    lastOffset: firstOffset + bytes.readInt32BE(at + LAST_OFFSET_AT),
    count: bytes.readInt32BE(at + COUNT_AT),
    time: Math.max(0, Number(time)),
    isBrokerTime,
    isControl: (attributes & CONTROL) !== 0,
    isFiller: !isBrokerTime && firstTime === NO_TIME,
    compression: attributes & COMPRESSION_MASK,
    start: at + BATCH_HEAD_BYTES,
    end: batchEnd,
  };
}

/**
 * Walks over records without an object for each: its fields are those of the record that `next` has found, as places in `bytes`.
 * What an end before its start is, is null.
 */
export class RecordCursor {
  bytes: Buffer = Buffer.alloc(0);
  offsetDelta = 0;
  timeDelta = 0;
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** Where the number of headers stands. */
  headersStart = 0;
  end = 0;
  #at = 0;
  #behind = 0;
  #left = 0;

  /** @param bytes records, not compressed, from `start` to `end` */
  open(bytes: Buffer, start: number, end: number, count: number): void {
    this.bytes = bytes;
    this.#at = start;
    this.#behind = end;
    this.#left = count;
  }

  /** @throws MalformedKafka a length that leads out of the record or of the batch */
  next(): boolean {
    if (this.#left <= 0) return false;
    this.#left--;
    const length = this.#varint(this.#behind);
    const end = this.#at + length;
    if (length < 0 || end > this.#behind) throw new MalformedKafka('a record leads out of its batch');
    this.end = end;
    this.#at++;
    this.timeDelta = this.#varint(end);
    this.offsetDelta = this.#varint(end);
    const key = this.#varint(end);
    this.keyStart = this.#at;
    this.keyEnd = this.#at + key;
    this.#at += Math.max(0, key);
    const value = this.#varint(end);
    this.valueStart = this.#at;
    this.valueEnd = this.#at + value;
    this.#at += Math.max(0, value);
    if (this.#at >= end) throw new MalformedKafka('a record ends before its headers');
    this.headersStart = this.#at;
    this.#at = end;
    return true;
  }

  /** Calls `take` with each header of this record, as places in `bytes`; a value that is null has an end before its start. */
  headers(take: (nameStart: number, nameEnd: number, valueStart: number, valueEnd: number) => void): void {
    const { end } = this;
    const after = this.#at;
    this.#at = this.headersStart;
    for (let left = this.#varint(end); left > 0; left--) {
      const name = this.#varint(end);
      const nameStart = this.#at;
      this.#at += Math.max(0, name);
      const value = this.#varint(end);
      const valueStart = this.#at;
      this.#at += Math.max(0, value);
      if (name < 0 || this.#at > end) throw new MalformedKafka('a header leads out of its record');
      take(nameStart, nameStart + name, valueStart, valueStart + value);
    }
    this.#at = after;
  }

  #varint(end: number): number {
    let value = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      if (this.#at >= end) throw new MalformedKafka('a record ends within a number');
      const byte = this.bytes[this.#at++];
      // Times may be wide; the rest is small. In numbers of 53 bits the lowest bit is the sign.
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw new MalformedKafka('a number has more than ten bytes');
  }
}

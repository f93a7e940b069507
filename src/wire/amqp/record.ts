import { putUint64BE, readUint64BE, writeUint64BE } from '../../base/bytes.ts';
import { format, section } from './writer.ts';

/**
 * The bytes of one stored event: a header of 16 bytes and a finished AMQP 1.0 message.
 *
 *     0   u8     version (1)
 *     1   u8     flags: 1 = readers of the built-in event hub do not see it
 *     2   u16le  a bit for each endpoint that gets it (0 in records from before there were routes)
 *     4   u32le  place of the properties section            \  from the record's start; a section that is absent
 *     8   u32le  place of the application-properties section  > begins where the next one begins, so that two
 *     12  u32le  place of the body section                  /  neighbours always bound a section
 *     16         message-annotations, properties, application-properties, one data section up to the record's end
 *
 * The annotations map begins with the three values that only the log knows (sequence number, offset, enqueued time) at
 * fixed places, so that they can be patched into a reader's copy, and then the time at which the hub took the message.
 * Stored bytes never change.
 */
export const RECORD_VERSION = 1;
export const RECORD_HEADER_BYTES = 16;

/** Digits of `x-opt-offset`: a one and the sequence number with leading zeros. */
const OFFSET_DIGITS = 16;

const ZERO = 0x30;
const NINE = 0x39;

const SEQUENCE_KEY = 'x-opt-sequence-number';
const OFFSET_KEY = 'x-opt-offset';
const TIME_KEY = 'x-opt-enqueued-time';
const HUB_TIME_KEY = 'iothub-enqueuedtime';

/** Keys and values of the annotations that `fixedAnnotations` holds. */
export const FIXED_ANNOTATION_ELEMENTS = 8;

/** Places from the message's start. */
const MAP_SIZE_AT = 4;
const MAP_COUNT_AT = 8;
const ANNOTATIONS_AT = 12;
const SEQUENCE_AT = ANNOTATIONS_AT + 2 + SEQUENCE_KEY.length + 1;
const OFFSET_AT = SEQUENCE_AT + 8 + 2 + OFFSET_KEY.length + 2;
const TIME_AT = OFFSET_AT + OFFSET_DIGITS + 2 + TIME_KEY.length + 1;
const HUB_TIME_AT = TIME_AT + 8 + 2 + HUB_TIME_KEY.length + 1;
const FIXED_END = HUB_TIME_AT + 8;

/** From a record's start: where its sender's own annotations begin, behind those that every record has at fixed places. */
export const OWN_ANNOTATIONS_AT = RECORD_HEADER_BYTES + FIXED_END;

const fixed = fixedAnnotations();

/**
 * The part of a record that all messages of one sender share: header, fixed annotations, and `annotations`, whose bytes
 * are encoded keys and values, `elements` of them. Made once per connection.
 */
export interface RecordPrefix {
  readonly bytes: Buffer;
  readonly elements: number;
}

/** The part that depends on a message's properties: further annotations, then the encoded sections. */
export interface RecordProperties {
  /** Annotations, properties section, application-properties section, next to each other. */
  readonly bytes: Buffer;
  /** Keys and values among the annotations. */
  readonly elements: number;
  /** Place in `bytes` where the properties section begins. */
  readonly propertiesAt: number;
  /** Place in `bytes` where the application-properties section begins. */
  readonly applicationAt: number;
}

/** Puts a sender's own annotations behind the fixed ones. */
export function recordPrefix(annotations: Uint8Array, elements: number): RecordPrefix {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES + FIXED_END + annotations.length);
  bytes[0] = RECORD_VERSION;
  fixed.copy(bytes, RECORD_HEADER_BYTES);
  bytes.set(annotations, RECORD_HEADER_BYTES + FIXED_END);
  return { bytes, elements: FIXED_ANNOTATION_ELEMENTS + elements };
}

/** Bytes of everything before the body section. */
export function recordHeadSize(prefix: RecordPrefix, properties: RecordProperties): number {
  return prefix.bytes.length + properties.bytes.length;
}

/**
 * Writes everything before the body section at `at` and returns the place behind it. The result is the same for every
 * message of a sender with the same properties, so a door may keep it and give it to `writeRecord`.
 */
export function writeRecordHead(
  target: Buffer,
  at: number,
  prefix: RecordPrefix,
  properties: RecordProperties,
): number {
  target.set(prefix.bytes, at);
  const behind = at + prefix.bytes.length;
  target.set(properties.bytes, behind);
  const annotationsEnd = prefix.bytes.length + properties.propertiesAt;
  target.writeUInt32LE(annotationsEnd, at + 4);
  target.writeUInt32LE(prefix.bytes.length + properties.applicationAt, at + 8);
  target.writeUInt32LE(prefix.bytes.length + properties.bytes.length, at + 12);
  const message = at + RECORD_HEADER_BYTES;
  target.writeUInt32BE(annotationsEnd - RECORD_HEADER_BYTES - MAP_COUNT_AT, message + MAP_SIZE_AT);
  target.writeUInt32BE(prefix.elements + properties.elements, message + MAP_COUNT_AT);
  return behind + properties.bytes.length;
}

/** The same in memory of its own. */
export function recordHead(prefix: RecordPrefix, properties: RecordProperties): Buffer {
  const bytes = Buffer.allocUnsafe(recordHeadSize(prefix, properties));
  writeRecordHead(bytes, 0, prefix, properties);
  return bytes;
}

/** Bytes of a whole record with `headSize` bytes before the body section and `bodySize` bytes of body. */
export function recordSize(headSize: number, bodySize: number): number {
  return headSize + dataHeadSize(bodySize) + bodySize;
}

/**
 * Writes a record at `at` from a kept head and the body's bytes, and returns the place behind it. Allocates nothing.
 * `enqueuedTime` (UTC milliseconds) becomes `iothub-enqueuedtime`; the log's own three values stay zero.
 */
export function writeRecord(
  target: Buffer,
  at: number,
  head: Buffer,
  enqueuedTime: number,
  body: Uint8Array,
  bodyStart = 0,
  bodyEnd = body.length,
): number {
  target.set(head, at);
  writeHubTime(target, at, enqueuedTime);
  const place = writeDataHead(target, at + head.length, bodyEnd - bodyStart);
  target.set(bodyStart === 0 && bodyEnd === body.length ? body : body.subarray(bodyStart, bodyEnd), place);
  return place + bodyEnd - bodyStart;
}

/** Fills in `iothub-enqueuedtime` (UTC milliseconds) of the record at `at`. */
export function writeHubTime(target: Buffer, at: number, enqueuedTime: number): void {
  writeUint64BE(target, at + RECORD_HEADER_BYTES + HUB_TIME_AT, enqueuedTime);
}

/** Writes the head of the data section and returns the place of its first byte. */
export function writeDataHead(target: Buffer, at: number, bodySize: number): number {
  target[at] = format.described;
  target[at + 1] = format.smallUlong;
  target[at + 2] = section.data;
  if (bodySize < 256) {
    target[at + 3] = format.binary8;
    target[at + 4] = bodySize;
    return at + 5;
  }
  target[at + 3] = format.binary32;
  target.writeUInt32BE(bodySize, at + 4);
  return at + 8;
}

function dataHeadSize(bodySize: number): number {
  return bodySize < 256 ? 5 : 8;
}

/**
 * Fills in what the log knows into a reader's copy of the message that begins at `messageStart` (a record's start plus
 * `RECORD_HEADER_BYTES`). `sequence` is below 10^15, `time` UTC milliseconds.
 */
export function patchEventAnnotations(target: Buffer, messageStart: number, sequence: number, time: number): void {
  putUint64BE(target, messageStart + SEQUENCE_AT, sequence);
  putUint64BE(target, messageStart + TIME_AT, time);
  if (sequence !== offsetSequence) writeOffset(sequence);
  const first = messageStart + OFFSET_AT;
  for (let at = 0; at < OFFSET_DIGITS; at++) target[first + at] = offset[at];
}

/**
 * The offset that was asked for last, in digits, and its sequence number. Readers ask for one after the other, and adding
 * one costs a twentieth of sixteen divisions, which were a fourteenth of what a delivery costs.
 */
const offset = Buffer.from('1'.padEnd(OFFSET_DIGITS, '0'), 'latin1');
let offsetSequence = 0;

function writeOffset(sequence: number): void {
  if (sequence === offsetSequence + 1) {
    let at = OFFSET_DIGITS - 1;
    while (offset[at] === NINE) offset[at--] = ZERO;
    offset[at]++;
  } else {
    let rest = sequence;
    for (let at = OFFSET_DIGITS - 1; at > 0; at--) {
      const tenth = Math.floor(rest / 10);
      offset[at] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
  }
  offsetSequence = sequence;
}

/** Set in `routingMark` where readers of the built-in event hub do not see the record. */
export const RECORD_HIDDEN = 0x10000;

/** What the record at `start` says of its routing: a bit for each endpoint, and `RECORD_HIDDEN`. 0 = shown, and no endpoint gets it. */
export function routingMark(bytes: Buffer, start: number): number {
  return bytes[start + 2] | (bytes[start + 3] << 8) | ((bytes[start + 1] & 1) << 16);
}

/** Writes the mark into the record at `start`. */
export function writeRoutingMark(bytes: Buffer, start: number, mark: number): void {
  bytes[start + 1] = (mark >>> 16) & 1;
  bytes[start + 2] = mark & 0xff;
  bytes[start + 3] = (mark >>> 8) & 0xff;
}

/** Where the sections of a stored record begin, from the start of `bytes`. */
export interface RecordSections {
  readonly message: number;
  readonly properties: number;
  readonly application: number;
  readonly body: number;
  /** UTC milliseconds at which the hub took the message. */
  readonly hubTime: number;
}

/**
 * Reads the header of the record that lies from `start` to `end`.
 * @throws RangeError when this is no record of this version or its places are out of order: the store is damaged.
 */
export function readRecordHeader(bytes: Buffer, start: number, end: number): RecordSections {
  if (end - start < RECORD_HEADER_BYTES + FIXED_END || bytes[start] !== RECORD_VERSION) {
    throw new RangeError('not an event record of version 1');
  }
  const properties = bytes.readUInt32LE(start + 4);
  const application = bytes.readUInt32LE(start + 8);
  const body = bytes.readUInt32LE(start + 12);
  const inOrder = RECORD_HEADER_BYTES + FIXED_END <= properties && properties <= application && application <= body;
  if (!inOrder || body + 5 > end - start) throw new RangeError('the sections of an event record are out of order');
  const message = start + RECORD_HEADER_BYTES;
  return {
    message,
    properties: start + properties,
    application: start + application,
    body: start + body,
    hubTime: readUint64BE(bytes, message + HUB_TIME_AT),
  };
}

/** The body's bytes of the record that lies from `start` to `end`: a view, not a copy. */
export function recordBody(bytes: Buffer, start: number, end: number): Buffer {
  const { body } = readRecordHeader(bytes, start, end);
  return bytes.subarray(bodyPlace(bytes, body), end);
}

/** The first byte of the body whose section begins at `section`. */
export function bodyPlace(bytes: Buffer, section: number): number {
  return section + (bytes[section + 3] === format.binary8 ? 5 : 8);
}

function fixedAnnotations(): Buffer {
  const bytes = Buffer.alloc(FIXED_END);
  bytes.set([format.described, format.smallUlong, section.messageAnnotations, format.map32]);
  const key = (name: string, valueAt: number, ...valueHead: number[]): void => {
    const at = valueAt - valueHead.length - name.length - 2;
    bytes[at] = format.symbol8;
    bytes[at + 1] = name.length;
    bytes.write(name, at + 2, 'latin1');
    bytes.set(valueHead, valueAt - valueHead.length);
  };
  key(SEQUENCE_KEY, SEQUENCE_AT, format.long);
  key(OFFSET_KEY, OFFSET_AT, format.string8, OFFSET_DIGITS);
  bytes.write('1'.padEnd(OFFSET_DIGITS, '0'), OFFSET_AT, 'latin1');
  key(TIME_KEY, TIME_AT, format.timestamp);
  key(HUB_TIME_KEY, HUB_TIME_AT, format.timestamp);
  return bytes;
}

/** A stored record as the row of a table: what files of the archive are made of, in whatever form. */
import { isAscii, isUtf8 } from 'node:buffer';
import { typedId } from '../../wire/amqp/ids.ts';
import { OWN_ANNOTATIONS_AT, readRecordHeader, recordBody, writeHubTime } from '../../wire/amqp/record.ts';
import { AmqpReader, type AmqpValue, HeapBudget } from '../../wire/amqp/values.ts';

/** What a sender's annotations say: one value for all its messages, as long as it is kept. */
export interface AnnotationFacts {
  /** The section as AMQP has it; sequence number, offset and both times in it are zero. */
  readonly bytes: Buffer;
  readonly values: ReadonlyMap<string, string>;
  readonly deviceId: string | undefined;
  readonly moduleId: string | undefined;
  readonly source: string | undefined;
  readonly modelId: string | undefined;
}

/** Of the properties section, what stands behind the message id. Times are UTC milliseconds. */
export interface PropertyFacts {
  readonly userId: string | undefined;
  readonly to: string | undefined;
  readonly correlationId: string | undefined;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly expiry: number | undefined;
}

export interface ApplicationFacts {
  /** The section as AMQP has it; no bytes = there is none. */
  readonly bytes: Buffer;
  /** A value that is null has only a name. */
  readonly entries: readonly { readonly key: string; readonly value: string | null }[];
}

/** One event. Bytes are views into the record, or kept for many rows: never to be written to. */
export interface EventRow {
  readonly partition: number;
  readonly sequence: number;
  /** When the log gave the event its place, UTC milliseconds. */
  readonly time: number;
  /** When the hub took the message, UTC milliseconds. */
  readonly hubTime: number;
  readonly annotations: AnnotationFacts;
  /** Text, or its bytes in UTF-8. */
  readonly messageId: string | Buffer | undefined;
  /** The section as AMQP has it; no bytes = there is none. */
  readonly propertyBytes: Buffer;
  readonly properties: PropertyFacts;
  readonly application: ApplicationFacts;
  /** Properties that are added for this archive; they stand before the message's own of the same name. */
  readonly enrichments: readonly (readonly [key: string, value: string])[];
  readonly body: Buffer;
  /** Whether readers of the built-in event hub see it. */
  readonly isShown: boolean;
}

/** Of an event of the log, what its record does not say. Times are UTC milliseconds. */
export interface EventPlace {
  readonly partition: number;
  readonly sequence: number;
  readonly time: number;
  readonly isShown: boolean;
  readonly enrichments: EventRow['enrichments'];
}

const NO_BYTES = Buffer.alloc(0);
const NO_PROPERTIES: PropertyFacts = {
  userId: undefined,
  to: undefined,
  correlationId: undefined,
  contentType: undefined,
  contentEncoding: undefined,
  expiry: undefined,
};
const NO_APPLICATION: ApplicationFacts = { bytes: NO_BYTES, entries: [] };

/** Sections that are remembered, of each kind: most messages of a device differ in little but body and id. */
const KEPT_MAX = 4096;
const KEPT_BYTES_MAX = 1024;
/** Records were bounded when they were taken: reading them again needs no second bound. */
const budget = (): HeapBudget => new HeapBudget(Number.POSITIVE_INFINITY);

/** Values by the bytes that they were read from. Forgets all of them when there are too many. */
class Kept<Value> {
  readonly #values = new Map<string, Value>();

  of(bytes: Buffer, start: number, end: number, read: () => Value): Value {
    if (end - start > KEPT_BYTES_MAX) return read();
    const key = bytes.toString('latin1', start, end);
    let value = this.#values.get(key);
    if (value === undefined) {
      value = read();
      if (this.#values.size >= KEPT_MAX) this.#values.clear();
      this.#values.set(key, value);
    }
    return value;
  }
}

/** Makes rows of records. Keeps what rows have in common, so that one reader should read all of a log that it can. */
export class RowReader {
  readonly #annotations = new Kept<AnnotationFacts>();
  readonly #properties = new Kept<PropertyFacts>();
  readonly #applications = new Kept<ApplicationFacts>();

  /**
   * The record that lies from `start` to `end` of `bytes`.
   * @throws RangeError, AmqpDecodeError: it is none, the store is damaged
   */
  read(place: EventPlace, bytes: Buffer, start: number, end: number): EventRow {
    const places = readRecordHeader(bytes, start, end);
    const { message, properties, application, body } = places;
    const propertyBytes = properties === application ? NO_BYTES : bytes.subarray(properties, application);
    const found = propertyBytes === NO_BYTES ? NO_FIELDS : this.#readProperties(propertyBytes);
    return {
      partition: place.partition,
      sequence: place.sequence,
      time: place.time,
      isShown: place.isShown,
      enrichments: place.enrichments,
      hubTime: places.hubTime,
      annotations: this.#annotations.of(bytes, start + OWN_ANNOTATIONS_AT, properties, () =>
        readAnnotations(bytes, start, message, properties),
      ),
      messageId: found.messageId,
      propertyBytes,
      properties: found.facts,
      application:
        application === body
          ? NO_APPLICATION
          : this.#applications.of(bytes, application, body, () => readApplication(bytes, application, body)),
      body: recordBody(bytes, start, end),
    };
  }

  #readProperties(bytes: Buffer): { readonly messageId: string | Buffer | undefined; readonly facts: PropertyFacts } {
    const behind = idEnd(bytes);
    if (behind !== undefined) {
      const facts = this.#properties.of(bytes, behind.end, bytes.length, () => readFields(bytes).facts);
      return { messageId: behind.id, facts };
    }
    return readFields(bytes);
  }
}

const NO_FIELDS = { messageId: undefined, facts: NO_PROPERTIES };

/**
 * Where the first field of a properties section ends, if it is text or null, and its bytes; undefined = it is something else, or
 * the section is not as the hub writes it.
 */
function idEnd(bytes: Buffer): { readonly id: Buffer | undefined; readonly end: number } | undefined {
  // Descriptor (3 bytes), then a list with a short head or a long one.
  const head = bytes[3] === 0xc0 ? 6 : bytes[3] === 0xd0 ? 12 : undefined;
  if (head === undefined) return undefined;
  const code = bytes[head];
  if (code === 0x40) return { id: undefined, end: head + 1 };
  if (code === 0xa1) return slice(bytes, head + 2, bytes[head + 1]);
  if (code === 0xb1) return slice(bytes, head + 5, bytes.readUInt32BE(head + 1));
  return undefined;
}

function slice(bytes: Buffer, at: number, length: number): { readonly id: Buffer; readonly end: number } | undefined {
  const end = at + length;
  return end > bytes.length ? undefined : { id: bytes.subarray(at, end), end };
}

/** Fields of AMQP part 3 section 3.2.4. */
function readFields(bytes: Buffer): { readonly messageId: string | undefined; readonly facts: PropertyFacts } {
  const reader = new AmqpReader(bytes, 0, bytes.length, budget());
  reader.descriptor();
  const { values, raw } = reader.list();
  const id = (field: number): string | undefined => {
    const value = values[field] ?? null;
    return value === null ? undefined : typedId(value, raw(field)[0])?.text;
  };
  return {
    messageId: id(0),
    facts: {
      userId: textOf(values[1]),
      to: textOf(values[2]),
      correlationId: id(5),
      contentType: textOf(values[6]),
      contentEncoding: textOf(values[7]),
      expiry: typeof values[8] === 'number' ? values[8] : undefined,
    },
  };
}

function readAnnotations(bytes: Buffer, start: number, message: number, end: number): AnnotationFacts {
  // The head of the record is only there so that the time stands where it is looked for.
  const record = Buffer.from(bytes.subarray(start, end));
  writeHubTime(record, 0, 0);
  const own = record.subarray(message - start);
  const reader = new AmqpReader(own, 0, own.length, budget());
  reader.descriptor();
  const values = new Map<string, string>();
  for (const { key, value } of reader.entries()) {
    if (typeof key === 'string' && typeof value === 'string' && key !== 'x-opt-offset') values.set(key, value);
  }
  return {
    bytes: own,
    values,
    deviceId: values.get('iothub-connection-device-id'),
    moduleId: values.get('iothub-connection-module-id'),
    source: values.get('iothub-message-source'),
    modelId: values.get('dt-dataschema'),
  };
}

function readApplication(bytes: Buffer, start: number, end: number): ApplicationFacts {
  const own = Buffer.from(bytes.subarray(start, end));
  const reader = new AmqpReader(own, 0, own.length, budget());
  reader.descriptor();
  const entries = reader.entries().map(({ key, value }) => ({
    key: String(key),
    value: value === null ? null : (textOf(value) ?? String(value)),
  }));
  return { bytes: own, entries };
}

function textOf(value: AmqpValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return Buffer.isBuffer(value) ? value.toString('utf8') : undefined;
}

/** What readers of the archive see as the message's properties. */
export function shownProperties({ application, enrichments }: EventRow): ApplicationFacts['entries'] {
  if (enrichments.length === 0) return application.entries;
  const added = new Map(enrichments);
  return [
    ...application.entries.filter(({ key }) => !added.has(key)),
    ...Array.from(added, ([key, value]) => ({ key, value })),
  ];
}

/** First bytes of a JSON text that is no white space: of an object, array, string, number or word. */
const jsonStarts = new Set(Buffer.from('{["-0123456789tfn \t\r\n'));

/** Pairs of escapes that are one character, and an escape of half a character. */
const PAIRS = /\\u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}/g;
const HALF = /\\u[dD][89a-fA-F]/;

/**
 * Whether a body is a JSON text in UTF-8, so that its bytes and its text say the same. A text with half a character (`"\\ud800"`) is
 * none here, though the grammar has it: DuckDB refuses a file that holds one.
 */
export function isJsonText(body: Buffer): boolean {
  if (body.length === 0 || !jsonStarts.has(body[0])) return false;
  const ascii = isAscii(body);
  if (!ascii && !isUtf8(body)) return false;
  const text = body.toString(ascii ? 'latin1' : 'utf8');
  try {
    JSON.parse(text);
  } catch {
    return false;
  }
  return !HALF.test(text) || !HALF.test(text.replace(PAIRS, ''));
}

/** Makes rows of stored records. */
import { bodyPlace, OWN_ANNOTATIONS_AT, readRecordHeader } from '../../wire/amqp/record.ts';
import type { AnnotationFacts, ApplicationFacts, EventPlace, EventRow, Part, PropertyFacts } from './event-row.ts';
import { Kept } from './kept.ts';
import { readAnnotations, readApplication, readFields } from './row-sections.ts';

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

interface Properties {
  readonly messageId: EventRow['messageId'];
  readonly facts: PropertyFacts;
}

const NO_FIELDS: Properties = { messageId: undefined, facts: NO_PROPERTIES };

/**
 * Keeps what rows have in common, most messages of a device differ in little but body and id: so one reader should read all of a log
 * that it can.
 */
export class RowReader {
  readonly #annotations = new Kept<AnnotationFacts>();
  readonly #properties = new Kept<PropertyFacts>();
  readonly #applications = new Kept<ApplicationFacts>();
  /** The memory that was read last: it has many records. */
  #bytes: Buffer = NO_BYTES;
  #view: DataView = new DataView(new ArrayBuffer(0));

  /**
   * The record that lies from `start` to `end` of `bytes`.
   * @throws RangeError, AmqpDecodeError: it is none, the store is damaged
   */
  read(place: EventPlace, bytes: Buffer, start: number, end: number): EventRow {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const { properties, application, body, hubTime } = readRecordHeader(bytes, start, end);
    const found = properties === application ? NO_FIELDS : this.#readProperties(properties, application);
    return {
      partition: place.partition,
      sequence: place.sequence,
      time: place.time,
      isShown: place.isShown,
      enrichments: place.enrichments,
      hubTime,
      bytes,
      view: this.#view,
      annotations: this.#readAnnotations(start, properties),
      messageId: found.messageId,
      propertiesStart: properties,
      propertiesEnd: application,
      properties: found.facts,
      application: application === body ? NO_APPLICATION : this.#readApplication(application, body),
      bodyStart: bodyPlace(bytes, body),
      bodyEnd: end,
    };
  }

  #readAnnotations(start: number, end: number): AnnotationFacts {
    const own = start + OWN_ANNOTATIONS_AT;
    return (
      this.#annotations.find(this.#view, own, end) ??
      this.#annotations.keep(this.#view, own, end, readAnnotations(this.#bytes, start, end))
    );
  }

  #readApplication(start: number, end: number): ApplicationFacts {
    return (
      this.#applications.find(this.#view, start, end) ??
      this.#applications.keep(this.#view, start, end, readApplication(this.#bytes, start, end))
    );
  }

  #readProperties(start: number, end: number): Properties {
    const id = idPart(this.#bytes, start, end);
    if (id === undefined) return readFields(this.#bytes, start, end);
    const facts =
      this.#properties.find(this.#view, id.end, end) ??
      this.#properties.keep(this.#view, id.end, end, readFields(this.#bytes, start, end).facts);
    return { messageId: id.start === NO_ID ? undefined : id, facts };
  }
}

const NO_ID = -1;

/**
 * The first field of a properties section, if it is text or null (`start` is -1 then); undefined = it is something else, or the section
 * is not as the hub writes it.
 */
function idPart(bytes: Buffer, start: number, end: number): Part | undefined {
  // Descriptor (3 bytes), then a list with a short head or a long one.
  const head = bytes[start + 3] === 0xc0 ? 6 : bytes[start + 3] === 0xd0 ? 12 : undefined;
  if (head === undefined || start + head >= end) return undefined;
  const at = start + head;
  const code = bytes[at];
  if (code === 0x40) return { start: NO_ID, end: at + 1 };
  if (code === 0xa1 && at + 1 < end) return partOf(at + 2, bytes[at + 1], end);
  if (code === 0xb1 && at + 4 < end) return partOf(at + 5, bytes.readUInt32BE(at + 1), end);
  return undefined;
}

function partOf(start: number, length: number, end: number): Part | undefined {
  return start + length > end ? undefined : { start, end: start + length };
}

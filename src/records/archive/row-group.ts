/**
 * A row group of the archive's Parquet as it grows. What rows have in common is kept once, values of their own are laid out as the page
 * has them: a list of values for each column, which the library takes, would cost more than all the rest.
 */
import type { ByteWriter } from 'hyparquet-writer';
import type { PageIndexes } from 'hyparquet-writer/src/types.js';
import { limits } from '../../base/limits.ts';
import { OFFSET_BASE } from '../../core/events/types.ts';
import {
  type AnnotationFacts,
  type ApplicationFacts,
  type EventRow,
  type PropertyFacts,
  shownProperties,
} from './event-row.ts';
import { type Entries, writeBooleans, writeEntries, writeNumbers, writeOwn, writeShared } from './group-columns.ts';
import { isJsonAt } from './json-text.ts';
import { PlainValues } from './plain-values.ts';
import { SharedValues } from './shared-values.ts';

/** What columns add to what a message brings, about. */
const ROW_BYTES = 512;

export class RowGroup {
  #rows = 0;
  #bytes = 0;
  readonly #partition = new Float64Array(limits.archiveGroupRows);
  readonly #sequence = new Float64Array(limits.archiveGroupRows);
  readonly #time = new Float64Array(limits.archiveGroupRows);
  readonly #hubTime = new Float64Array(limits.archiveGroupRows);
  readonly #shown = new Uint8Array(limits.archiveGroupRows);
  readonly #annotations = new SharedValues<AnnotationFacts>();
  readonly #properties = new SharedValues<PropertyFacts>();
  readonly #applications = new SharedValues<ApplicationFacts>();
  readonly #entries = new SharedValues<Entries>();
  readonly #messageId = new PlainValues();
  readonly #propertyBytes = new PlainValues();
  readonly #json = new PlainValues();
  readonly #body = new PlainValues();

  get rows(): number {
    return this.#rows;
  }

  get isFull(): boolean {
    return this.#rows === limits.archiveGroupRows || this.#bytes >= limits.archiveGroupBytes;
  }

  /** Sections that are shared by rows are kept as they are until the group is written; all else is copied. */
  add(row: EventRow): void {
    const at = this.#rows++;
    this.#partition[at] = row.partition;
    this.#sequence[at] = row.sequence;
    this.#time[at] = row.time;
    this.#hubTime[at] = row.hubTime;
    this.#shown[at] = row.isShown ? 1 : 0;
    this.#annotations.add(row.annotations);
    this.#properties.add(row.properties);
    this.#applications.add(row.application);
    this.#entries.add(shownProperties(row));
    const { bytes, messageId } = row;
    if (typeof messageId === 'object') this.#messageId.addPart(bytes, messageId.start, messageId.end);
    else this.#messageId.add(messageId);
    this.#propertyBytes.addPart(bytes, row.propertiesStart, row.propertiesEnd);
    const isJson = isJsonAt(row.view, row.bodyStart, row.bodyEnd);
    (isJson ? this.#json : this.#body).addPart(bytes, row.bodyStart, row.bodyEnd);
    (isJson ? this.#body : this.#json).add(undefined);
    this.#bytes += bytesOf(row);
  }

  /** All columns in the order of `columns`. The group is empty afterwards. */
  writeTo(out: ByteWriter): PageIndexes[] {
    const rows = this.#rows;
    const numbers = (name: string, values: Float64Array) => writeNumbers(out, name, values.subarray(0, rows));
    const annotated = (name: string, value: (facts: AnnotationFacts) => string | Buffer | undefined) =>
      writeShared(out, name, this.#annotations, value);
    const said = (name: string, value: (facts: PropertyFacts) => string | undefined) =>
      writeShared(out, name, this.#properties, value);
    const written = [
      numbers('partition', this.#partition),
      numbers('sequenceNumber', this.#sequence),
      numbers(
        'offset',
        this.#sequence.map((sequence) => OFFSET_BASE + sequence),
      ),
      numbers('enqueuedTime', this.#time),
      numbers('iothubEnqueuedTime', this.#hubTime),
      writeBooleans(out, 'isShown', this.#shown.subarray(0, rows)),
      annotated('deviceId', ({ deviceId }) => deviceId),
      annotated('moduleId', ({ moduleId }) => moduleId),
      annotated('source', ({ source }) => source),
      annotated('modelId', ({ modelId }) => modelId),
      writeOwn(out, 'messageId', this.#messageId),
      said('correlationId', ({ correlationId }) => correlationId),
      said('contentType', ({ contentType }) => contentType),
      said('contentEncoding', ({ contentEncoding }) => contentEncoding),
      ...writeEntries(out, this.#entries),
      writeOwn(out, 'bodyJson', this.#json),
      writeOwn(out, 'body', this.#body),
      annotated('amqpAnnotations', ({ bytes }) => bytes),
      writeOwn(out, 'amqpProperties', this.#propertyBytes),
      writeShared(out, 'amqpApplicationProperties', this.#applications, ({ bytes }) => bytes),
    ];
    this.#clear();
    return written;
  }

  #clear(): void {
    this.#rows = this.#bytes = 0;
    for (const shared of [this.#annotations, this.#properties, this.#applications, this.#entries]) shared.clear();
    for (const plain of [this.#messageId, this.#propertyBytes, this.#json, this.#body]) plain.clear();
  }
}

/** What a row holds in memory, about: a message may be all properties. */
function bytesOf(row: EventRow): number {
  const { annotations, application } = row;
  const own = row.bodyEnd - row.bodyStart + row.propertiesEnd - row.propertiesStart;
  let bytes = own + annotations.bytes.length + application.bytes.length + ROW_BYTES;
  for (const [key, value] of row.enrichments) bytes += key.length + value.length;
  return bytes;
}

/** A stored record as the row of a table: what files of the archive are made of, in whatever form. */

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

/** Bytes from `start` to `end` of a row's memory. */
export interface Part {
  readonly start: number;
  readonly end: number;
}

/** One event. Bytes are the record's, or kept for many rows: never to be written to. */
export interface EventRow {
  readonly partition: number;
  readonly sequence: number;
  /** When the log gave the event its place, UTC milliseconds. */
  readonly time: number;
  /** When the hub took the message, UTC milliseconds. */
  readonly hubTime: number;
  readonly annotations: AnnotationFacts;
  /** The memory that the record lies in, and a view of all of it. */
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Text, or where its bytes in UTF-8 are. */
  readonly messageId: string | Part | undefined;
  /** The section as AMQP has it; no bytes = there is none. */
  readonly propertiesStart: number;
  readonly propertiesEnd: number;
  readonly properties: PropertyFacts;
  readonly application: ApplicationFacts;
  /** Properties that are added for this archive; they stand before the message's own of the same name. */
  readonly enrichments: readonly (readonly [key: string, value: string])[];
  readonly bodyStart: number;
  readonly bodyEnd: number;
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

/** What readers of the archive see as the message's properties. */
export function shownProperties({ application, enrichments }: EventRow): ApplicationFacts['entries'] {
  if (enrichments.length === 0) return application.entries;
  const added = new Map(enrichments);
  return [
    ...application.entries.filter(({ key }) => !added.has(key)),
    ...Array.from(added, ([key, value]) => ({ key, value })),
  ];
}

export const messageIdOf = ({ bytes, messageId }: EventRow): string | undefined =>
  typeof messageId === 'object' ? bytes.toString('utf8', messageId.start, messageId.end) : messageId;

/** A view, not a copy. */
export const bodyOf = ({ bytes, bodyStart, bodyEnd }: EventRow): Buffer => bytes.subarray(bodyStart, bodyEnd);

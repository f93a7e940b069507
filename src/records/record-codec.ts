import { asciiText } from '../base/text.ts';
import type { MessageHead, RecordCodec, RecordTemplate, RoutingMark, TraceReader } from '../core/events/ports.ts';
import type { HubEventStamp, Telemetry } from '../core/events/types.ts';
import { traceParentOf } from '../core/monitoring/trace-context.ts';
import { readBareMessage } from '../wire/amqp/bare-message.ts';
import { writeId } from '../wire/amqp/ids.ts';
import {
  RECORD_HEADER_BYTES,
  type RecordPrefix,
  type RecordProperties,
  readRecordHeader,
  recordHead,
  recordHeadSize,
  recordPrefix,
  recordSize,
  routingMark,
  writeDataHead,
  writeHubTime,
  writeRecord,
  writeRecordHead,
  writeRoutingMark,
} from '../wire/amqp/record.ts';
import { AmqpWriter, section } from '../wire/amqp/writer.ts';
import { readHead } from './read-record.ts';

/**
 * Telemetry as the log keeps it (layout: `wire/amqp/record.ts`). The mapping of system properties to sections is that of
 * service reference 5.6 and device reference 3.4.
 *
 * A door with many messages of one sender and the same properties has `Events.prepare` make a template of them once, which
 * then writes into the log's own memory.
 */
export const recordCodec: RecordCodec = {
  encode(stamp, telemetry, enqueuedTime, mark = 0) {
    const prefix = senderPrefix(stamp);
    const properties = writeProperties(telemetry);
    const { body } = telemetry;
    const bytes = Buffer.allocUnsafe(recordSize(recordHeadSize(prefix, properties), body.length));
    const behind = writeRecordHead(bytes, 0, prefix, properties);
    writeHubTime(bytes, 0, enqueuedTime);
    bytes.set(body, writeDataHead(bytes, behind, body.length));
    if (mark !== 0) writeRoutingMark(bytes, 0, mark);
    return bytes;
  },
  template(stamp, message) {
    return new HeadTemplate(recordHead(senderPrefix(stamp), writeProperties(message)));
  },
};

export { routingMark, writeRoutingMark };

const twinSources = ['twinChangeEvents', 'deviceLifecycleEvents', 'deviceJobLifecycleEvents'] as const;

/** The annotation of a traced message; others do not have it. */
export const TRACE_KEY = 'x-opt-mooring-trace';

/** Untraced records, which is almost all, cost a search through their annotations; nothing is decoded. */
export const readTrace: TraceReader = (bytes, start, end) => {
  const { properties } = readRecordHeader(bytes, start, end);
  if (bytes.subarray(start, properties).indexOf(TRACE_KEY, RECORD_HEADER_BYTES, 'latin1') === -1) return undefined;
  const { annotations, messageId, properties: own } = readBareMessage(bytes.subarray(start + RECORD_HEADER_BYTES, end));
  const traceId = annotations.get(TRACE_KEY) ?? undefined;
  const moduleId = annotations.get('iothub-connection-module-id') ?? undefined;
  if (traceId === undefined) return undefined;
  const traceparent = traceParentOf(own, annotations.get('Diagnostic-Id'));
  return {
    traceId,
    deviceId: annotations.get('iothub-connection-device-id') ?? '',
    ...(moduleId !== undefined && { moduleId }),
    ...(messageId !== undefined && { messageId }),
    ...(traceparent !== undefined && { traceparent }),
  };
};

/** The correlation id of an event of a twin or identity, by which it is known again; undefined = of another source. */
export function twinEventCorrelation(bytes: Buffer, start: number, end: number): string | undefined {
  const { properties } = readRecordHeader(bytes, start, end);
  const annotations = bytes.subarray(start, properties);
  const isOne = twinSources.some((source) => annotations.indexOf(source, RECORD_HEADER_BYTES, 'latin1') !== -1);
  if (!isOne) return undefined;
  const message = readBareMessage(bytes.subarray(start + RECORD_HEADER_BYTES, end));
  const source = message.annotations.get('iothub-message-source');
  return twinSources.some((name) => name === source) ? message.correlationId : undefined;
}

/** A record by its finished head. */
class HeadTemplate implements RecordTemplate {
  readonly #head: Buffer;

  constructor(head: Buffer) {
    this.#head = head;
  }

  size(bodyBytes: number): number {
    return recordSize(this.#head.length, bodyBytes);
  }

  write(
    target: Buffer,
    at: number,
    enqueuedTime: number,
    source: Uint8Array,
    bodyStart: number,
    bodyEnd: number,
    mark: RoutingMark,
  ): void {
    writeRecord(target, at, this.#head, enqueuedTime, source, bodyStart, bodyEnd);
    if (mark !== 0) writeRoutingMark(target, at, mark);
  }

  message(): MessageHead {
    return readHead(this.#head);
  }
}

const prefixes = new WeakMap<HubEventStamp, RecordPrefix>();

/** What the hub says of every message of one sender. Kept as long as the stamp lives. */
export function senderPrefix(stamp: HubEventStamp): RecordPrefix {
  let prefix = prefixes.get(stamp);
  if (prefix === undefined) {
    prefix = stampPrefix(stamp);
    prefixes.set(stamp, prefix);
  }
  return prefix;
}

/** What a message's own properties become, with memory of its own; the body is not looked at. */
export function propertiesBlock(message: Pick<Telemetry, 'system' | 'properties'>): RecordProperties {
  const block = writeProperties(message);
  return { ...block, bytes: Buffer.from(block.bytes) };
}

function stampPrefix(stamp: HubEventStamp): RecordPrefix {
  const writer = new AmqpWriter();
  let elements = 0;
  const annotate = (key: string, value: string | undefined): void => {
    if (value === undefined) return;
    writer.symbol(key);
    writer.string(value);
    elements += 2;
  };
  annotate('iothub-connection-device-id', stamp.deviceId);
  annotate('iothub-connection-module-id', stamp.moduleId);
  annotate('iothub-connection-auth-method', stamp.authMethod);
  annotate('iothub-connection-auth-generation-id', stamp.generationId);
  annotate('iothub-message-source', stamp.source);
  annotate('dt-dataschema', stamp.modelId);
  return recordPrefix(writer.view(), elements);
}

/** Used again for every message: what `writeProperties` returns is valid until it is called again. */
const scratch = new AmqpWriter(4096);

function writeProperties({
  system,
  properties,
  traceId,
}: Pick<Telemetry, 'system' | 'properties' | 'traceId'>): RecordProperties {
  scratch.reset();
  let elements = 0;
  const annotate = (key: string, value: string | undefined): void => {
    if (value === undefined) return;
    scratch.symbol(key);
    scratch.string(value);
    elements += 2;
  };
  annotate('dt-subject', system.subject);
  annotate('iothub-interface-id', system.interfaceId);
  annotate('Diagnostic-Id', system.diagnosticId);
  annotate('Correlation-Context', system.correlationContext);
  annotate(TRACE_KEY, traceId);
  const propertiesAt = scratch.length;
  writePropertiesSection(system);
  const applicationAt = scratch.length;
  writeApplicationSection(system, properties);
  return { bytes: scratch.view(), elements, propertiesAt, applicationAt };
}

/** AMQP 1.0 part 3 section 3.2.4: thirteen fields, all written, absent ones as null. No section if none is set. */
function writePropertiesSection(system: Telemetry['system']): void {
  const { messageId, userId, to, correlationId, idTypes, contentType, contentEncoding, expiry } = system;
  const isEmpty =
    messageId === undefined &&
    userId === undefined &&
    to === undefined &&
    correlationId === undefined &&
    contentType === undefined &&
    contentEncoding === undefined &&
    expiry === undefined;
  if (isEmpty) return;
  scratch.descriptor(section.properties);
  const list = scratch.beginList();
  writeId(scratch, messageId, idTypes?.messageId);
  if (userId === undefined) scratch.null();
  else scratch.binary(Buffer.from(userId));
  optionalString(to);
  scratch.null(); // subject
  scratch.null(); // reply-to
  writeId(scratch, correlationId, idTypes?.correlationId);
  optionalSymbol(contentType);
  optionalSymbol(contentEncoding);
  if (expiry === undefined) scratch.null();
  else scratch.timestamp(expiry);
  for (let field = 9; field < PROPERTIES_FIELDS; field++) scratch.null();
  scratch.end(list, PROPERTIES_FIELDS);
}

const PROPERTIES_FIELDS = 13;

/** User properties, and those system properties that travel among them. A map holds each name once: the last one wins. */
function writeApplicationSection(system: Telemetry['system'], properties: Telemetry['properties']): void {
  const own: [string, string][] = [];
  if (system.messageSchema !== undefined) own.push(['iothub-message-schema', system.messageSchema]);
  if (system.outputName !== undefined) own.push(['iothub-outputname', system.outputName]);
  if (system.creationTime !== undefined) own.push(['iothub-creation-time-utc', isoTime(system.creationTime)]);
  if (own.length + properties.length === 0) return;
  const entries = own.length + properties.length === 1 ? [...properties, ...own] : new Map([...properties, ...own]);
  scratch.descriptor(section.applicationProperties);
  const map = scratch.beginMap();
  let elements = 0;
  for (const [name, value] of entries) {
    scratch.string(name);
    optionalString(value ?? undefined);
    elements += 2;
  }
  scratch.end(map, elements);
}

function isoTime(time: number): string {
  return new Date(time).toISOString();
}

function optionalString(value: string | undefined): void {
  if (value === undefined) scratch.null();
  else scratch.string(value);
}

function optionalSymbol(value: string | undefined): void {
  if (value === undefined) scratch.null();
  else scratch.symbol(asciiText(value));
}

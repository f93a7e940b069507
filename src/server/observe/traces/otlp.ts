/**
 * Spans as a request of OTLP (OpenTelemetry Protocol 1.x) in JSON: the protocol's Protobuf messages in their JSON form, with
 * ids as hexadecimal digits and 64-bit numbers as text ("JSON Protobuf Encoding" of the specification).
 */
import type { Span } from '../../../core/monitoring/spans.ts';

/** What the spans are of. */
export type Resource = Readonly<Record<string, string>>;

/** `SpanKind` and `Status.StatusCode` of trace.proto. */
const kinds = { internal: 1, server: 2 } as const;
const STATUS_ERROR = 2;

/** The body of `POST /v1/traces`: an ExportTraceServiceRequest. */
export function traceRequest(spans: readonly Span[], resource: Resource, version: string): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: keyValues(resource) },
        scopeSpans: [{ scope: { name: 'mooring', version }, spans: spans.map(spanJson) }],
      },
    ],
  });
}

function spanJson(span: Span): object {
  const { traceId, spanId, parentSpanId, name, kind, startTime, endTime, attributes, error } = span;
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: nanoseconds(startTime),
    endTimeUnixNano: nanoseconds(endTime),
    attributes: keyValues(attributes),
    ...(error !== undefined && { status: { code: STATUS_ERROR, message: error } }),
  };
}

/** Beyond what a double holds exactly, so by text. */
const nanoseconds = (time: number): string => `${Math.max(0, Math.round(time))}000000`;

function keyValues(attributes: Span['attributes']): readonly object[] {
  return Object.entries(attributes).flatMap(([key, value]) => {
    if (value === undefined) return [];
    return [{ key, value: typeof value === 'string' ? { stringValue: value.toWellFormed() } : numberValue(value) }];
  });
}

const numberValue = (value: number): object =>
  Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };

/**
 * Steps of messages as spans of a trace, for collectors of OpenTelemetry. A second reader of the passport: spans are made
 * of `traceStep` events, and of the trails of commands (`command-spans.ts`), when those are there; nothing is measured twice.
 *
 * One trace a message: a span `telemetry` for the whole, from `received` until it is stored or refused, and under it one span
 * a step, from the step before it. A message that names a trace of its sender joins it.
 */
import { limits } from '../../base/limits.ts';
import { idOf, readTraceParent } from './trace-context.ts';
import type { MonitoringEvent } from './types.ts';

/** A finished span. Times: UTC milliseconds. */
export interface Span {
  /** 32 and 16 hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** `server`: what a peer asked the hub to do; `internal`: a step of it. */
  readonly kind: 'server' | 'internal';
  readonly startTime: number;
  readonly endTime: number;
  /** Absent values are left out. */
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  /** Why it failed; absent = it did not. */
  readonly error?: string;
}

export interface TelemetrySpans {
  /** To be called with every event of the monitor. */
  observe(event: MonitoringEvent): void;
  /** Tells the messages that were not seen to the end. */
  close(): void;
}

type StepEvent = Extract<MonitoringEvent, { readonly type: 'traceStep' }>;

/** A message from its first step on. */
interface Open {
  readonly received: StepEvent;
  /** Since when it waits for its readers. */
  storedTime?: number;
  isTold: boolean;
}

const failures: ReadonlySet<string> = new Set(['refused', 'not-stored']);

/** @param tell hears of each span when it has ended. Synchronous, must not throw. */
export function createTelemetrySpans(tell: (span: Span) => void, openMax = limits.spanTracesOpenMax): TelemetrySpans {
  /** Also of messages that are stored: their readers come later. The oldest leave first. */
  const open = new Map<string, Open>();

  const tellWhole = (trace: Open, last: StepEvent | undefined): void => {
    const { received } = trace;
    trace.isTold = true;
    const { traceId, parentSpanId } = placeOf(received);
    const error = last !== undefined && failures.has(last.step) ? (last.code ?? last.step) : undefined;
    tell({
      traceId,
      spanId: rootOf(received.traceId),
      ...(parentSpanId !== undefined && { parentSpanId }),
      name: 'telemetry',
      kind: 'server',
      startTime: received.time,
      endTime: Math.max(received.time, last?.time ?? received.time),
      attributes: { ...attributesOf(received), ...(last && attributesOf(last)) },
      ...(error !== undefined && { error }),
    });
  };

  const tellStep = (event: StepEvent, since: number): void => {
    const error = failures.has(event.step) ? (event.reason ?? event.code ?? event.step) : undefined;
    tell({
      traceId: placeOf(event).traceId,
      spanId: idOf(`${event.traceId}/${event.sequenceNumber}`, 8),
      parentSpanId: rootOf(event.traceId),
      name: event.step,
      kind: 'internal',
      startTime: Math.min(since, event.time),
      endTime: event.time,
      attributes: attributesOf(event),
      ...(error !== undefined && { error }),
    });
  };

  const begin = (received: StepEvent): void => {
    open.set(received.traceId, { received, isTold: false });
    if (open.size <= openMax) return;
    const [oldest, trace] = open.entries().next().value as [string, Open];
    open.delete(oldest);
    if (!trace.isTold) tellWhole(trace, undefined);
  };

  return {
    observe(event) {
      if (event.type !== 'traceStep') return;
      if (event.step === 'received') begin(event);
      // Unknown: it was received in an earlier run of the hub, or too many have come since.
      const trace = open.get(event.traceId);
      const since = event.step === 'delivered' ? trace?.storedTime : undefined;
      tellStep(event, since ?? trace?.received.time ?? event.time);
      if (trace === undefined || (event.step !== 'stored' && !failures.has(event.step))) return;
      tellWhole(trace, event);
      if (event.step === 'stored') trace.storedTime = event.time;
      else open.delete(event.traceId);
    },
    close() {
      for (const trace of open.values()) if (!trace.isTold) tellWhole(trace, undefined);
      open.clear();
    },
  };
}

/** The span of the whole message: known by every reader of its record, after a restart too. */
const rootOf = (traceId: string): string => idOf(`${traceId}/telemetry`, 8);

/** The hub's id of a message is a UUID, so sixteen bytes as well. */
function placeOf({ traceId, traceparent }: StepEvent): { readonly traceId: string; readonly parentSpanId?: string } {
  const parent = readTraceParent(traceparent);
  if (parent !== undefined) return { traceId: parent.traceId, parentSpanId: parent.spanId };
  return { traceId: traceId.replaceAll('-', '') };
}

function attributesOf(event: StepEvent): Span['attributes'] {
  const { partition, checkedTime } = event;
  const all = {
    'mooring.device.id': event.deviceId,
    'mooring.module.id': event.moduleId,
    'mooring.trace_id': event.traceId,
    'messaging.message.id': event.messageId,
    'network.protocol.name': event.protocol,
    'client.address': event.peer,
    'mooring.credential': event.credential,
    'mooring.correlation_id': event.correlationId,
    'mooring.operation': event.operation,
    'mooring.checked_time': checkedTime === undefined ? undefined : new Date(checkedTime).toISOString(),
    'messaging.destination.partition.id': partition === undefined ? undefined : String(partition),
    'mooring.sequence_number': event.sequence,
    'messaging.consumer.group.name': event.consumerGroup,
    'mooring.reader': event.reader,
    'error.type': event.code,
    'mooring.reason': event.reason,
  };
  // Later steps are laid over the first one, which knows more of some things.
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Telemetry as the live stream tells it. */
import { useEffect, useRef } from 'preact/hooks';
import { followTopic } from './stream.ts';

export interface TelemetryEvent {
  readonly deviceId: string;
  readonly moduleId?: string;
  /** When the hub stored it: UTC milliseconds. */
  readonly enqueuedTime: number;
  readonly partition: number;
  readonly sequenceNumber: number;
  /** `Telemetry`, or the source of an event of the hub itself. */
  readonly source: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly creationTime?: string;
  /** As pairs: a name may be any text. */
  readonly properties: readonly (readonly [name: string, value: string | null])[];
  readonly body: string;
  readonly bodyEncoding: 'utf8' | 'base64';
  /** Of the whole body. */
  readonly bytes: number;
  /** `body` is only the beginning. */
  readonly truncated: boolean;
}

export interface TelemetryBatch {
  readonly events: readonly TelemetryEvent[];
  /** Further messages that the hub has counted and not told. */
  readonly leftOut: number;
  /** `leftOut` counts those of all devices. */
  readonly skipped: boolean;
  /** They came before the page asked. */
  readonly recent: boolean;
}

/** Calls `hear` with what a device sends. */
export function useTelemetry(deviceId: string, hear: (batch: TelemetryBatch) => void): void {
  const current = useRef(hear);
  current.current = hear;
  useEffect(() => {
    // What came before may be told a second time, for another tab.
    let last = -1;
    return followTopic(`device:${deviceId}`, (data, name) => {
      if (name !== 'telemetry') return;
      const batch = data as TelemetryBatch;
      const events = batch.recent ? batch.events.filter(({ sequenceNumber }) => sequenceNumber > last) : batch.events;
      last = batch.events.reduce((newest, { sequenceNumber }) => Math.max(newest, sequenceNumber), last);
      if (events.length > 0 || batch.leftOut > 0) current.current({ ...batch, events });
    });
  }, [deviceId]);
}

const encoder = new TextEncoder();

/** A body as far as it can be read. */
export interface Decoded {
  /** Undefined: it is no text. */
  readonly text?: string;
  /** Undefined: it is no JSON. */
  readonly json?: unknown;
}

const decodings = new WeakMap<TelemetryEvent, Decoded>();

export function decoded(event: TelemetryEvent): Decoded {
  let found = decodings.get(event);
  if (found === undefined) {
    found = decode(event);
    decodings.set(event, found);
  }
  return found;
}

function decode({ body, bodyEncoding, truncated }: TelemetryEvent): Decoded {
  if (bodyEncoding === 'base64') return {};
  if (truncated || !/^\s*[[{"\-\dtfn]/.test(body)) return { text: body };
  try {
    return { text: body, json: JSON.parse(body) };
  } catch {
    return { text: body };
  }
}

export const bytesOf = ({ body, bodyEncoding }: TelemetryEvent): Uint8Array =>
  bodyEncoding === 'utf8' ? encoder.encode(body) : Uint8Array.from(atob(body), (character) => character.charCodeAt(0));

const FIELDS_MAX = 40;
const DEPTH_MAX = 6;

/** The numbers of a JSON body by their paths, as `engine.rpm`. */
export function numbersOf(json: unknown): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const look = (value: unknown, path: string, depth: number): void => {
    if (found.size >= FIELDS_MAX) return;
    if (typeof value === 'number' && Number.isFinite(value)) found.set(path || 'value', value);
    else if (typeof value === 'object' && value !== null && depth < DEPTH_MAX) {
      for (const [name, inner] of Object.entries(value)) look(inner, path === '' ? name : `${path}.${name}`, depth + 1);
    }
  };
  look(json, '', 0);
  return found;
}

/** Telemetry as the live stream tells it. */
import { useEffect, useRef } from 'preact/hooks';
import { followTopic } from './stream.ts';

export interface TelemetryEvent {
  readonly deviceId: string;
  readonly moduleId?: string;
  /** When the hub stored it: UTC milliseconds. */
  readonly time: number;
  readonly partition: number;
  readonly sequence: number;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly messageId?: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly system?: Readonly<Record<string, string>>;
  /** Base64. */
  readonly body: string;
  /** Of the whole body. */
  readonly bytes: number;
  /** `body` is only the beginning. */
  readonly isCut?: boolean;
}

interface Batch {
  readonly events: readonly TelemetryEvent[];
  /** Events that the hub has left out, because more came than a page can show. */
  readonly skipped?: number;
}

/** Calls `hear` with each batch of a device's events, and how many were left out. */
export function useTelemetry(
  deviceId: string,
  hear: (events: readonly TelemetryEvent[], skipped: number) => void,
): void {
  const current = useRef(hear);
  current.current = hear;
  useEffect(
    () =>
      followTopic(`telemetry:${deviceId}`, (_name, data) => {
        const { events, skipped = 0 } = data as Batch;
        if (events.length > 0 || skipped > 0) current.current(events, skipped);
      }),
    [deviceId],
  );
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A body as far as it can be read. */
export interface Decoded {
  readonly bytes: Uint8Array;
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

function decode({ body, isCut }: TelemetryEvent): Decoded {
  const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return { bytes };
  }
  if (isCut || !/^\s*[[{"\-\dtfn]/.test(text)) return { bytes, text };
  try {
    return { bytes, text, json: JSON.parse(text) };
  } catch {
    return { bytes, text };
  }
}

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

/** W3C Trace Context, Level 1: how a message says which trace of its sender it belongs to. */
import { createHash } from 'node:crypto';

export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits: the sender's own span. */
  readonly spanId: string;
}

/** Section 3.2: version, trace id, parent id, flags. A later version may have more behind them. */
const form = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const PARENT_CHARS = 55;
const PARENT_CHARS_MAX = 512;

/** Undefined: it is not one (section 3.2.2), and the message begins a trace of its own. */
export function readTraceParent(text: string | null | undefined): TraceContext | undefined {
  if (text == null || text.length > PARENT_CHARS_MAX) return undefined;
  const match = form.exec(text);
  if (match === null || (match[1] === '00' && match[4] !== undefined)) return undefined;
  return { traceId: match[2], spanId: match[3] };
}

/** The W3C name, and that under which the senders' SDKs carry the same text. */
const names: ReadonlySet<string> = new Set(['traceparent', 'Diagnostic-Id']);

/**
 * What a message gives as its parent, cut to the fields of version 00; undefined where it gives none that can be used.
 * @param diagnosticId the system property of that name; older senders have other things in it.
 */
export function traceParentOf(
  properties: readonly (readonly [name: string, value: string | null])[],
  diagnosticId?: string | null,
): string | undefined {
  for (const [name, value] of properties) {
    if (names.has(name) && readTraceParent(value) !== undefined) return value?.slice(0, PARENT_CHARS);
  }
  return readTraceParent(diagnosticId) === undefined ? undefined : diagnosticId?.slice(0, PARENT_CHARS);
}

/** Ids that follow from what they name: the same step has the same id, whichever part tells it and however often. */
export const idOf = (name: string, bytes: 8 | 16): string =>
  createHash('sha256')
    .update(name)
    .digest('hex')
    .slice(0, bytes * 2);

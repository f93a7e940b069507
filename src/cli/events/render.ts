import { isUtf8 } from 'node:buffer';
import { paint, printable } from '../output/table.ts';
import { isoTime } from '../output/values.ts';
import type { Output } from '../terminal.ts';
import type { ReceivedEvent } from './event.ts';

/** Bytes of a body in the form that loses nothing and reads best. */
export type ShownBody =
  | { readonly encoding: 'json'; readonly value: unknown }
  | { readonly encoding: 'text'; readonly value: string }
  | { readonly encoding: 'base64'; readonly value: string };

/** JSON where the bytes are JSON, else text where they are UTF-8, else base64. */
export function showBody(body: Buffer): ShownBody {
  if (!isUtf8(body)) return { encoding: 'base64', value: body.toString('base64') };
  const text = body.toString('utf8');
  const first = text.trimStart()[0];
  // Only what begins like JSON is tried: an exception for each plain text would be most of the work.
  if (first !== undefined && '{["-0123456789tfn'.includes(first)) {
    try {
      return { encoding: 'json', value: parseExact(text) };
    } catch {
      // Not JSON after all.
    }
  }
  return { encoding: 'text', value: text };
}

interface ExactJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
}

/** JSON whose long numbers keep all their digits when they are written again. */
function parseExact(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const exact = JSON as unknown as ExactJson;
  return exact.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? exact.rawJSON(source) : value,
  );
}

/** One line of JSON for programs. */
export function eventJson(event: ReceivedEvent): string {
  const body = showBody(event.body);
  return JSON.stringify({
    device: event.deviceId,
    module: event.moduleId,
    partition: event.partition,
    sequence: event.sequence,
    offset: event.offset,
    enqueuedTime: isoTime(event.enqueuedTime),
    properties: event.properties,
    system: event.system,
    bodyEncoding: body.encoding,
    body: body.value,
  });
}

/** One line for a person: when, who, where it lies, properties, body. */
export function eventLine(output: Output, event: ReceivedEvent, deviceWidth: number): string {
  const sender = event.moduleId === undefined ? (event.deviceId ?? '-') : `${event.deviceId}/${event.moduleId}`;
  const properties = Object.entries(event.properties).map(([name, value]) => `${name}=${value ?? ''}`);
  return [
    paint(output, 'dim', clock(event.enqueuedTime)),
    paint(output, 'cyan', printable(sender).padEnd(deviceWidth)),
    paint(output, 'dim', `${event.partition}:${event.sequence}`),
    ...(properties.length === 0 ? [] : [paint(output, 'yellow', printable(properties.join(' ')))]),
    bodyText(event.body),
  ].join('  ');
}

/** Local time of day; a live view has no use for the date. */
function clock(ms: number): string {
  const at = new Date(ms);
  const parts = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

function bodyText(body: Buffer): string {
  if (body.length === 0) return '(no body)';
  const shown = showBody(body);
  if (shown.encoding === 'base64') return `(${body.length} bytes) ${shown.value}`;
  return shown.encoding === 'json' ? printable(JSON.stringify(shown.value)) : printable(shown.value);
}

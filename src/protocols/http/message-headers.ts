/**
 * Messages as HTTP headers, `iothub-…`, which devices and the historic way of sending commands share (device reference 4,
 * service reference 4.5). A header holds bytes; SDKs write ASCII, other clients UTF-8 or Latin-1.
 */

export interface MessageHeaders {
  /** By lower-case name, without the prefix `iothub-`: `messageid`, `correlationid`, `dt-subject` … */
  readonly system: ReadonlyMap<string, string>;
  /** In the order sent, names as they are written; of a name given twice the last value counts. */
  readonly properties: readonly (readonly [name: string, value: string])[];
}

const SYSTEM_PREFIX = 'iothub-';
const APPLICATION_PREFIX = 'iothub-app-';
/** The one system property of a message that has no prefix. */
const SUBJECT = 'dt-subject';

/** Sorts names and values; headers that are not a message's are left out. */
export function messageHeaders(pairs: Iterable<readonly [string, string]>): MessageHeaders {
  const system = new Map<string, string>();
  const properties = new Map<string, string>();
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase();
    if (lower.startsWith(APPLICATION_PREFIX)) {
      const own = name.slice(APPLICATION_PREFIX.length);
      if (own !== '') properties.set(own, value);
    } else if (lower.startsWith(SYSTEM_PREFIX)) {
      system.set(lower.slice(SYSTEM_PREFIX.length), value);
    } else if (lower === SUBJECT) {
      system.set(lower, value);
    }
  }
  return { system, properties: [...properties] };
}

/** Headers of a request, names as they came, values as text. */
export function* headerPairs(rawHeaders: readonly string[]): Iterable<readonly [string, string]> {
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) yield [rawHeaders[at], headerText(rawHeaders[at + 1])];
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Node hands out one character per byte. */
function headerText(value: string): string {
  if (/^[\x20-\x7e]*$/.test(value)) return value;
  try {
    return utf8.decode(Buffer.from(value, 'latin1'));
  } catch {
    return value;
  }
}

/** A name that a header may have (a token, RFC 9110 section 5.6.2): as it is when it is one, else percent-encoded. */
export function headerName(text: string): string {
  return /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/.test(text) ? text : encodeURIComponent(text).replace(/[()]/g, escaped);
}

const escaped = (char: string): string => `%${char.charCodeAt(0).toString(16).toUpperCase()}`;

/**
 * A value that a header may hold: as it is when it is visible ASCII, else percent-encoded, since no client agrees with
 * another on anything else. Blanks at the ends would be lost on the way.
 */
export function headerValue(text: string): string {
  return /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/.test(text) ? text : encodeURIComponent(text.toWellFormed());
}

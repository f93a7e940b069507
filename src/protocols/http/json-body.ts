/** JSON of request bodies: what it would make is counted on its bytes before it is parsed. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';

export interface JsonBounds {
  /** Values, names of members included, of the whole text. */
  readonly valuesMax: number;
  /** Elements of the array that the text is; absent = only `valuesMax` counts. */
  readonly elementsMax?: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** How much JSON there is in bytes that may be none: never less than what a parser would make of them. */
export interface JsonSize {
  readonly values: number;
  readonly depth: number;
  /** Of the outermost list or object. */
  readonly elements: number;
}

/** Counts until more than `valuesMax` values are found, and no further. */
export function jsonSize(bytes: Uint8Array, valuesMax: number): JsonSize {
  let values = 1;
  let elements = 1;
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < bytes.length && values <= valuesMax; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (byte === COMMA || byte === COLON) {
      values++;
      if (depth === 1 && byte === COMMA) elements++;
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      values++;
      depth++;
      if (depth > deepest) deepest = depth;
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
  }
  return { values, depth: deepest, elements };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses a body that is within `bounds`.
 * @throws HubError ArgumentInvalid when it is not, IotHubFormatError when it is no JSON in UTF-8.
 */
export function parseJson(body: Buffer, bounds: JsonBounds): unknown {
  const { valuesMax, elementsMax = Number.POSITIVE_INFINITY } = bounds;
  const { values, depth, elements } = jsonSize(body, valuesMax);
  if (elements > elementsMax) {
    throw new HubError('ArgumentInvalid', `The body holds at most ${elementsMax} elements.`);
  }
  if (values > valuesMax) throw new HubError('ArgumentInvalid', `The body holds at most ${valuesMax} values.`);
  if (depth > limits.httpJsonDepthMax) {
    throw new HubError('ArgumentInvalid', `The body is nested at most ${limits.httpJsonDepthMax} deep.`);
  }
  try {
    return JSON.parse(utf8.decode(body));
  } catch {
    // The parser's own message quotes the text, in which keys may stand.
    throw new HubError('IotHubFormatError', 'The body is not JSON in UTF-8.');
  }
}

/**
 * What a JSON text would cost, from its bytes alone: looked at before a parser makes values of it. The scan takes no side on
 * whether the text is JSON; of what is not, the parser says so.
 */

export interface JsonCost {
  /** How deep objects and arrays lie in each other; 0 for a text without any. */
  readonly depth: number;
  /** Values and names of members, at least; each is a piece of memory. */
  readonly values: number;
  /** Elements of the outermost array, or members of the outermost object, at least. */
  readonly elements: number;
  /**
   * The largest number that is written without point and exponent: what a double may not hold exactly. Of a negative one its absolute
   * value less 1: integers of n bits reach one further below 0 than above.
   */
  readonly integerMax: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;

/** One pass, no allocation per value. Ends where more than `valuesMax` values are found: so many cost too much anyway. */
export function scanJson(bytes: Uint8Array, valuesMax = Number.POSITIVE_INFINITY): JsonCost {
  let elements = 1;
  let depth = 0;
  let depthMax = 0;
  let values = 1;
  let integerMax = 0;
  for (let at = 0; at < bytes.length && values <= valuesMax; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = endOfString(bytes, at);
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      depth++;
      values++;
      if (depth > depthMax) depthMax = depth;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      depth--;
    } else if (byte === COMMA || byte === COLON) {
      values++;
      if (byte === COMMA && depth === 1) elements++;
    } else if (byte >= ZERO && byte <= NINE) {
      const end = endOfNumber(bytes, at);
      const integer = integerOf(bytes, at, end) - (bytes[at - 1] === MINUS ? 1 : 0);
      if (integer > integerMax) integerMax = integer;
      at = end - 1;
    }
  }
  return { depth: depthMax, values, elements, integerMax };
}

/** Index of the closing quote of the string that begins at `from`, or of the last byte. */
function endOfString(bytes: Uint8Array, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    if (bytes[at] === BACKSLASH) at++;
    else if (bytes[at] === QUOTE) return at;
  }
  return bytes.length;
}

/** Index behind the number: digits, signs, a point, an exponent. */
function endOfNumber(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && isOfNumber(bytes[at])) at++;
  return at;
}

function isOfNumber(byte: number): boolean {
  // 0-9 . + - e E
  return (byte >= ZERO && byte <= NINE) || byte === 0x2e || byte === 0x2b || byte === 0x2d || (byte | 0x20) === 0x65;
}

/** 0 for a number with a point or an exponent. */
function integerOf(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    if (bytes[at] < ZERO || bytes[at] > NINE) return 0;
    value = value * 10 + (bytes[at] - ZERO);
  }
  return value;
}

/**
 * The text of one member of the object that a JSON text holds, as it was written; the last one where the name is there twice, as a
 * parser reads it. Undefined = there is none. The text must have been parsed before: this looks for structure only.
 */
export function memberText(text: string, name: string): string | undefined {
  let found: string | undefined;
  let depth = 0;
  let key: string | undefined;
  let from = -1;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') {
      const end = closingQuote(text, at);
      if (depth === 1 && from < 0) key = JSON.parse(text.slice(at, end + 1)) as string;
      at = end;
    } else if (character === '{' || character === '[') {
      depth++;
    } else if (character === ':' && depth === 1 && from < 0) {
      from = at + 1;
    } else if (character === '}' || character === ']' || (character === ',' && depth === 1)) {
      if (depth === 1 && from >= 0) {
        if (key === name) found = text.slice(from, at).trim();
        from = -1;
      }
      if (character !== ',') depth--;
    }
  }
  return found;
}

function closingQuote(text: string, from: number): number {
  let at = from + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

/** The words of the condition language (query reference 1.2). Both dialects have the same. */
import { limits } from '../../base/limits.ts';
import { invalidQuery } from './faults.ts';

export type Token =
  | { readonly kind: 'name' | 'quoted' | 'text' | 'symbol'; readonly at: number; readonly text: string }
  | { readonly kind: 'number'; readonly at: number; readonly text: string; readonly value: number }
  | { readonly kind: 'end'; readonly at: number; readonly text: '' };

const blank = /(?:\s|\/\*.*?\*\/)+/suy;
/** A hyphen belongs to a name when another character of a name follows: `a-b` is one name, `a - b` a difference. */
const name = /[\p{L}_$][\p{L}\p{M}\p{N}_$]*(?:-+[\p{L}\p{M}\p{N}_$]+)*/uy;
/** Behind a dot it may begin with a digit. */
const memberName = /[\p{L}\p{N}_$][\p{L}\p{M}\p{N}_$]*(?:-+[\p{L}\p{M}\p{N}_$]+)*/uy;
const quotedName = /\[\[(.*?)\]\]/uy;
const number = /0[xX][0-9a-fA-F]{1,16}|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/uy;
const symbol = /<>|<=|>=|!=|\|\||\?\?|[-=<>+*/%(),.[\]{}]/uy;

/** @throws HubError ArgumentInvalid, with the place */
export function tokensOf(text: string): readonly Token[] {
  if (text.length > limits.queryCharsMax) {
    throw invalidQuery(text, limits.queryCharsMax, `a query has at most ${limits.queryCharsMax} characters`);
  }
  const tokens: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at += match[0].length;
    return match;
  };
  for (;;) {
    take(blank);
    const begin = at;
    if (at >= text.length) {
      tokens.push({ kind: 'end', at, text: '' });
      return tokens;
    }
    if (text.startsWith('/*', at)) throw invalidQuery(text, at, 'the comment does not end');
    const first = text[at];
    if (first === "'" || first === '"') {
      const { value, end } = textFrom(text, at);
      tokens.push({ kind: 'text', at: begin, text: value });
      at = end;
      continue;
    }
    const quoted = take(quotedName);
    if (quoted !== null) {
      tokens.push({ kind: 'quoted', at: begin, text: quoted[1] });
      continue;
    }
    const isMember = tokens.at(-1)?.text === '.' && tokens.at(-1)?.kind === 'symbol';
    const digits = isMember ? null : take(number);
    if (digits !== null) {
      tokens.push({ kind: 'number', at: begin, text: digits[0], value: Number(digits[0]) });
      continue;
    }
    const found = take(isMember ? memberName : name);
    if (found !== null) {
      tokens.push({ kind: 'name', at: begin, text: found[0] });
      continue;
    }
    const sign = take(symbol);
    if (sign === null) {
      throw invalidQuery(text, at, 'this character has no meaning here; a name that holds it is written as [[name]]');
    }
    tokens.push({ kind: 'symbol', at: begin, text: sign[0] === '<>' ? '!=' : sign[0] });
  }
}

const escapes: Readonly<Record<string, string>> = { "'": "'", '"': '"', '\\': '\\' };

/** A text in quotes of either kind. A doubled quote is no escape. */
function textFrom(text: string, begin: number): { readonly value: string; readonly end: number } {
  const quote = text[begin];
  let value = '';
  let at = begin + 1;
  for (;;) {
    if (at >= text.length) throw invalidQuery(text, begin, 'the text does not end');
    const each = text[at];
    if (each === quote) return { value, end: at + 1 };
    if (each !== '\\') {
      value += each;
      at++;
      continue;
    }
    const next = text[at + 1] ?? '';
    const code = /^[uU]([0-9a-fA-F]{4})/.exec(text.slice(at + 1, at + 6));
    if (code !== null) {
      value += String.fromCharCode(Number.parseInt(code[1], 16));
      at += 6;
    } else if (next in escapes) {
      value += escapes[next];
      at += 2;
    } else {
      throw invalidQuery(text, at, `behind \\ stands ', ", \\ or u with four hexadecimal digits`);
    }
  }
}

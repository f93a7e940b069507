/**
 * Functions of both dialects (query reference 1.3 and 5). Each says what types it takes, so that a literal of a wrong one is refused
 * before there is a value; a value of a wrong type makes the result undefined.
 */
import { limits } from '../../base/limits.ts';
import { compare, concat, isComposite, type Value } from './values.ts';

export type StaticType = 'boolean' | 'number' | 'text' | 'null' | 'undefined' | 'any';

/** One that does not begin with `IS_` is undefined where an argument is. */
export interface LanguageFunction {
  /** Types of the arguments; those behind `required` may be left out. `path`: it must be a name. */
  readonly takes: readonly (StaticType | 'path')[];
  readonly required?: number;
  /** Whether the last argument may be repeated. */
  readonly repeats?: true;
  readonly gives: StaticType;
  call(...args: readonly Value[]): Value;
}

const isText = (value: Value): value is string => typeof value === 'string';
const isNumber = (value: Value): value is number => typeof value === 'number';

const ofNumber = (work: (value: number) => number): LanguageFunction => ({
  takes: ['number'],
  gives: 'number',
  call: (value) => (isNumber(value) ? work(value) : undefined),
});
const ofTexts = (work: (text: string, part: string) => boolean): LanguageFunction => ({
  takes: ['text', 'text'],
  gives: 'boolean',
  call: (text, part) => (isText(text) && isText(part) ? work(text, part) : undefined),
});
/** Never undefined: what is not there is of no type. */
const question = (work: (value: Value) => boolean, takes: StaticType | 'path' = 'any'): LanguageFunction => ({
  takes: [takes],
  gives: 'boolean',
  call: work,
});
const changed = (work: (text: string) => string): LanguageFunction => ({
  takes: ['text'],
  gives: 'text',
  call: (text) => (isText(text) ? work(text) : undefined),
});

const startsWith = ofTexts((text, part) => text.startsWith(part));
const endsWith = ofTexts((text, part) => text.endsWith(part));
const contains = ofTexts((text, part) => text.includes(part));
const length: LanguageFunction = {
  takes: ['text'],
  gives: 'number',
  call: (text) => (isText(text) ? text.length : undefined),
};

const questions: readonly (readonly [string, LanguageFunction])[] = [
  ['IS_DEFINED', question((value) => value !== undefined, 'path')],
  ['IS_NULL', question((value) => value === null)],
  ['IS_BOOL', question((value) => typeof value === 'boolean')],
  ['IS_NUMBER', question(isNumber)],
  ['IS_STRING', question(isText)],
  ['IS_ARRAY', question((value) => Array.isArray(value))],
  ['IS_OBJECT', question((value) => isComposite(value) && !Array.isArray(value))],
  ['IS_PRIMITIVE', question((value) => value !== undefined && !isComposite(value))],
];

const common: readonly (readonly [string, LanguageFunction])[] = [
  ...questions,
  ['CONTAINS', contains],
  ['LOWER', changed((text) => text.toLowerCase())],
  ['UPPER', changed((text) => text.toUpperCase())],
  ['LENGTH', length],
  ['ABS', ofNumber(Math.abs)],
  ['CEILING', ofNumber(Math.ceil)],
  ['FLOOR', ofNumber(Math.floor)],
];

/** Names in capitals: any case will do. */
export const twinFunctions: ReadonlyMap<string, LanguageFunction> = new Map([
  ...common,
  ['STARTSWITH', startsWith],
  ['ENDSWITH', endsWith],
  [
    'ARRAY_CONTAINS',
    {
      takes: ['any', 'any'],
      gives: 'boolean',
      call: (list, wanted) =>
        Array.isArray(list) && wanted !== undefined
          ? list.some((item: Value) => compare('=', item, wanted) === true)
          : undefined,
    },
  ],
]);

export const routingFunctions: ReadonlyMap<string, LanguageFunction> = new Map([
  ...common,
  ['STARTS_WITH', startsWith],
  ['ENDS_WITH', endsWith],
  ['EXP', ofNumber(Math.exp)],
  ['SIGN', ofNumber(Math.sign)],
  ['SQRT', ofNumber(Math.sqrt)],
  ['SQUARE', ofNumber((value) => value * value)],
  [
    'POWER',
    {
      takes: ['number', 'number'],
      gives: 'number',
      call: (base, exponent) => (isNumber(base) && isNumber(exponent) ? base ** exponent : undefined),
    },
  ],
  ['AS_NUMBER', { takes: ['text'], gives: 'number', call: (text) => (isText(text) ? asNumber(text) : undefined) }],
  [
    'CONCAT',
    {
      takes: ['text', 'text'],
      repeats: true,
      gives: 'text',
      call: (first, ...others) => others.reduce<Value>((text, part) => concat(text, part), first),
    },
  ],
  [
    'INDEX_OF',
    {
      takes: ['text', 'text'],
      gives: 'number',
      call: (text, part) => (isText(text) && isText(part) ? text.indexOf(part) : undefined),
    },
  ],
  ['SUBSTRING', { takes: ['text', 'number', 'number'], required: 2, gives: 'text', call: substring }],
]);

/** What is out of the text's range is undefined; the third argument is a length. One that is given and not there: undefined, too. */
function substring(text: Value, start: Value, ...lengths: readonly Value[]): Value {
  if (!isText(text) || !isNumber(start) || !lengths.every(isNumber)) return undefined;
  const end = lengths.length === 0 ? text.length : start + lengths[0];
  const isInside = Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= text.length;
  return isInside ? text.slice(start, end) : undefined;
}

const decimal = /^[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** As a reader would write it, also with separators between thousands and with an exponent. */
function asNumber(text: string): number | undefined {
  return hasDigitsOnly(text) ? Number(text) : writtenNumber(text);
}

/** Most numbers in properties: a quarter of the time that the whole form takes. */
function hasDigitsOnly(text: string): boolean {
  if (text.length === 0 || text.length > limits.queryNumberCharsMax) return false;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x30 || unit > 0x39) return false;
  }
  return true;
}

function writtenNumber(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed.length > limits.queryNumberCharsMax || !/\d/.test(trimmed) || !decimal.test(trimmed)) return undefined;
  const value = Number(trimmed.replaceAll(',', ''));
  return Number.isNaN(value) ? undefined : value;
}

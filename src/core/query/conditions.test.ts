/** The condition language against the truth tables of the query reference (1.3, 5). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluate } from '../../../test/drivers/condition-values.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { type Dialect, routingDialect, twinDialect } from './dialects.ts';
import { parseCondition } from './parser.ts';
import type { CompareOperator } from './syntax.ts';
import type { Value } from './values.ts';

const refusal = (text: string, dialect: Dialect = twinDialect): string => {
  try {
    parseCondition(text, dialect);
  } catch (error) {
    assert.ok(error instanceof HubError && error.code === 'ArgumentInvalid', String(error));
    return error.message;
  }
  return assert.fail(`${text} is accepted`);
};

/** The operands of the tables below, in their order. */
const operands: Readonly<Record<string, unknown>> = {
  missing: undefined,
  nothing: null,
  no: false,
  yes: true,
  one: 1,
  two: 2,
  digit: '1',
  word: 'a',
  list: [1],
  object: { a: 1 },
};

/** `T`, `F` and `.` for undefined: one line for each left operand, one sign for each right one. */
const comparisons: Readonly<Record<CompareOperator, readonly string[]>> = {
  '=': [
    '..........',
    '.TFFFFFF..',
    '.FTFFFFF..',
    '.FFTFFFF..',
    '.FFFTFFF..',
    '.FFFFTFF..',
    '.FFFFFTF..',
    '.FFFFFFT..',
    '..........',
    '..........',
  ],
  '!=': [
    '..........',
    '.FTTTTTT..',
    '.TFTTTTT..',
    '.TTFTTTT..',
    '.TTTFTTT..',
    '.TTTTFTT..',
    '.TTTTTFT..',
    '.TTTTTTF..',
    '..........',
    '..........',
  ],
  '<': [
    '..........',
    '..........',
    '..FT......',
    '..FF......',
    '....FT....',
    '....FF....',
    '......FT..',
    '......FF..',
    '..........',
    '..........',
  ],
  '<=': [
    '..........',
    '..........',
    '..TT......',
    '..FT......',
    '....TT....',
    '....FT....',
    '......TT..',
    '......FT..',
    '..........',
    '..........',
  ],
  '>': [
    '..........',
    '..........',
    '..FF......',
    '..TF......',
    '....FF....',
    '....TF....',
    '......FF..',
    '......TF..',
    '..........',
    '..........',
  ],
  '>=': [
    '..........',
    '..........',
    '..TF......',
    '..TT......',
    '....TF....',
    '....TT....',
    '......TF..',
    '......TT..',
    '..........',
    '..........',
  ],
};

const sign = (value: Value): string => (value === undefined ? '.' : value === true ? 'T' : 'F');

test('comparisons are as the tables say, for every pair of types', () => {
  for (const [operator, lines] of Object.entries(comparisons)) {
    for (const [at, left] of Object.keys(operands).entries()) {
      const line = Object.keys(operands).map((right) => sign(evaluate(`${left} ${operator} ${right}`, operands)));
      assert.equal(line.join(''), lines[at], `${left} ${operator} …`);
      const negated = Object.keys(operands).map((right) =>
        sign(evaluate(`NOT (${left} ${operator} ${right})`, operands)),
      );
      const wanted = lines[at].replace(/[TF]/g, (each) => (each === 'T' ? 'F' : 'T'));
      assert.equal(negated.join(''), wanted, `NOT (${left} ${operator} …)`);
    }
  }
});

test('AND, OR and NOT have three values', () => {
  const names = ['yes', 'no', 'missing', 'nothing', 'one', 'word', 'list'];
  // What is no truth value counts as undefined.
  const tables = { AND: ['TF.....', 'FFFFFFF', '.F.....'], OR: ['TTTTTTT', 'TF.....', 'T......'] };
  for (const [operator, lines] of Object.entries(tables)) {
    for (const [at, left] of names.entries()) {
      const line = names.map((right) => sign(evaluate(`${left} ${operator} ${right}`, operands))).join('');
      assert.equal(line, lines[Math.min(at, 2)], `${left} ${operator} …`);
    }
  }
  assert.equal(names.map((name) => sign(evaluate(`NOT ${name}`, operands))).join(''), 'FT.....');
});

test('IN and NIN are equality with one of a list, and undefined where equality is', () => {
  const lists: Readonly<Record<string, string>> = {
    "[1, 'a', true]": '.FFTTFFT..',
    '[null]': '.TFFFFFF..',
    '[]': '.FFFFFFF..',
    '[undefined, 2]': '.....T....',
    '[-1, 1.0, false, ]': '',
  };
  for (const [list, wanted] of Object.entries(lists)) {
    if (wanted === '') {
      assert.match(refusal(`one IN ${list}`), /column 25, near ']': a list holds/);
      continue;
    }
    const found = Object.keys(operands).map((name) => sign(evaluate(`${name} IN ${list}`, operands)));
    assert.equal(found.join(''), wanted, `IN ${list}`);
    const outside = Object.keys(operands).map((name) => sign(evaluate(`${name} nin ${list}`, operands)));
    assert.equal(
      outside.join(''),
      wanted.replace(/[TF]/g, (each) => (each === 'T' ? 'F' : 'T')),
      `NIN ${list}`,
    );
  }
});

/** A condition, and its value for `operands`. */
const vectors: readonly (readonly [condition: string, value: boolean | undefined])[] = [
  ["word = 'a'", true],
  ['word = "a"', true],
  ["word = '\\u0061'", true],
  ["word || '\\'\\\\' = 'a\\'\\\\'", true],
  ['one + two * 2 = 5', true],
  ['(one + two) * 2 = 6', true],
  ['two - one - one = 0', true],
  ['- two + two = 0', true],
  ['- (one + two) = -3', true],
  ['7 % 4 = 3', true],
  ['one / 0 > 1000000', true],
  ['one / 0 = two / 0', true],
  ['0 / 0 = 0 / 0', false],
  ['0x10 = 16', true],
  ['1.5e1 = 15', true],
  ['one + word = 1', undefined],
  ['digit + one = 2', undefined],
  ['missing + 1 = 1', undefined],
  ["word || digit = 'a1'", true],
  ["one || digit = '11'", undefined],
  ['one = 1 AND two = 2 OR no', true],
  ['no AND no OR yes', true],
  ['no AND (no OR yes)', false],
  ['yes OR missing AND no', true],
  ['NOT one = 2', true],
  ['NOT one = 2 AND no', false],
  ['one < two = true', true],
  ['one = 1 = true', true],
  ['is_defined(missing)', false],
  ['IS_DEFINED(nothing)', true],
  ['is_defined(object.a)', true],
  ['is_defined(object.b)', false],
  ['list[0] = 1', true],
  ['list[1] = 1', undefined],
  ['object.[[a]] = 1', true],
  ["STARTSWITH(word, 'a')", true],
  ["startswith(word, 'b')", false],
  ["STARTSWITH(one, 'a')", undefined],
  ["ENDSWITH('xa', word)", true],
  ['ARRAY_CONTAINS(list, 1)', true],
  ["array_contains(list, '1')", false],
  ['ARRAY_CONTAINS(list, missing)', undefined],
  ['ARRAY_CONTAINS(word, 1)', undefined],
  ['IS_NULL(nothing)', true],
  ['IS_NULL(missing)', false],
  ['IS_BOOL(no)', true],
  ['IS_NUMBER(digit)', false],
  ['IS_STRING(digit)', true],
  ['IS_ARRAY(list)', true],
  ['IS_OBJECT(list)', false],
  ['IS_OBJECT(object)', true],
  ['IS_PRIMITIVE(nothing)', true],
  ['IS_PRIMITIVE(object)', false],
  ["LOWER('AB') = 'ab' AND UPPER(word) = 'A' AND LENGTH('abc') = 3", true],
  ["CONTAINS('xay', word)", true],
  ['ABS(-1) = one AND CEILING(0.5) = one AND FLOOR(1.5) = one', true],
  ['/* says nothing */ yes /* nor this\n */', true],
  ['\n\tyes\r\n', true],
  ['TRUE', true],
  ['nothing = null', true],
  ['missing = undefined', undefined],
  ['one != null', true],
];

test('operators, functions and brackets give what is written down', () => {
  for (const [condition, value] of vectors) assert.equal(evaluate(condition, operands), value, condition);
});

test('names hold hyphens, any script, words of the language behind a dot or in brackets', () => {
  assert.equal(evaluate('a-b = 1 AND a - b = 2', { 'a-b': 1, a: 3, b: 1 }), true);
  assert.equal(evaluate('a-1 = 5', { 'a-1': 5, a: 9 }), true);
  assert.equal(evaluate('größe.温度 = 1', { größe: { 温度: 1 } }), true);
  assert.equal(evaluate('tags.group = 1 AND tags.1st = 2', { tags: { group: 1, '1st': 2 } }), true);
  assert.equal(evaluate('[[group]] = 1 AND [[a b.c]] = 2', { group: 1, 'a b.c': 2 }), true);
  assert.equal(evaluate('tags.[[in]] IN [1]', { tags: { in: 1 } }), true);
  assert.match(refusal('group = 1'), /GROUP is a word of the language: .* \[\[group\]\]/);
  assert.equal(evaluate('tags.3f2a-00 = 1', { tags: { '3f2a-00': 1 } }), true, 'a part of a GUID');
});

test('a refusal names the line, the column and what stands there', () => {
  const text = 'The query is invalid. Please check the format of the query and try again. ';
  assert.equal(refusal('one ='), `${text}Line 1, column 6, at its end: it ends too early: a value is expected`);
  assert.match(refusal('one = 1\nAND two ~ 2'), /Line 2, column 9, near '~ 2': this character has no meaning here/);
  assert.match(refusal("one = 'a"), /column 7, near ''a': the text does not end/);
  assert.match(refusal("one = 'a\\n'"), /column 9, .*hexadecimal/);
  assert.match(refusal('one = 1 two'), /column 9, near 'two': an operator or the end is expected here/);
  assert.match(refusal('(one = 1'), /column 9, at its end: \) is expected here/);
  assert.match(refusal("STARTS_WITH(one, 'a')"), /no function STARTS_WITH; it is STARTSWITH here/);
  assert.match(refusal("STARTSWITH(one, 'a')", routingDialect), /no function STARTSWITH; it is STARTS_WITH here/);
  assert.match(refusal('one ?? two'), /routing conditions only/);
  assert.match(refusal('/* one'), /the comment does not end/);
  assert.match(refusal('one IN (1)'), /a list in brackets/);
  assert.match(refusal('IS_DEFINED(1)'), /column 12, .*takes a name/);
  assert.match(refusal('STARTSWITH(one)'), /takes 2 arguments, not 1/);
});

test('what can never be true is refused, with its place', () => {
  assert.match(refusal('1'), /a condition is true or false, and this is a number/);
  assert.match(refusal("'a' = 1"), /column 5, .*compares values of one type, and these are a text and a number/);
  assert.match(refusal("one AND 'a'"), /column 9, .*AND takes true or false, and this is a text/);
  assert.match(refusal("one + 'a' = 1"), /\+ takes a number/);
  assert.match(refusal('STARTSWITH(one, 5)'), /STARTSWITH takes a text/);
  assert.match(refusal('temperature > 5', routingDialect), /these are a text and a number/);
  assert.equal(evaluate('as_number(temperature) > 5', { temperature: '1,005.5e0' }, routingDialect), true);
});

test('everything is bounded before work is done with it', () => {
  assert.match(refusal(`one = '${'x'.repeat(limits.queryCharsMax)}'`), /at most 8192 characters/);
  assert.match(refusal('('.repeat(4000)), /nests deeper than 32 levels/);
  assert.match(refusal('NOT '.repeat(2000)), /nests deeper than 32 levels/);
  assert.match(refusal('-'.repeat(8000)), /nests deeper than 32 levels/);
  assert.match(refusal(`one${' AND one'.repeat(300)}`), /more than 256 parts/);
  assert.match(refusal(`one${'.a'.repeat(20)}`), /at most 16 levels/);
  const word = 'x'.repeat(limits.queryTextCharsMax / 2);
  assert.equal(evaluate("w || w || '' != ''", { w: word }), true);
  assert.equal(evaluate("w || w || 'x' != ''", { w: word }), undefined, 'a text that would grow too long');
});

test('the routing dialect binds NOT to what follows, goes on over dots, and has its own functions', () => {
  const row = { 'a.b': 'x', level: 'critical', $body: { t: 5, on: true, list: [1] }, empty: '' };
  const routes: readonly (readonly [string, Value])[] = [
    ["a.b = 'x'", true],
    ["level = 'critical' AND $body.t > 4", true],
    ['NOT $body.on = false', true],
    ['$body.list[0] = 1', true],
    ['$body.missing = 1', undefined],
    ["(missing ?? 'd') = 'd'", true],
    ["(level ?? 'd') = 'd'", false],
    ["missing ?? 'd' = 'd'", true],
    ["concat(level, '-', a.b) = 'critical-x'", true],
    ["substring(level, 0, 4) = 'crit' AND substring(level, 4) = 'ical'", true],
    ["substring(level, 9) = ''", undefined],
    ["index_of(level, 'z') = -1", true],
    ["starts_with(level, 'cri') AND ends_with(level, 'cal')", true],
    ['power(2, 3) = 8 AND sqrt(9) = 3 AND square(3) = 9 AND sign(-2) = -1', true],
    ["as_number('abc') = 1", undefined],
    ["as_number('1e3') = 1000", true],
    ["as_number('0042') = 42", true],
    ["as_number('12345678901234567890') = 12345678901234567890", true],
    ["as_number('4 2') = 42", undefined],
    ["as_number('٤٢') = 42", undefined],
    [`as_number('${'1'.repeat(65)}') > 0`, undefined],
    ["as_number('') = 0", undefined],
    ['is_string(level) AND is_bool($body.on)', true],
    ["from = 'x'", undefined],
  ];
  for (const [condition, value] of routes) assert.equal(evaluate(condition, row, routingDialect), value, condition);
  assert.match(refusal('TRUE', routingDialect), /a condition is true or false, and this is a text/);
  const forced = parseCondition("{$connectionDeviceId} = 'd'", routingDialect);
  assert.equal(forced.kind === 'compare' && forced.left.kind === 'path' && forced.left.forced, true);
});

test('a function that is no question is undefined where an argument is not there', () => {
  const samples: Readonly<Record<string, Value>> = { text: '12', number: 1, any: 'a', path: 'a' };
  for (const [name, { takes, call }] of [...twinDialect.functions, ...routingDialect.functions]) {
    if (name.startsWith('IS_')) continue;
    const args = takes.map((type) => (name === 'ARRAY_CONTAINS' && type === 'any' ? ['a'] : samples[type]));
    for (const [at] of args.entries()) {
      assert.equal(call(...args.with(at, undefined)), undefined, `${name} without argument ${at + 1}`);
    }
  }
});

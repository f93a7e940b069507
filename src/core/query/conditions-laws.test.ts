/** The condition language against its own rules, over random conditions, rows and texts. SEED sets the seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Row, valueFor } from '../../../test/drivers/condition-values.ts';
import { HubError } from '../errors.ts';
import { routingDialect, twinDialect } from './dialects.ts';
import { neededNames } from './needed-names.ts';
import { parseCondition } from './parser.ts';
import type { CompareOperator, Expression, Literal } from './syntax.ts';
import { compare, compareTexts, type Value } from './values.ts';

const seed = Number(process.env.SEED ?? 20261129);

const literals = fc.oneof(
  fc.constantFrom<Literal>(null, true, false, 0, 1, -1.5, 2 ** 53, 'a', '', "'", '\\', '\u{1f600}', '\ue000', '\u0000'),
  fc.string({ maxLength: 4 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const names = fc.constantFrom('a', 'b', 'c-d', 'größe', 'group', 'x y', 'true', '$v');
const paths = fc.array(names, { minLength: 1, maxLength: 3 });

/** Conditions whose parts all fit: each side of an operator is a name, so that everything may be asked. */
const conditions: fc.Arbitrary<Expression> = fc.letrec<{ condition: Expression; value: Expression }>((tie) => ({
  value: fc.oneof(
    paths.map((segments): Expression => ({ kind: 'path', at: 0, segments })),
    fc
      .tuple(fc.constantFrom('+' as const, '-' as const, '*' as const, '/' as const, '%' as const), paths, paths)
      .map(([operator, left, right]): Expression => {
        const of = (segments: readonly string[]): Expression => ({ kind: 'path', at: 0, segments });
        return { kind: 'arithmetic', at: 0, operator, left: of(left), right: of(right) };
      }),
  ),
  condition: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc
      .tuple(fc.constantFrom<CompareOperator>('=', '!=', '<', '<=', '>', '>='), paths, fc.oneof(literals, fc.nat()))
      .map(
        ([operator, segments, value]): Expression => ({
          kind: 'compare',
          at: 0,
          operator,
          left: { kind: 'path', at: 0, segments },
          right: { kind: 'literal', at: 0, value },
        }),
      ),
    fc
      .tuple(tie('value'), tie('value'))
      .map(([left, right]): Expression => ({ kind: 'compare', at: 0, operator: '=', left, right })),
    fc
      .tuple(paths, fc.array(literals, { maxLength: 3 }), fc.boolean())
      .map(([segments, values, isNegated]): Expression => {
        return { kind: 'in', at: 0, operand: { kind: 'path', at: 0, segments }, values, isNegated };
      }),
    paths.map((segments): Expression => {
      return { kind: 'call', at: 0, name: 'IS_DEFINED', args: [{ kind: 'path', at: 0, segments }] };
    }),
    tie('condition').map((operand): Expression => ({ kind: 'not', at: 0, operand })),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), fc.array(tie('condition'), { minLength: 2, maxLength: 3 }))
      .map(([kind, parts]): Expression => {
        // As the parser has them: a chain is flat.
        return { kind, at: 0, operands: parts.flatMap((part) => (part.kind === kind ? part.operands : [part])) };
      }),
  ),
})).condition;

const values = fc.oneof(literals, fc.array(literals, { maxLength: 2 }));
const rows: fc.Arbitrary<Row> = fc.dictionary(names, fc.oneof(values, fc.dictionary(names, values, { maxKeys: 3 })), {
  maxKeys: 5,
});

function printed(expression: Expression): string {
  switch (expression.kind) {
    case 'literal':
      return literalText(expression.value);
    case 'path':
      return expression.segments.map((segment) => `[[${segment}]]`).join('.');
    case 'not':
      return `NOT (${printed(expression.operand)})`;
    case 'negate':
      return `-(${printed(expression.operand)})`;
    case 'and':
    case 'or':
      return expression.operands.map((part) => `(${printed(part)})`).join(` ${expression.kind} `);
    case 'compare':
    case 'arithmetic':
      return `(${printed(expression.left)}) ${expression.operator} (${printed(expression.right)})`;
    case 'in':
      return `${printed(expression.operand)} ${expression.isNegated ? 'NIN' : 'IN'} [${expression.values.map(literalText)}]`;
    case 'call':
      return `${expression.name}(${expression.args.map(printed)})`;
    default:
      return assert.fail(expression.kind);
  }
}

function literalText(value: Literal): string {
  if (typeof value !== 'string') return Object.is(value, -0) ? '-0' : String(value);
  return `'${value.replace(/[\\']/g, (each) => `\\${each}`)}'`;
}

const withoutPlaces = (tree: unknown): unknown =>
  JSON.parse(
    JSON.stringify(tree, (name, value: unknown) => (name === 'at' ? undefined : Object.is(value, -0) ? '-0' : value)),
  );

test('what is printed is read as the same tree', () => {
  fc.assert(
    fc.property(conditions, (condition) => {
      const text = printed(condition);
      assert.deepEqual(withoutPlaces(parseCondition(text, twinDialect)), withoutPlaces(condition), text);
    }),
    { seed, numRuns: 2000 },
  );
});

test('the laws of three-valued logic hold for every condition and row', () => {
  fc.assert(
    fc.property(conditions, conditions, rows, (a, b, row) => {
      const not = (operand: Expression): Expression => ({ kind: 'not', at: 0, operand });
      const of = (kind: 'and' | 'or', ...parts: readonly Expression[]): Value =>
        valueFor({ kind, at: 0, operands: parts }, row);
      const value = valueFor(a, row);
      assert.ok(value === undefined || typeof value === 'boolean');
      assert.equal(valueFor(not(not(a)), row), value);
      assert.equal(valueFor(not({ kind: 'and', at: 0, operands: [a, b] }), row), of('or', not(a), not(b)), 'De Morgan');
      assert.equal(of('and', a, b), of('and', b, a));
      assert.equal(of('or', a, b), of('or', b, a));
      assert.equal(of('and', a, a), value);
    }),
    { seed, numRuns: 2000 },
  );
});

test('a condition is never true where a name that it needs is not there', () => {
  let needing = 0;
  fc.assert(
    fc.property(conditions, rows, (condition, row) => {
      const needed = neededNames(condition, ({ segments }) => segments.join('.'));
      if (needed.size > 0) needing++;
      if (valueFor(condition, row) !== true) return;
      for (const name of needed) {
        const path = { kind: 'path', at: 0, segments: name.split('.') } as const;
        assert.notEqual(valueFor(path, row), undefined, `${printed(condition)} is true without ${name}`);
      }
    }),
    { seed, numRuns: 5000 },
  );
  assert.ok(needing > 1000, `${needing} conditions need a name`);
});

test('texts are ordered as their bytes in UTF-8', () => {
  const texts = fc.string({ unit: 'binary', maxLength: 5 });
  fc.assert(
    fc.property(texts, texts, (a, b) => {
      if (!a.isWellFormed() || !b.isWellFormed()) return;
      assert.equal(Math.sign(compareTexts(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
      assert.equal(compare('<', a, b), compareTexts(a, b) < 0);
    }),
    { seed, numRuns: 2000 },
  );
});

test('any text is read, or refused with a place', () => {
  const parts = fc.constantFrom(
    ...[
      'a',
      'b.c',
      '[[x]]',
      '(',
      ')',
      '[',
      ']',
      ',',
      '=',
      '<>',
      '<',
      'AND',
      'or',
      'NOT',
      'IN',
      '-',
      '+',
      '||',
      '??',
      '{',
      '}',
    ],
    ...["'t'", '"', '1', '0xf', '1e9', '.', 'STARTSWITH(', 'is_defined(', 'null', '/*', '*/', '\\', '#', '\ud800', ' '],
  );
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 20 }), fc.constantFrom(twinDialect, routingDialect), (list, dialect) => {
      const text = list.join(' ');
      try {
        valueFor(parseCondition(text, dialect), { a: 1 }, dialect);
      } catch (error) {
        assert.ok(error instanceof HubError && error.code === 'ArgumentInvalid', `${text}: ${error}`);
        assert.match(error.message, /Line \d+, column \d+, /);
      }
    }),
    { seed, numRuns: 5000 },
  );
});

/** What conditions of the query language give for plain rows. */
import { type Dialect, twinDialect } from '../../src/core/query/dialects.ts';
import { compileExpression } from '../../src/core/query/evaluate.ts';
import { parseCondition } from '../../src/core/query/parser.ts';
import type { Expression } from '../../src/core/query/syntax.ts';
import type { Value } from '../../src/core/query/values.ts';

export type Row = Readonly<Record<string, unknown>>;

/** The value of `text` for a row whose members are named directly. */
export function evaluate(text: string, row: Row = {}, dialect: Dialect = twinDialect): Value {
  return valueFor(parseCondition(text, dialect), row, dialect);
}

export function valueFor(condition: Expression, row: Row, dialect: Dialect = twinDialect): Value {
  const run = compileExpression<Row>(condition, dialect.functions, ({ segments }) => (each) => {
    let value: unknown = each;
    for (const segment of segments) {
      const isThere = typeof value === 'object' && value !== null && Object.hasOwn(value, segment);
      value = isThere ? (value as Row)[segment] : undefined;
    }
    return value as Value;
  });
  return run(row);
}

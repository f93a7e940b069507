/** Conditions as functions: made once, called for each row or event. Three-valued (query reference 1.3); never throws. */
import type { Dialect } from './dialects.ts';
import type { CompareOperator, Expression, Literal } from './syntax.ts';
import { calculate, compare, isComposite, negate, not, type Value } from './values.ts';

/** How an expression gets its values from what it is asked about. */
export type ValueOf<Row> = (row: Row) => Value;

/** Gives for a name what finds its value: made once for each name of an expression. */
export type Binder<Row> = (path: Expression & { readonly kind: 'path' }) => ValueOf<Row>;

/** The value of an expression; a row passes a condition if it is exactly true. */
export function compileExpression<Row>(
  expression: Expression,
  functions: Dialect['functions'],
  bind: Binder<Row>,
): ValueOf<Row> {
  const compile = (part: Expression): ValueOf<Row> => compileExpression(part, functions, bind);
  switch (expression.kind) {
    case 'literal': {
      const { value } = expression;
      return () => value;
    }
    case 'path':
      return bind(expression);
    case 'not': {
      const operand = compile(expression.operand);
      return (row) => not(operand(row));
    }
    case 'negate': {
      const operand = compile(expression.operand);
      return (row) => negate(operand(row));
    }
    case 'and':
      return chain(expression.operands.map(compile), false);
    case 'or':
      return chain(expression.operands.map(compile), true);
    case 'compare': {
      const { operator, left, right } = expression;
      if (right.kind === 'literal') return comparedWith(operator, compile(left), right.value);
      return compared(operator, compile(left), compile(right));
    }
    case 'arithmetic': {
      const { operator } = expression;
      const [left, right] = [compile(expression.left), compile(expression.right)];
      return (row) => calculate(operator, left(row), right(row));
    }
    case 'coalesce': {
      const [left, right] = [compile(expression.left), compile(expression.right)];
      return (row) => {
        const value = left(row);
        return value === undefined ? right(row) : value;
      };
    }
    case 'in':
      return membership(compile(expression.operand), expression.values, expression.isNegated);
    case 'call':
      return called(functions, expression.name, expression.args.map(compile));
  }
}

function compared<Row>(operator: CompareOperator, left: ValueOf<Row>, right: ValueOf<Row>): ValueOf<Row> {
  return (row) => compare(operator, left(row), right(row));
}

/** The usual comparisons without the questions that the literal has answered. The others: as between any two values. */
function comparedWith<Row>(operator: CompareOperator, left: ValueOf<Row>, literal: Literal): ValueOf<Row> {
  if (literal !== undefined && (operator === '=' || operator === '!=')) {
    const ifEqual = operator === '=';
    return (row) => {
      const value = left(row);
      if (value === literal) return ifEqual;
      return value === undefined || isComposite(value) ? undefined : !ifEqual;
    };
  }
  return (row) => compare(operator, left(row), literal);
}

/** AND ends with false, OR with true; otherwise the result is undefined if one part is no truth value. */
function chain<Row>(operands: readonly ValueOf<Row>[], ends: boolean): ValueOf<Row> {
  return (row) => {
    let result: Value = !ends;
    for (const operand of operands) {
      const value = operand(row);
      if (value === ends) return ends;
      if (value !== !ends) result = undefined;
    }
    return result;
  };
}

/** What is not there, or cannot be compared, is neither in a list nor outside of it. */
function membership<Row>(operand: ValueOf<Row>, values: readonly Literal[], isNegated: boolean): ValueOf<Row> {
  const wanted = new Set(values.filter((value) => value !== undefined));
  // Equality with undefined is undefined: so is the whole, unless another one is equal.
  const otherwise = values.includes(undefined) ? undefined : isNegated;
  return (row) => {
    const value = operand(row);
    if (value === undefined || isComposite(value)) return undefined;
    // A set holds NaN equal to itself.
    return wanted.has(value) && !Number.isNaN(value) ? !isNegated : otherwise;
  };
}

function called<Row>(functions: Dialect['functions'], name: string, args: readonly ValueOf<Row>[]): ValueOf<Row> {
  const known = functions.get(name);
  if (known === undefined) return () => undefined;
  const [first, second] = args;
  if (args.length === 1) return (row) => known.call(first(row));
  if (args.length === 2) return (row) => known.call(first(row), second(row));
  return (row) => known.call(...args.map((arg) => arg(row)));
}

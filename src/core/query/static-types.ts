/**
 * What can be said of a condition before there is a value: an operator whose operands can never fit is refused, with its place, instead
 * of being undefined for ever (query reference 1.3).
 */
import type { Dialect } from './dialects.ts';
import { invalidQuery } from './faults.ts';
import type { StaticType } from './functions.ts';
import type { Expression, Literal } from './syntax.ts';

/** @throws HubError ArgumentInvalid: it is no condition, or a part of it never fits */
export function checkCondition(condition: Expression, text: string, dialect: Dialect): void {
  const type = staticType(condition, text, dialect);
  if (!fits(type, 'boolean'))
    throw invalidQuery(text, condition.at, `a condition is true or false, and this is ${said[type]}`);
}

const said: Readonly<Record<StaticType, string>> = {
  boolean: 'true or false',
  number: 'a number',
  text: 'a text',
  null: 'null',
  undefined: 'undefined',
  any: 'any value',
};

/** Undefined fits everywhere: the result is undefined. */
const fits = (type: StaticType, wanted: StaticType): boolean =>
  type === wanted || type === 'any' || type === 'undefined' || wanted === 'any';

/** @throws HubError ArgumentInvalid */
export function staticType(expression: Expression, text: string, dialect: Dialect): StaticType {
  const typeOf = (part: Expression): StaticType => staticType(part, text, dialect);
  const demand = (part: Expression, wanted: StaticType, of: string): void => {
    const type = typeOf(part);
    if (!fits(type, wanted))
      throw invalidQuery(text, part.at, `${of} takes ${said[wanted]}, and this is ${said[type]}`);
  };
  switch (expression.kind) {
    case 'literal':
      return typeOfLiteral(expression.value);
    case 'path':
      return expression.forced ? 'text' : dialect.typeOfPath(expression.segments);
    case 'not':
      demand(expression.operand, 'boolean', 'NOT');
      return 'boolean';
    case 'negate':
      demand(expression.operand, 'number', '-');
      return 'number';
    case 'and':
    case 'or':
      for (const operand of expression.operands) demand(operand, 'boolean', expression.kind.toUpperCase());
      return 'boolean';
    case 'compare': {
      const left = typeOf(expression.left);
      const right = typeOf(expression.right);
      if (!areComparable(left, right)) {
        throw invalidQuery(
          text,
          expression.at,
          `${expression.operator} compares values of one type, and these are ${said[left]} and ${said[right]}`,
        );
      }
      return 'boolean';
    }
    case 'arithmetic': {
      const wanted = expression.operator === '||' ? 'text' : 'number';
      demand(expression.left, wanted, expression.operator);
      demand(expression.right, wanted, expression.operator);
      return wanted;
    }
    case 'coalesce': {
      const [left, right] = [typeOf(expression.left), typeOf(expression.right)];
      return left === 'undefined' || left === right ? right : 'any';
    }
    case 'in':
      typeOf(expression.operand);
      return 'boolean';
    case 'call': {
      const known = dialect.functions.get(expression.name);
      const takes = known?.takes ?? [];
      for (const [at, arg] of expression.args.entries()) {
        const wanted = takes[Math.min(at, takes.length - 1)];
        if (wanted !== 'path') demand(arg, wanted, expression.name);
        else if (arg.kind !== 'path') throw invalidQuery(text, arg.at, `${expression.name} takes a name`);
      }
      return known?.gives ?? 'any';
    }
  }
}

function typeOfLiteral(value: Literal): StaticType {
  switch (typeof value) {
    case 'boolean':
      return 'boolean';
    case 'number':
      return 'number';
    case 'string':
      return 'text';
    default:
      return value === null ? 'null' : 'undefined';
  }
}

/** Whether something is null may be asked of everything. */
function areComparable(left: StaticType, right: StaticType): boolean {
  return left === 'null' || right === 'null' || fits(left, right) || fits(right, left);
}

/**
 * The status of a configuration is kept in small letters, and asked for as it is documented, `'Applied'` (query reference 1.4): what it is
 * compared with is made small.
 */
import { fieldOf } from './fields.ts';
import type { Collection, Expression, Literal } from './syntax.ts';

/** The same condition, where it compares a status. */
export function foldStatuses(condition: Expression, from: Collection): Expression {
  const fold = (part: Expression): Expression => foldStatuses(part, from);
  switch (condition.kind) {
    case 'and':
    case 'or':
      return { ...condition, operands: condition.operands.map(fold) };
    case 'not':
      return { ...condition, operand: fold(condition.operand) };
    case 'compare': {
      const { left, right } = condition;
      if (isStatus(left, from)) return { ...condition, right: small(right) };
      if (isStatus(right, from)) return { ...condition, left: small(left) };
      return condition;
    }
    case 'in':
      return isStatus(condition.operand, from) ? { ...condition, values: condition.values.map(smallValue) } : condition;
    default:
      return condition;
  }
}

function isStatus(part: Expression, from: Collection): boolean {
  return part.kind === 'path' && fieldOf(part.segments, from)?.field === 'configurations';
}

function small(part: Expression): Expression {
  return part.kind === 'literal' ? { ...part, value: smallValue(part.value) } : part;
}

const smallValue = (value: Literal): Literal => (typeof value === 'string' ? value.toLowerCase() : value);

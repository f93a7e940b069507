/**
 * Values of three-valued logic (query reference 1.3): what is not there is undefined, and so is what is made of it. Nothing is ever
 * converted: a number is not equal to its text.
 */
import { limits } from '../../base/limits.ts';
import type { ArithmeticOperator, CompareOperator } from './syntax.ts';

/** A JSON value, or undefined. Arrays and objects can be held and looked into; comparing them is undefined. */
export type Value = undefined | null | boolean | number | string | object;

/**
 * The operators `=`, `!=`, `<`, `<=`, `>`, `>=`. Two values of different types are not equal, and in no order; texts are ordered by
 * code points, as databases have them.
 */
export function compare(operator: CompareOperator, left: Value, right: Value): boolean | undefined {
  if (left === undefined || right === undefined) return undefined;
  if (isComposite(left) || isComposite(right)) return undefined;
  if (operator === '=') return left === right;
  if (operator === '!=') return left !== right;
  if (typeof left !== typeof right || left === null || right === null) return undefined;
  if (typeof left === 'string') return ordered(operator, compareTexts(left, right as string), 0);
  return ordered(operator, Number(left), Number(right));
}

function ordered(operator: CompareOperator, left: number, right: number): boolean {
  switch (operator) {
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    default:
      return left >= right;
  }
}

/** By code points: below, equal, above = negative, 0, positive. Units of UTF-16 have another order beyond U+D7FF. */
export function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a === b) continue;
    // Halves of pairs stand for what lies beyond all other units.
    const isPairA = a >= 0xd800 && a <= 0xdfff;
    const isPairB = b >= 0xd800 && b <= 0xdfff;
    return isPairA === isPairB ? a - b : isPairA ? 1 : -1;
  }
  return left.length - right.length;
}

export function calculate(operator: ArithmeticOperator, left: Value, right: Value): number | string | undefined {
  if (operator === '||') return concat(left, right);
  if (typeof left !== 'number' || typeof right !== 'number') return undefined;
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    default:
      return left % right;
  }
}

export function concat(left: Value, right: Value): string | undefined {
  if (typeof left !== 'string' || typeof right !== 'string') return undefined;
  return left.length + right.length > limits.queryTextCharsMax ? undefined : left + right;
}

export function negate(value: Value): number | undefined {
  return typeof value === 'number' ? -value : undefined;
}

/** Undefined for whatever is no truth value. */
export function not(value: Value): boolean | undefined {
  return typeof value === 'boolean' ? !value : undefined;
}

export function isComposite(value: Value): value is object {
  return typeof value === 'object' && value !== null;
}

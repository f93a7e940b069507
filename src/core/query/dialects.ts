/**
 * The two dialects of the condition language (query reference 1.1 and 5): conditions over twins, and conditions over events that
 * are routed. They share words, values and operators; they differ in what binds tighter, in functions, and in what a name means.
 */
import { type LanguageFunction, routingFunctions, twinFunctions } from './functions.ts';

/** How tight an operator binds: the higher, the tighter. */
export interface Precedence {
  readonly coalesce?: number;
  readonly or: number;
  readonly and: number;
  /** `NOT a = 1` is `NOT (a = 1)` where this is below `equal`, else `(NOT a) = 1`. */
  readonly not: number;
  readonly equal: number;
  readonly order: number;
  readonly sum: number;
  readonly product: number;
}

export interface Dialect {
  readonly name: 'twin' | 'routing';
  readonly precedence: Precedence;
  readonly functions: ReadonlyMap<string, LanguageFunction>;
  /** Whether `true`, `null` and the like are words in small letters only. */
  readonly hasSmallConstants: boolean;
  /** Whether a name goes on over dots: an application property may be called `a.b`, and has no members. */
  readonly hasDottedNames: boolean;
  /** What is known of a name's type before there is a value. `any`: it may be of each. */
  typeOfPath(segments: readonly (string | number)[]): 'text' | 'any';
}

export const twinDialect: Dialect = {
  name: 'twin',
  precedence: { or: 2, and: 3, not: 4, equal: 5, order: 6, sum: 7, product: 8 },
  functions: twinFunctions,
  hasSmallConstants: false,
  hasDottedNames: false,
  typeOfPath: () => 'any',
};

export const routingDialect: Dialect = {
  name: 'routing',
  precedence: { coalesce: 1, or: 2, and: 3, equal: 4, order: 5, sum: 6, product: 7, not: 8 },
  functions: routingFunctions,
  hasSmallConstants: true,
  hasDottedNames: true,
  // Properties are texts; a body and a twin hold whatever they hold.
  typeOfPath: ([first]) => (/^\$(?:body|twin)$/i.test(String(first)) ? 'any' : 'text'),
};

/** The syntax tree of conditions and queries. Plain data: it crosses threads, and stores translate it. */

/** What a literal can be; undefined is a word of the language. */
export type Literal = string | number | boolean | null | undefined;

export type CompareOperator = '=' | '!=' | '<' | '<=' | '>' | '>=';
export type ArithmeticOperator = '+' | '-' | '*' | '/' | '%' | '||';

/**
 * A name as it was written, one segment for each level: a text is a member's name, a number a place in an array.
 * `forced`: written in braces, which only routing conditions know.
 */
export type Segments = readonly (string | number)[];

/** `at` is where a part begins in the text, in characters from 0. */
export type Expression =
  | { readonly kind: 'literal'; readonly at: number; readonly value: Literal }
  | { readonly kind: 'path'; readonly at: number; readonly segments: Segments; readonly forced?: true }
  | { readonly kind: 'not' | 'negate'; readonly at: number; readonly operand: Expression }
  | { readonly kind: 'and' | 'or'; readonly at: number; readonly operands: readonly Expression[] }
  | Comparison
  | {
      readonly kind: 'arithmetic';
      readonly at: number;
      readonly operator: ArithmeticOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'coalesce'; readonly at: number; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: 'in';
      readonly at: number;
      readonly operand: Expression;
      readonly values: readonly Literal[];
      readonly isNegated: boolean;
    }
  | { readonly kind: 'call'; readonly at: number; readonly name: string; readonly args: readonly Expression[] };

export interface Comparison {
  readonly kind: 'compare';
  readonly at: number;
  readonly operator: CompareOperator;
  readonly left: Expression;
  readonly right: Expression;
}

export type Collection = 'devices' | 'devices.modules' | 'devices.jobs';

export type AggregateName = 'COUNT' | 'SUM' | 'AVG' | 'MIN' | 'MAX';

/** One entry of a SELECT list. */
export type SelectItem =
  | { readonly kind: 'value'; readonly at: number; readonly value: Expression; readonly alias?: string }
  | {
      readonly kind: 'aggregate';
      readonly at: number;
      readonly name: AggregateName;
      /** Absent = the rows themselves. */
      readonly value?: Expression;
      readonly alias?: string;
    };

export interface Query {
  /** Undefined = `*`. */
  readonly select: readonly SelectItem[] | undefined;
  /** At most so many rows in all. */
  readonly top?: number;
  readonly from: Collection;
  readonly where?: Expression;
  /** Empty = none. */
  readonly groupBy: readonly (Expression & { readonly kind: 'path' })[];
}

/** Whether its rows are groups, and so hang on all of the fleet. */
export function isGrouped({ select, groupBy }: Query): boolean {
  return groupBy.length > 0 || (select?.some(({ kind }) => kind === 'aggregate') ?? false);
}

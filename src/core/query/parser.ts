/** Conditions from text (query reference 1.1): one climb over the dialect's precedence. Everything is bounded before work is done with it. */
import { limits } from '../../base/limits.ts';
import type { Dialect } from './dialects.ts';
import { invalidQuery } from './faults.ts';
import { checkCondition } from './static-types.ts';
import type { ArithmeticOperator, CompareOperator, Expression, Literal, Segments } from './syntax.ts';
import { type Token, tokensOf } from './tokens.ts';

/**
 * A condition by itself: what stands behind WHERE, or what routes an event.
 * @throws HubError ArgumentInvalid, with the place
 */
export function parseCondition(text: string, dialect: Dialect): Expression {
  const parser = new Parser(text, dialect);
  const condition = parser.expression();
  parser.end();
  checkCondition(condition, text, dialect);
  return condition;
}

/** The words that a name may not be, where a value is wanted: it is written in `[[…]]` then. */
const reserved = {
  twin: /^(?:SELECT|TOP|FROM|WHERE|GROUP|ORDER|BY|AS|AND|OR|NOT|IN|NIN|ASC|DESC)$/i,
  routing: /^(?:AND|OR|NOT|IN|NIN)$/i,
};
const constants: Readonly<Record<string, Literal>> = { true: true, false: false, null: null, undefined };

type Operator =
  | { readonly kind: 'or' | 'and' | 'coalesce' | 'in' | 'nin'; readonly level: number }
  | { readonly kind: 'compare'; readonly level: number; readonly operator: CompareOperator }
  | { readonly kind: 'arithmetic'; readonly level: number; readonly operator: ArithmeticOperator };

export class Parser {
  readonly text: string;
  readonly dialect: Dialect;
  readonly #tokens: readonly Token[];
  #next = 0;
  #terms = 0;
  #depth = 0;

  /** @throws HubError ArgumentInvalid, as all that follows */
  constructor(text: string, dialect: Dialect) {
    this.text = text;
    this.dialect = dialect;
    this.#tokens = tokensOf(text);
  }

  get token(): Token {
    return this.#tokens[this.#next];
  }

  fail(what: string, at = this.token.at): never {
    throw invalidQuery(this.text, at, what);
  }

  take(): Token {
    const { token } = this;
    if (token.kind !== 'end') this.#next++;
    return token;
  }

  /** Whether that word comes next, in any case. */
  isWord(word: string): boolean {
    const { token } = this;
    return token.kind === 'name' && token.text.toUpperCase() === word;
  }

  takeWord(word: string): boolean {
    if (!this.isWord(word)) return false;
    this.#next++;
    return true;
  }

  isSymbol(symbol: string, ahead = 0): boolean {
    const token = this.#tokens[this.#next + ahead];
    return token?.kind === 'symbol' && token.text === symbol;
  }

  takeSymbol(symbol: string): boolean {
    if (!this.isSymbol(symbol)) return false;
    this.#next++;
    return true;
  }

  expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) this.fail(`${symbol} is expected here`);
  }

  end(): void {
    if (this.token.kind !== 'end') this.fail('an operator or the end is expected here');
  }

  /** @param level Operators that bind less tightly end it */
  expression(level = 0): Expression {
    if (++this.#depth > limits.queryNestingMax) {
      this.fail(`it nests deeper than ${limits.queryNestingMax} levels`);
    }
    let left = this.#operand();
    for (;;) {
      const operator = this.#operator();
      if (operator === undefined || operator.level < level) break;
      const { at } = this.take();
      left = this.#behind(left, operator, at);
    }
    this.#depth--;
    return left;
  }

  /** The right side of an operator, which binds to the left first. */
  #behind(left: Expression, operator: Operator, at: number): Expression {
    this.countPart(at);
    if (operator.kind === 'in' || operator.kind === 'nin') {
      return { kind: 'in', at, operand: left, values: this.#list(), isNegated: operator.kind === 'nin' };
    }
    const right = this.expression(operator.level + 1);
    switch (operator.kind) {
      case 'and':
      case 'or':
        // Flat: a long chain is no deep tree.
        return left.kind === operator.kind
          ? { ...left, operands: [...left.operands, right] }
          : { kind: operator.kind, at, operands: [left, right] };
      case 'coalesce':
        return { kind: 'coalesce', at, left, right };
      case 'compare':
        return { kind: 'compare', at, operator: operator.operator, left, right };
      case 'arithmetic':
        return { kind: 'arithmetic', at, operator: operator.operator, left, right };
    }
  }

  #operator(): Operator | undefined {
    const { token } = this;
    const { precedence } = this.dialect;
    if (token.kind === 'name') {
      switch (token.text.toUpperCase()) {
        case 'AND':
          return { kind: 'and', level: precedence.and };
        case 'OR':
          return { kind: 'or', level: precedence.or };
        case 'IN':
          return { kind: 'in', level: precedence.equal };
        case 'NIN':
          return { kind: 'nin', level: precedence.equal };
        default:
          return undefined;
      }
    }
    if (token.kind !== 'symbol') return undefined;
    switch (token.text) {
      case '=':
      case '!=':
        return { kind: 'compare', level: precedence.equal, operator: token.text };
      case '<':
      case '<=':
      case '>':
      case '>=':
        return { kind: 'compare', level: precedence.order, operator: token.text };
      case '+':
      case '-':
      case '||':
        return { kind: 'arithmetic', level: precedence.sum, operator: token.text };
      case '*':
      case '/':
      case '%':
        return { kind: 'arithmetic', level: precedence.product, operator: token.text };
      case '??':
        if (precedence.coalesce === undefined) this.fail('?? is an operator of routing conditions only');
        return { kind: 'coalesce', level: precedence.coalesce };
      default:
        return undefined;
    }
  }

  /** What stands between operators, with the signs before it. */
  #operand(): Expression {
    const { at } = this.token;
    this.countPart(at);
    if (this.takeWord('NOT')) return { kind: 'not', at, operand: this.expression(this.dialect.precedence.not) };
    if (this.takeSymbol('-')) {
      const operand = this.expression(this.dialect.precedence.product + 1);
      const isNumber = operand.kind === 'literal' && typeof operand.value === 'number';
      return isNumber ? { ...operand, at, value: -(operand.value as number) } : { kind: 'negate', at, operand };
    }
    if (this.takeSymbol('(')) {
      const inside = this.expression();
      this.expectSymbol(')');
      return inside;
    }
    const { token } = this;
    if (token.kind === 'text') return { kind: 'literal', at, value: (this.take() as { text: string }).text };
    if (token.kind === 'number') {
      this.take();
      return { kind: 'literal', at, value: token.value };
    }
    if (token.kind === 'name' && this.isSymbol('(', 1)) return this.#call();
    const constant = this.#constant();
    return constant === undefined ? this.path() : { kind: 'literal', at, value: constant.value };
  }

  #constant(): { readonly value: Literal } | undefined {
    const { token } = this;
    if (token.kind !== 'name') return undefined;
    const word = this.dialect.hasSmallConstants ? token.text : token.text.toLowerCase();
    if (!Object.hasOwn(constants, word) || this.isSymbol('.', 1)) return undefined;
    this.take();
    return { value: constants[word] };
  }

  #call(): Expression {
    const { at, text } = this.take();
    const name = text.toUpperCase();
    const known = this.dialect.functions.get(name);
    if (known === undefined) {
      const hint = spelledElsewhere[name]?.[this.dialect.name];
      const what = `${this.dialect.name} ${this.dialect.name === 'twin' ? 'queries have' : 'conditions have'} no function ${name}`;
      this.fail(hint === undefined ? what : `${what}; it is ${hint} here`, at);
    }
    this.take();
    const args: Expression[] = [];
    if (!this.isSymbol(')')) {
      do args.push(this.expression());
      while (this.takeSymbol(','));
    }
    this.expectSymbol(')');
    const { takes, required = takes.length, repeats } = known;
    if (args.length < required || (args.length > takes.length && !repeats)) {
      const wanted = required === takes.length ? String(required) : `${required} to ${takes.length}`;
      this.fail(`${name} takes ${repeats ? `${required} or more` : wanted} arguments, not ${args.length}`, at);
    }
    return { kind: 'call', at, name, args };
  }

  /** `[ literal, … ]`, for IN and NIN. */
  #list(): readonly Literal[] {
    if (!this.isSymbol('[')) this.fail('a list in brackets is expected here, as ["a", "b"]');
    this.take();
    const values: Literal[] = [];
    while (!this.isSymbol(']')) {
      if (values.length > 0) this.expectSymbol(',');
      values.push(this.#literal());
    }
    this.take();
    return values;
  }

  #literal(): Literal {
    const isNegative = this.takeSymbol('-');
    const { token } = this;
    if (token.kind === 'number') {
      this.take();
      return isNegative ? -token.value : token.value;
    }
    if (!isNegative && token.kind === 'text') {
      this.take();
      return token.text;
    }
    const constant = isNegative ? undefined : this.#constant();
    return constant === undefined ? this.fail('a list holds texts, numbers, true, false and null') : constant.value;
  }

  /** A name with its members. */
  path(): Expression & { readonly kind: 'path' } {
    const { token } = this;
    const { at } = token;
    if (this.dialect.name === 'routing' && this.takeSymbol('{')) {
      const segments = this.#segments();
      this.expectSymbol('}');
      return { kind: 'path', at, segments, forced: true };
    }
    if (token.kind === 'name' && reserved[this.dialect.name].test(token.text)) {
      this.fail(
        `${token.text.toUpperCase()} is a word of the language: a name that is spelled so is written as [[${token.text}]]`,
      );
    }
    return { kind: 'path', at, segments: this.#segments() };
  }

  #segments(): Segments {
    const segments: (string | number)[] = [this.#segment()];
    // An application property may have dots in its name, and has no members.
    const isProperty = this.dialect.hasDottedNames && !String(segments[0]).startsWith('$');
    for (;;) {
      if (this.takeSymbol('.')) segments.push(this.#segment());
      else if (!isProperty && this.isSymbol('[')) segments.push(this.#place());
      else break;
      if (segments.length > limits.queryPathMax) this.fail(`a name has at most ${limits.queryPathMax} levels`);
    }
    return isProperty ? [segments.join('.')] : segments;
  }

  #segment(): string {
    const { token } = this;
    if (token.kind === 'name' || token.kind === 'quoted') {
      this.take();
      return token.text;
    }
    return this.fail(
      token.kind === 'end' ? 'it ends too early: a value is expected' : 'a name or a value is expected here',
    );
  }

  #place(): number {
    this.expectSymbol('[');
    const { token } = this;
    if (token.kind !== 'number' || !/^\d+$/.test(token.text)) this.fail('a place in an array is a whole number from 0');
    this.take();
    this.expectSymbol(']');
    return Number(token.text);
  }

  /** Counts a part of the query that begins there: each is work of its own, for this parser and for every device. */
  countPart(at: number): void {
    if (++this.#terms > limits.queryTermsMax) this.fail(`it has more than ${limits.queryTermsMax} parts`, at);
  }
}

const spelledElsewhere: Readonly<Record<string, Partial<Record<Dialect['name'], string>>>> = {
  STARTS_WITH: { twin: 'STARTSWITH' },
  ENDS_WITH: { twin: 'ENDSWITH' },
  STARTSWITH: { routing: 'STARTS_WITH' },
  ENDSWITH: { routing: 'ENDS_WITH' },
};

/**
 * The names without which a condition cannot be true, so that it need not be asked about what lacks one of them: `level = 'alarm'` is
 * never true where there is no `level`.
 */
import type { Expression } from './syntax.ts';

const nothing: ReadonlySet<string> = new Set();

/** @param nameOf The name behind a path; undefined = one that may have a value although nothing is called so */
export function neededNames(condition: Expression, nameOf: NameOf): ReadonlySet<string> {
  switch (condition.kind) {
    case 'and':
      return union(condition.operands.map((part) => neededNames(part, nameOf)));
    case 'or':
      return common(condition.operands.map((part) => neededNames(part, nameOf)));
    case 'call':
      // The answer to a question about what is not there is no.
      return union(condition.args.map((part) => definingNames(part, nameOf)));
    default:
      return definingNames(condition, nameOf);
  }
}

type NameOf = (path: Expression & { readonly kind: 'path' }) => string | undefined;

/** Those without which it has no value. */
function definingNames(part: Expression, nameOf: NameOf): ReadonlySet<string> {
  const of = (inner: Expression): ReadonlySet<string> => definingNames(inner, nameOf);
  switch (part.kind) {
    case 'path': {
      const name = nameOf(part);
      return name === undefined ? nothing : new Set([name]);
    }
    case 'not':
    case 'negate':
    case 'in':
      return of(part.operand);
    case 'compare':
    case 'arithmetic':
      return union([of(part.left), of(part.right)]);
    case 'call':
      // Questions have an answer for what is not there; other functions are undefined (`functions.ts`).
      return part.name.startsWith('IS_') ? nothing : union(part.args.map(of));
    default:
      return nothing;
  }
}

const union = (sets: readonly ReadonlySet<string>[]): ReadonlySet<string> => new Set(sets.flatMap((set) => [...set]));

function common([first, ...others]: readonly ReadonlySet<string>[]): ReadonlySet<string> {
  return new Set([...first].filter((name) => others.every((set) => set.has(name))));
}

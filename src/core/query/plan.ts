/** A query as functions of a row: whether it passes, and what is answered of it. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { twinDialect } from './dialects.ts';
import { compileExpression, type ValueOf } from './evaluate.ts';
import { answerName, type FieldPath, fieldKey, fieldOf, type RowField } from './fields.ts';
import type { FleetRow } from './ports.ts';
import { type AggregateName, type Collection, type Expression, isGrouped, type Query } from './syntax.ts';
import type { Value } from './values.ts';

export interface Plan {
  passes(row: FleetRow): boolean;
  /** What is answered of a row, as JSON. Not of a query with groups. */
  text(row: FleetRow): string;
  /** Present where the answer is of groups. */
  readonly groups?: GroupPlan;
}

export interface GroupPlan {
  readonly keys: readonly ValueOf<FleetRow>[];
  readonly items: readonly GroupItem[];
}

/** `key`: the value of the group's key at that place. */
export type GroupItem = { readonly name: string } & (
  | { readonly kind: 'key'; readonly at: number }
  | { readonly kind: 'aggregate'; readonly aggregate: AggregateName; readonly of?: ValueOf<FleetRow> }
);

export function planOf(query: Query): Plan {
  const { select, from, where } = query;
  const condition = where && expressionOf(where, from);
  const passes = condition === undefined ? () => true : (row: FleetRow) => condition(row) === true;
  const groups = groupsOf(query);
  if (groups !== undefined) return { passes, text: () => '', groups };
  if (select === undefined) return { passes, text: (row) => row.text() };
  const items = namedItems(query).map(({ name, item }) => {
    return { name, value: item.kind === 'value' ? expressionOf(item.value, from) : () => undefined };
  });
  return {
    passes,
    text(row) {
      const entries = items.map(({ name, value }) => [name, value(row)] as const);
      if (entries.length > ITEMS_OF_ANY_LENGTH) checkLength(entries);
      return JSON.stringify(answerOf(entries));
    },
  };
}

/** So few of them are no longer than a twin is. */
const ITEMS_OF_ANY_LENGTH = 2;

/** Before the text is made: a query may ask for a whole twin in each of its items. @throws HubError ThrottlingException */
function checkLength(entries: readonly (readonly [name: string, value: Value])[]): void {
  let chars = 0;
  for (const [, value] of entries) {
    if (typeof value === 'object' && value !== null) chars += JSON.stringify(value).length;
    if (chars <= limits.queryRowCharsMax) continue;
    throw new HubError(
      'ThrottlingException',
      `A row of the query has more than ${limits.queryRowCharsMax} characters (queryRowCharsMax): select less of it.`,
    );
  }
}

/** What is not there, and what JSON cannot hold, is left out. */
export function answerOf(entries: readonly (readonly [name: string, value: Value])[]): object {
  // A name may be any text, `__proto__` as well.
  const answer = Object.create(null) as Record<string, Value>;
  for (const [name, value] of entries) {
    if (value !== undefined && (typeof value !== 'number' || Number.isFinite(value))) answer[name] = value;
  }
  return answer;
}

function expressionOf(expression: Expression, from: Collection): ValueOf<FleetRow> {
  return compileExpression<FleetRow>(expression, twinDialect.functions, ({ segments }) => {
    const path = fieldOf(segments, from);
    return path === undefined ? () => undefined : (row) => row.value(path);
  });
}

/** The items of a list with the names that they have in an answer: an expression without one is counted, from `$1`. */
function namedItems({ select = [], from }: Query) {
  let unnamed = 0;
  return select.map((item) => {
    const isPath = item.kind === 'value' && item.value.kind === 'path';
    const own = isPath ? answerName(item.value.segments, from) : undefined;
    return { item, name: item.alias ?? own ?? `$${++unnamed}` };
  });
}

function groupsOf(query: Query): GroupPlan | undefined {
  const { from, groupBy } = query;
  if (!isGrouped(query)) return undefined;
  const keys = groupBy.map(({ segments }) => fieldKey(segments, from));
  const items = namedItems(query).map(({ item, name }): GroupItem => {
    if (item.kind === 'aggregate') {
      return {
        name,
        kind: 'aggregate',
        aggregate: item.name,
        ...(item.value && { of: expressionOf(item.value, from) }),
      };
    }
    const { value } = item;
    const at = value.kind === 'path' ? keys.indexOf(fieldKey(value.segments, from)) : -1;
    return { name, kind: 'key', at };
  });
  return { keys: groupBy.map((group) => expressionOf(group, from)), items };
}

/** The paths that a query asks rows for; undefined = for the whole of them. */
export function pathsOf({ select, from, where, groupBy }: Query): readonly FieldPath[] | undefined {
  if (select === undefined) return undefined;
  const found = new Map<string, FieldPath>();
  const add = (expression: Expression): void => {
    for (const { segments } of namesIn(expression)) {
      const path = fieldOf(segments, from);
      if (path !== undefined) found.set(path.key, path);
    }
  };
  for (const item of select) if (item.value !== undefined) add(item.value);
  for (const group of groupBy) add(group);
  if (where !== undefined) add(where);
  return [...found.values()];
}

/** Whether an answer hangs on a field of the rows. @param paths As `pathsOf` */
export function asksFor(paths: readonly FieldPath[] | undefined, fields: ReadonlySet<RowField>): boolean {
  return paths?.some(({ field }) => fields.has(field)) ?? true;
}

type Name = Expression & { readonly kind: 'path' };

function namesIn(expression: Expression): readonly Name[] {
  switch (expression.kind) {
    case 'literal':
      return [];
    case 'path':
      return [expression];
    case 'not':
    case 'negate':
    case 'in':
      return namesIn(expression.operand);
    case 'and':
    case 'or':
      return expression.operands.flatMap(namesIn);
    case 'call':
      return expression.args.flatMap(namesIn);
    default:
      return [...namesIn(expression.left), ...namesIn(expression.right)];
  }
}

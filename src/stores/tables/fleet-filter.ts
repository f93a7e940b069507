/**
 * A condition as SQL that is true wherever the condition is true, and perhaps elsewhere: what it finds is looked at again by the
 * evaluator, so that only speed hangs on it. What has no such SQL is left out.
 */
import { type RawBuilder, sql } from 'kysely';
import { isIndexable } from '../../core/query/explain.ts';
import { type FieldPath, fieldOf } from '../../core/query/fields.ts';
import type { Collection, Comparison, Expression, Literal } from '../../core/query/syntax.ts';
import { documentPath } from './document-paths.ts';
import type { Engine } from './engine.ts';

type Sql = RawBuilder<boolean>;

/** `undefined` = nothing can be said. */
export function filterOf(condition: Expression | undefined, from: Collection, engine: Engine): Sql | undefined {
  return condition === undefined ? undefined : new Filter(from, engine).of(condition);
}

class Filter {
  readonly #from: Collection;
  readonly #engine: Engine;

  constructor(from: Collection, engine: Engine) {
    this.#from = from;
    this.#engine = engine;
  }

  of(condition: Expression): Sql | undefined {
    switch (condition.kind) {
      case 'and': {
        const parts = condition.operands.map((part) => this.of(part)).filter((part) => part !== undefined);
        return parts.length === 0 ? undefined : sql<boolean>`(${sql.join(parts, sql` and `)})`;
      }
      case 'or': {
        const parts = condition.operands.map((part) => this.of(part));
        const known = parts.filter((part) => part !== undefined);
        return known.length < parts.length ? undefined : sql<boolean>`(${sql.join(known, sql` or `)})`;
      }
      case 'path':
        return this.#equal(condition, [true]);
      case 'compare':
        return this.#compare(condition);
      case 'in':
        return condition.isNegated
          ? this.#isThere(condition.operand)
          : this.#equal(condition.operand, condition.values);
      case 'call':
        return this.#call(condition.name, condition.args);
      default:
        return undefined;
    }
  }

  #compare({ operator, left, right }: Comparison): Sql | undefined {
    if (right.kind !== 'literal') {
      if (left.kind === 'literal') return this.#compare({ ...turned(operator), left: right, right: left });
      return both(this.#isThere(left), this.#isThere(right));
    }
    if (operator === '=') return this.#equal(left, [right.value]);
    if (operator === '!=' || typeof right.value !== 'number') return this.#isThere(left);
    const number = this.#json(left);
    if (number === undefined) return undefined;
    // A number may lose its last digit on the way through the database.
    const slack = Math.abs(right.value) * 1e-12 + Number.MIN_VALUE;
    return number.that((value) =>
      operator === '<' || operator === '<='
        ? sql`${value} <= ${(right.value as number) + slack}`
        : sql`${value} >= ${(right.value as number) - slack}`,
    );
  }

  /** One of the values; undefined equals nothing. */
  #equal(operand: Expression, values: readonly Literal[]): Sql | undefined {
    const path = this.#pathOf(operand);
    if (path === undefined) return undefined;
    const column = columnOf(path);
    if (column !== undefined) {
      const bound = values.filter((value) => value !== undefined).map(column.bound);
      if (bound.some((value) => value === undefined)) return undefined;
      return oneOf(column.sql, bound as readonly (string | number)[]);
    }
    const json = this.#json(operand);
    const bound = values.filter((value) => value !== undefined).map(boundJson);
    if (json === undefined || bound.some((value) => value === undefined)) return undefined;
    return json.that((value) => oneOf(value, bound as readonly (string | number)[]));
  }

  #call(name: string, args: readonly Expression[]): Sql | undefined {
    const [first, second] = args;
    const text = second?.kind === 'literal' && typeof second.value === 'string' ? second.value : undefined;
    if (name === 'ARRAY_CONTAINS' && text !== undefined && this.#pathOf(first)?.key === '["parentScopes"]') {
      // The partial index is used where its condition stands in the text.
      return sql`(identity.parent_scopes <> '[]' and identity.parent_scopes = ${JSON.stringify([text])})`;
    }
    const part = text !== undefined && text !== '' && isPlain(text) ? text : undefined;
    const id = idColumnOf(this.#pathOf(first));
    if (id !== undefined && part !== undefined) {
      if (name === 'CONTAINS') return this.#at(id, part, '>= 1');
      if (name === 'STARTSWITH') return this.#at(id, part, '= 1');
      if (name === 'ENDSWITH') return sql`substr(${id}, length(${id}) - ${[...part].length - 1}) = ${part}`;
    }
    if (name === 'STARTSWITH' && text !== undefined && isPlain(text)) {
      return this.#json(first)?.that((value) => sql`substr(${value}, 1, ${[...text].length}) = ${text}`);
    }
    const demands = ['IS_DEFINED', 'STARTSWITH', 'ENDSWITH', 'CONTAINS', 'ARRAY_CONTAINS'];
    return demands.includes(name) ? this.#isThere(first) : undefined;
  }

  /** Where a text begins in an id. Both databases tell large letters from small ones here, as the language does. */
  #at(id: RawBuilder<unknown>, part: string, where: '= 1' | '>= 1'): Sql {
    const place = sql.raw(this.#engine.name === 'sqlite' ? 'instr' : 'strpos');
    return sql`${place}(${id}, ${part}) ${sql.raw(where)}`;
  }

  #isThere(operand: Expression): Sql | undefined {
    return this.#json(operand)?.that((value) => sql`${value} is not null`);
  }

  #pathOf(operand: Expression): FieldPath | undefined {
    return operand.kind === 'path' ? fieldOf(operand.segments, this.#from) : undefined;
  }

  /** A value of the document; that of a reported property may be newer in the tail. */
  #json(operand: Expression): { that(test: (value: RawBuilder<unknown>) => Sql): Sql } | undefined {
    if (!this.#engine.looksIntoJson) return undefined;
    const path = this.#pathOf(operand);
    const place = path && documentPath(path);
    // A fresh twin has no document, and yet tags and versions.
    if (path === undefined || place === undefined || path.below.length === 0 || path.below[1] === '$version') {
      return undefined;
    }
    const value = sql`(text.document ->> ${place})`;
    const hasTail = path.field === 'properties' && path.below[0] === 'reported';
    return { that: (test) => (hasTail ? sql<boolean>`(twin.tail <> '' or ${test(value)})` : test(value)) };
  }
}

const both = (a: Sql | undefined, b: Sql | undefined): Sql | undefined =>
  a !== undefined && b !== undefined ? sql<boolean>`(${a} and ${b})` : (a ?? b);

/** The comparison with its sides exchanged. */
function turned(operator: Comparison['operator']): Pick<Comparison, 'kind' | 'at' | 'operator'> {
  const other = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '=': '=', '!=': '!=' } as const;
  return { kind: 'compare', at: 0, operator: other[operator] };
}

function oneOf(value: RawBuilder<unknown>, bound: readonly (string | number)[]): Sql {
  if (bound.length === 0) return sql`1 = 0`;
  return bound.length === 1 ? sql`${value} = ${bound[0]}` : sql`${value} in (${sql.join(bound)})`;
}

interface Column {
  readonly sql: RawBuilder<unknown>;
  /** What a literal is in that column; undefined = it cannot be said. */
  readonly bound: (value: Literal) => string | number | undefined;
}

const boundText = (value: Literal): string | undefined =>
  typeof value === 'string' && isPlain(value) ? value : undefined;

/** Columns by the key of the path that they hold. */
const columns: ReadonlyMap<string, Column> = new Map<string, Column>([
  ['["deviceId"]', { sql: sql`identity.device_id`, bound: boundText }],
  ['["moduleId"]', { sql: sql`identity.module_id`, bound: (value) => boundText(value) || undefined }],
  ['["status"]', { sql: sql`identity.status`, bound: boundText }],
  ['["deviceScope"]', { sql: sql`identity.device_scope`, bound: boundText }],
  ['["modelId"]', { sql: sql`coalesce(twin.model_id, '')`, bound: boundText }],
  [
    '["capabilities","iotEdge"]',
    { sql: sql`identity.iot_edge`, bound: (value) => (typeof value === 'boolean' ? Number(value) : undefined) },
  ],
  [
    '["connectionState"]',
    {
      sql: sql`coalesce(presence.connected, 0)`,
      bound: (value) => (value === 'Connected' ? 1 : value === 'Disconnected' ? 0 : undefined),
    },
  ],
]);

const columnOf = ({ key }: FieldPath): Column | undefined => columns.get(key);

/** Ids stand in the index by which a fleet is read: what is asked of them alone is known before anything of a device is read. */
function idColumnOf(path: FieldPath | undefined): RawBuilder<unknown> | undefined {
  return path?.key === '["deviceId"]' || path?.key === '["moduleId"]' ? columnOf(path)?.sql : undefined;
}

/** As SQLite's `->>` gives it: true and false are 1 and 0. Whole numbers are the same everywhere. */
function boundJson(value: Literal): string | number | undefined {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  return boundText(value);
}

/** Whether databases hold the text as it is. */
const isPlain = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

/** What a condition must have in a place of the documents that is indexed; undefined = nothing that is known. */
export function indexedValue(
  condition: Expression,
  from: Collection,
  places: ReadonlySet<string>,
): { readonly place: string; readonly name: string; readonly value: string | number | boolean } | undefined {
  for (const part of condition.kind === 'and' ? condition.operands : [condition]) {
    if (part.kind !== 'compare' || part.operator !== '=') continue;
    const [name, literal] = part.left.kind === 'path' ? [part.left, part.right] : [part.right, part.left];
    const path = name.kind === 'path' ? fieldOf(name.segments, from) : undefined;
    const place = path && documentPath(path);
    if (path === undefined || place === undefined || literal.kind !== 'literal' || !places.has(place)) continue;
    if (isIndexable(literal.value)) return { place, name: [path.field, ...path.below].join('.'), value: literal.value };
  }
  return undefined;
}

/** Queries from text (query reference 1.1): what they select, of which collection, and what the parts of them may be. */
import { twinDialect } from './dialects.ts';
import { fieldKey } from './fields.ts';
import { Parser } from './parser.ts';
import { checkCondition, staticType } from './static-types.ts';
import { foldStatuses } from './statuses.ts';
import { type AggregateName, type Collection, isGrouped, type Query, type SelectItem } from './syntax.ts';

const aggregates: readonly string[] = ['COUNT', 'SUM', 'AVG', 'MIN', 'MAX'] satisfies readonly AggregateName[];
const collections: readonly string[] = ['devices', 'devices.modules', 'devices.jobs'] satisfies readonly Collection[];

/** @throws HubError ArgumentInvalid, with the place */
export function parseQuery(text: string): Query {
  const parser = new Parser(text, twinDialect);
  if (!parser.takeWord('SELECT')) parser.fail('a query begins with SELECT');
  const top = parser.takeWord('TOP') ? count(parser) : undefined;
  const select = parser.takeSymbol('*') ? undefined : list(parser, selectItem);
  if (!parser.takeWord('FROM')) parser.fail('FROM is expected here');
  const from = collection(parser);
  const where = parser.takeWord('WHERE') ? parser.expression() : undefined;
  if (where !== undefined) checkCondition(where, text, twinDialect);
  const groupBy = parser.takeWord('GROUP') ? groups(parser) : [];
  if (parser.isWord('ORDER')) parser.fail('queries have no ORDER BY: rows come in the order of their ids');
  parser.end();
  const query: Query = {
    select,
    ...(top !== undefined && { top }),
    from,
    ...(where && { where: foldStatuses(where, from) }),
    groupBy,
  };
  checkGroups(parser, query);
  return query;
}

/**
 * A condition that says of which devices something is to be done: `*`, the condition itself, or `FROM devices.modules WHERE …`, as a
 * query of their ids. @throws HubError ArgumentInvalid, with the place
 */
export function parseTarget(text: string): Query {
  const parser = new Parser(text, twinDialect);
  const isOf = parser.takeWord('FROM');
  const from = isOf ? collection(parser) : 'devices';
  if (from === 'devices.jobs')
    parser.fail('nothing can be done with records of jobs, only devices and devices.modules', 0);
  const hasCondition = isOf ? parser.takeWord('WHERE') : !parser.takeSymbol('*');
  const where = hasCondition ? parser.expression() : undefined;
  if (where !== undefined) checkCondition(where, text, twinDialect);
  parser.end();
  return { select: ids(from), from, ...(where && { where: foldStatuses(where, from) }), groupBy: [] };
}

const ids = (from: Collection): readonly SelectItem[] =>
  (from === 'devices' ? ['deviceId'] : ['deviceId', 'moduleId']).map((name) => {
    return { kind: 'value', at: 0, value: { kind: 'path', at: 0, segments: [name] } };
  });

function list<Item>(parser: Parser, item: (parser: Parser) => Item): readonly Item[] {
  const items = [item(parser)];
  while (parser.takeSymbol(',')) items.push(item(parser));
  return items;
}

function count(parser: Parser): number {
  const { token } = parser;
  if (token.kind !== 'number' || !/^\d{1,9}$/.test(token.text)) parser.fail('behind TOP stands a whole number');
  parser.take();
  return Number(token.text);
}

function selectItem(parser: Parser): SelectItem {
  const { at } = parser.token;
  const name = parser.token.text.toUpperCase();
  const isAggregate = parser.token.kind === 'name' && aggregates.includes(name) && parser.isSymbol('(', 1);
  if (!isAggregate) {
    const value = parser.expression();
    staticType(value, parser.text, twinDialect);
    return { kind: 'value', at, value, ...alias(parser) };
  }
  parser.countPart(at);
  parser.take();
  parser.take();
  const isOfRows = name === 'COUNT' && (parser.takeSymbol('*') || parser.isSymbol(')'));
  const value = isOfRows ? undefined : parser.path();
  parser.expectSymbol(')');
  return { kind: 'aggregate', at, name: name as AggregateName, ...(value && { value }), ...alias(parser) };
}

function alias(parser: Parser): { readonly alias?: string } {
  if (!parser.takeWord('AS')) return {};
  const { token } = parser;
  if (token.kind !== 'name' && token.kind !== 'quoted') parser.fail('behind AS stands a name');
  parser.take();
  return { alias: token.text };
}

function collection(parser: Parser): Collection {
  const { at } = parser.token;
  const name = parser.path().segments.join('.').toLowerCase();
  if (!collections.includes(name)) parser.fail(`there is no such collection, only ${collections.join(', ')}`, at);
  return name as Collection;
}

function groups(parser: Parser): Query['groupBy'] {
  if (!parser.takeWord('BY')) parser.fail('BY is expected here');
  return list(parser, (each) => {
    const name = each.path();
    each.countPart(name.at);
    return name;
  });
}

/** In a query with groups or aggregates, a name stands for the value of a group. */
function checkGroups(parser: Parser, query: Query): void {
  if (!isGrouped(query)) return;
  const { select, from, groupBy } = query;
  if (select === undefined) parser.fail('a query with GROUP BY names what it selects', groupBy[0]?.at);
  const keys = new Set(groupBy.map(({ segments }) => fieldKey(segments, from)));
  for (const item of select) {
    if (item.kind === 'aggregate') continue;
    if (item.value.kind === 'path' && keys.has(fieldKey(item.value.segments, from))) continue;
    parser.fail('beside an aggregate stands only what GROUP BY names', item.at);
  }
}

/** How a page of a query was found, and what would find it faster. */
import { HubError } from '../errors.ts';
import { type FieldPath, fieldOf } from './fields.ts';
import { runPage } from './page.ts';
import { pathsOf } from './plan.ts';
import type { Explanation, FleetReader, Pace, PageRequest, ReadWay } from './ports.ts';
import type { Collection, Expression, Literal, Segments } from './syntax.ts';

/**
 * Works on the page as `runPage` does, and counts. An aggregate that takes too long is explained as far as it came.
 * @throws HubError as `FleetStore.page`, but for that
 */
export async function explainPage(request: PageRequest, reader: FleetReader, pace: Pace): Promise<Explanation> {
  const begun = performance.now();
  const { query } = request;
  let looked = 0;
  let read = 0;
  let isLate = false;
  let isWhole = false;
  const counting: FleetReader = {
    async read(after) {
      const slice = await reader.read(after);
      looked += slice.looked ?? slice.rows.length;
      read += slice.rows.length;
      return slice;
    },
  };
  const watched: Pace = {
    async next() {
      const turn = await pace.next();
      isLate = turn === 'late';
      return turn;
    },
  };
  let found = 0;
  try {
    const page = await runPage(request, counting, watched);
    found = page.count;
    isWhole = page.next === undefined;
  } catch (error) {
    if (!isLate || !(error instanceof HubError)) throw error;
  }
  const way = reader.way ?? { kind: 'scan' };
  const wholeTwins = query.from !== 'devices.jobs' && pathsOf(query) === undefined;
  const ms = Math.round((performance.now() - begun) * 10) / 10;
  const rows = wholeTwins ? 'whole twins' : 'rows';
  const end = isWhole ? 'to the end' : isLate ? 'and its time was over' : 'and the page was full';
  return {
    summary: `${wayText(way)}: ${looked} looked at, ${read} ${rows} read, ${found} answered, ${end}, in ${ms} ms.`,
    ...{ way, looked, read, found, isWhole, wholeTwins, ms },
    database: (await reader.database?.()) ?? [],
    advice: way.kind === 'scan' ? adviceOn(query.where, query.from) : [],
  };
}

function wayText(way: ReadWay): string {
  switch (way.kind) {
    case 'names':
      return `By name (${way.count})`;
    case 'prefix':
      return `By how the ids begin (${way.prefix})`;
    case 'index':
      return `By the index on ${way.name}`;
    case 'scan':
      return 'One after the other';
  }
}

const MEMBER = /^[\p{L}\p{N}_-]+$/u;

/** A place as the setting `queryIndexes` names it; undefined = it cannot be indexed. */
export function indexName({ field, below }: FieldPath): string | undefined {
  const own: Segments = [field, ...below];
  const isFit =
    (field === 'tags' && below.length > 0) || (field === 'properties' && below[0] === 'desired' && below.length > 1);
  return isFit && own.every((name) => typeof name === 'string' && MEMBER.test(name)) ? own.join('.') : undefined;
}

/** Whether an index may be asked for a value: what databases hold as it is, and no null, which has no entry. */
export function isIndexable(value: Literal): value is string | number | boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  return typeof value === 'boolean' || (typeof value === 'string' && value.isWellFormed() && !value.includes('\0'));
}

/** In words for an operator: each is a sentence. */
function adviceOn(where: Expression | undefined, from: Collection): readonly string[] {
  if (where === undefined) return ['The query has no condition: every row is looked at.'];
  if (from !== 'devices') return [`Indexes serve FROM devices only; of ${from} a condition on deviceId is a look-up.`];
  const parts = where.kind === 'and' ? where.operands : [where];
  const paths = parts.map((part) => equalPath(part, from)).filter((path) => path !== undefined);
  const names = [...new Set(paths.map(indexName).filter((name) => name !== undefined))];
  if (names.length > 0) {
    return names.map((name) => `--query-indexes ${name} (setting queryIndexes) would make this condition a look-up.`);
  }
  if (paths.some(({ field, below }) => field === 'properties' && below[0] === 'reported')) {
    return ['Reported properties cannot be indexed: keep what you search by in tags.'];
  }
  const text =
    'Only a comparison by = of a value in tags or properties.desired with a text, a whole number, true or false, ' +
    'alone or in an AND, can use an index';
  return [`${text}; a condition on deviceId (=, IN, STARTSWITH) needs none.`];
}

function equalPath(part: Expression, from: Collection): FieldPath | undefined {
  if (part.kind !== 'compare' || part.operator !== '=') return undefined;
  const { left, right } = part;
  const [name, value] = left.kind === 'path' ? [left, right] : [right, left];
  const canBeIndexed = name.kind === 'path' && value.kind === 'literal' && isIndexable(value.value);
  return canBeIndexed ? fieldOf(name.segments, from) : undefined;
}

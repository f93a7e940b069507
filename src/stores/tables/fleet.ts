/**
 * The fleet as queries read it from tables: a bounded piece of the identities at a time, in the order of their keys, with what the query
 * asks for of each and no more. No secret of an identity is read.
 */
import { type RawBuilder, sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import { fieldOf } from '../../core/query/fields.ts';
import { pathsOf } from '../../core/query/plan.ts';
import type { FleetPlace, FleetReader, FleetRow, FleetSlice, PageRequest } from '../../core/query/ports.ts';
import { type Collection, type Expression, isGrouped } from '../../core/query/syntax.ts';
import { engineOf, padded } from './engine.ts';
import { filterOf, indexedValue } from './fleet-filter.ts';
import { explained, rowReader } from './fleet-rows.ts';
import { devicesByValue, indexedExpression } from './indexed-values.ts';
import type { Transaction } from './schema.ts';

export interface ReaderOptions {
  /** UTC milliseconds: commands whose time is over do not count. */
  readonly now: number;
  /** Places in documents (`documentPath`) whose values are indexed; none of reported properties. */
  readonly indexes?: ReadonlySet<string>;
  /** The rows that are looked at are counted: that costs as much again where the fleet ends. */
  readonly counts?: true;
}

export function fleetReader(
  tables: Transaction,
  { query, countMax }: Pick<PageRequest, 'query' | 'countMax'>,
  { now, indexes = new Set(), counts }: ReaderOptions,
): FleetReader {
  const { from, where } = query;
  // One more than the page takes: whether there is another row is said with the page.
  const sliceRows = Math.min(limits.querySliceRows, isGrouped(query) ? limits.querySliceRows : countMax + 1);
  const engine = engineOf(tables);
  const reader = rowReader(tables, { paths: pathsOf(query), now });
  const filter = filterOf(where, from, engine) ?? sql<boolean>`1 = 1`;
  const named = where && namedIn(where, from);
  const indexed = where && from === 'devices' ? indexedValue(where, from, indexes) : undefined;
  const isOfModules = from === 'devices.modules';
  // A condition passes over most of what a piece looks at, and modules lie among devices.
  const scannedRows = where === undefined && !isOfModules ? sliceRows : limits.querySliceRows;
  const kind = isOfModules ? sql<boolean>`identity.module_id <> ''` : sql<boolean>`identity.module_id = ''`;

  const condition = (bounds: RawBuilder<boolean>): RawBuilder<unknown> =>
    sql`${kind} and ${bounds} and ${filter} order by identity.device_id, identity.module_id`;
  const rowsOf = (bounds: RawBuilder<boolean>): Promise<readonly FleetRow[]> => reader.read(condition(bounds));
  /** Where the piece behind `after` ends; undefined = with the last identity. */
  const endOf = async (after: FleetPlace | undefined, prefix: string | undefined): Promise<FleetPlace | undefined> => {
    // Of modules all identities count, because all of them are passed on the way to the next module.
    const { rows } = await sql<{ readonly device_id: string; readonly module_id: string }>`
      select identity.device_id, identity.module_id from identities as identity
      where ${isOfModules ? sql<boolean>`1 = 1` : kind} and ${behind(after, isOfModules)} and ${within(prefix)}
      order by identity.device_id, identity.module_id limit 1 offset ${scannedRows - 1}`.execute(tables);
    return rows[0] && { deviceId: rows[0].device_id, moduleId: rows[0].module_id };
  };

  /** The condition is that of the index alone: what the index finds needs no other look. */
  const isIndexAlone = indexed !== undefined && where?.kind !== 'and' && engine.name === 'sqlite';
  const hasValue = ({ place, value }: Indexed, after: FleetPlace | undefined): RawBuilder<boolean> =>
    sql`${sql.raw(indexedExpression('sqlite', 'text.document', place))} = ${typeof value === 'boolean' ? Number(value) : value}
      and text.device_id > ${after?.deviceId ?? ''} and text.module_id = '' order by text.device_id limit ${sliceRows}`;
  /** The next devices that have the value of `indexed`, in order. */
  const idsBehind = async (after: FleetPlace | undefined, of: Indexed): Promise<readonly string[]> => {
    const bounds = { after: after?.deviceId ?? '', countMax: sliceRows };
    const { rows } = await devicesByValue(engine.name, of, bounds).execute(tables);
    return rows.map((row) => row.device_id);
  };
  const prefix = named?.prefix;
  const piece = (after: FleetPlace | undefined, end: FleetPlace | undefined): RawBuilder<boolean> =>
    sql`${behind(after, isOfModules)} and ${within(prefix)} and ${end === undefined ? sql`1 = 1` : upTo(end, isOfModules)}`;
  const countOf = async (bounds: RawBuilder<boolean>): Promise<number> => {
    const { rows } = await sql<{ readonly n: number }>`
      select count(*) as n from identities as identity where ${kind} and ${bounds}`.execute(tables);
    return Number(rows[0].n);
  };

  return {
    way:
      named?.ids !== undefined
        ? { kind: 'names', count: named.ids.length }
        : indexed !== undefined
          ? { kind: 'index', name: indexed.name }
          : prefix !== undefined
            ? { kind: 'prefix', prefix }
            : { kind: 'scan' },
    database() {
      if (indexed !== undefined && named?.ids === undefined) {
        if (engine.name === 'sqlite') return reader.explainIndexed(hasValue(indexed, undefined));
        return explained(tables, devicesByValue(engine.name, indexed, { after: '', countMax: sliceRows }));
      }
      const bounds =
        named?.ids === undefined
          ? piece(undefined, undefined)
          : sql<boolean>`identity.device_id in (${named.ids[0] ?? ''})`;
      return reader.explain(condition(bounds));
    },
    async read(after): Promise<FleetSlice> {
      if (named?.ids !== undefined) {
        const { ids } = named;
        const first = after === undefined ? 0 : ids.findIndex((id) => id >= after.deviceId);
        const some = first === -1 ? [] : ids.slice(first, first + ID_SLICE);
        if (some.length === 0) return { rows: [] };
        const bounds = sql<boolean>`identity.device_id in (${sql.join(padded(some))}) and ${behind(after, isOfModules)}`;
        const last = some[some.length - 1];
        const isEnd = last === ids[ids.length - 1];
        return { rows: await rowsOf(bounds), ...(!isEnd && { end: { deviceId: last, moduleId: LAST } }) };
      }
      if (isIndexAlone) {
        const rows = await reader.readIndexed(hasValue(indexed, after));
        return rows.length < sliceRows ? { rows } : { rows, end: rows[rows.length - 1].place };
      }
      if (indexed !== undefined) {
        const ids = await idsBehind(after, indexed);
        if (ids.length === 0) return { rows: [] };
        const rows = await rowsOf(sql<boolean>`identity.device_id in (${sql.join(padded(ids))})`);
        const looked = ids.length;
        const isEnd = looked < sliceRows;
        return isEnd ? { rows, looked } : { rows, looked, end: { deviceId: ids[looked - 1], moduleId: LAST } };
      }
      const end = await endOf(after, prefix);
      const bounds = piece(after, end);
      const rows = await rowsOf(bounds);
      const looked = counts && (await countOf(bounds));
      return { rows, ...(end !== undefined && { end }), ...(looked !== undefined && { looked }) };
    },
  };
}

type Indexed = NonNullable<ReturnType<typeof indexedValue>>;

/** Devices that are named one by one, in one piece. */
const ID_SLICE = 32;
/** Behind all ids, which are visible ASCII. */
const LAST = '\x7f';

const behind = (place: FleetPlace | undefined, isOfModules: boolean): RawBuilder<boolean> => {
  if (place === undefined) return sql`1 = 1`;
  const { deviceId, moduleId } = place;
  return isOfModules
    ? sql`(identity.device_id, identity.module_id) > (${deviceId}, ${moduleId})`
    : sql`identity.device_id > ${deviceId}`;
};
const upTo = ({ deviceId, moduleId }: FleetPlace, isOfModules: boolean): RawBuilder<boolean> =>
  isOfModules
    ? sql`(identity.device_id, identity.module_id) <= (${deviceId}, ${moduleId})`
    : sql`identity.device_id <= ${deviceId}`;
const within = (prefix: string | undefined): RawBuilder<boolean> =>
  prefix === undefined || prefix === ''
    ? sql`1 = 1`
    : sql`(identity.device_id >= ${prefix} and identity.device_id < ${prefix + LAST})`;

/** Either the ids themselves, in order, or how they begin. */
interface Named {
  readonly ids?: readonly string[];
  readonly prefix?: string;
}

const isId = (value: unknown): value is string => typeof value === 'string' && /^[\x21-\x7e]+$/.test(value);

/** Which devices a condition can be true of, as far as it names them in a part that must be true. */
function namedIn(condition: Expression, from: Collection): Named | undefined {
  const parts = condition.kind === 'and' ? condition.operands : [condition];
  const isDeviceId = (part: Expression): boolean =>
    part.kind === 'path' && fieldOf(part.segments, from)?.key === '["deviceId"]';
  for (const part of parts) {
    if (part.kind === 'compare' && part.operator === '=') {
      const [name, value] = isDeviceId(part.left) ? [part.left, part.right] : [part.right, part.left];
      if (isDeviceId(name) && value.kind === 'literal') return listOf([value.value]);
    }
    if (part.kind === 'in' && !part.isNegated && isDeviceId(part.operand)) return listOf(part.values);
  }
  for (const part of parts) {
    if (part.kind !== 'call' || part.name !== 'STARTSWITH' || !isDeviceId(part.args[0])) continue;
    const [, prefix] = part.args;
    if (prefix.kind === 'literal' && isId(prefix.value)) return { prefix: prefix.value };
  }
  return undefined;
}

const listOf = (values: readonly unknown[]): Named => ({ ids: [...new Set(values.filter(isId))].sort() });

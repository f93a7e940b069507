/**
 * The fleet as queries read it from tables: a bounded piece of the identities at a time, in the order of their keys, with what the query
 * asks for of each and no more. No secret of an identity is read.
 */
import { type RawBuilder, sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import type { AuthenticationType, IdentityStatus } from '../../core/identity/types.ts';
import { type FieldPath, fieldOf, presenceFields, type RowField } from '../../core/query/fields.ts';
import { asksFor, pathsOf } from '../../core/query/plan.ts';
import type { FleetPlace, FleetReader, FleetRow, FleetSlice, PageRequest } from '../../core/query/ports.ts';
import { type Collection, type Expression, isGrouped } from '../../core/query/syntax.ts';
import type { Value } from '../../core/query/values.ts';
import { TwinRow } from '../../core/twins/document.ts';
import { twinFrom } from '../../core/twins/kept.ts';
import { freshTwin } from '../../core/twins/rules.ts';
import { documentPath, jsonValue } from './document-paths.ts';
import { engineOf, padded } from './engine.ts';
import { filterOf, indexedValue } from './fleet-filter.ts';
import type { Transaction } from './schema.ts';

interface Row {
  readonly device_id: string;
  readonly module_id: string;
  readonly etag: string;
  readonly status: string;
  readonly status_reason: string | null;
  readonly status_updated_time: number;
  readonly auth_type: string;
  readonly primary_thumbprint: string | null;
  readonly secondary_thumbprint: string | null;
  readonly iot_edge: number;
  readonly device_scope: string | null;
  readonly parent_scopes: string;
  readonly changes?: number | null;
  readonly reported_version?: number | null;
  readonly model_id?: string | null;
  /** Null also where the values below were read instead. */
  readonly document?: string | null;
  readonly tail?: string | null;
  readonly has_document?: number;
  readonly connected?: number | null;
  readonly state_time?: number | null;
  readonly activity_time?: number | null;
  readonly waiting?: number | null;
  /** JSON of single values, `value0`, `value1` … */
  readonly [value: `value${number}`]: string | null | undefined;
}

export interface ReaderOptions {
  /** UTC milliseconds: commands whose time is over do not count. */
  readonly now: number;
  /** Places in documents (`documentPath`) whose values are indexed; none of reported properties. */
  readonly indexes?: ReadonlySet<string>;
}

export function fleetReader(
  tables: Transaction,
  { query, countMax }: Pick<PageRequest, 'query' | 'countMax'>,
  { now, indexes = new Set() }: ReaderOptions,
): FleetReader {
  const { from, where } = query;
  // One more than the page takes: whether there is another row is said with the page.
  const sliceRows = Math.min(limits.querySliceRows, isGrouped(query) ? limits.querySliceRows : countMax + 1);
  const engine = engineOf(tables);
  const paths = pathsOf(query);
  const values = engine.looksIntoJson ? valuesOf(paths) : undefined;
  const selection = selectionOf(paths, values, now);
  const filter = filterOf(where, from, engine) ?? sql<boolean>`1 = 1`;
  const named = where && namedIn(where, from);
  const indexed = where && from === 'devices' ? indexedValue(where, from, indexes) : undefined;
  const isOfModules = from === 'devices.modules';
  // A condition passes over most of what a piece looks at, and modules lie among devices.
  const scannedRows = where === undefined && !isOfModules ? sliceRows : limits.querySliceRows;
  const kind = isOfModules ? sql<boolean>`identity.module_id <> ''` : sql<boolean>`identity.module_id = ''`;

  const rowsOf = async (bounds: RawBuilder<boolean>): Promise<readonly FleetRow[]> => {
    const { rows } = await sql<Row>`${selection} where ${kind} and ${bounds} and ${filter}
      order by identity.device_id, identity.module_id`.execute(tables);
    return rows.map((row) => rowOf(row, values));
  };
  /** Where the piece behind `after` ends; undefined = with the last identity. */
  const endOf = async (after: FleetPlace | undefined, prefix: string | undefined): Promise<FleetPlace | undefined> => {
    // Of modules all identities count, because all of them are passed on the way to the next module.
    const { rows } = await sql<Pick<Row, 'device_id' | 'module_id'>>`
      select identity.device_id, identity.module_id from identities as identity
      where ${isOfModules ? sql<boolean>`1 = 1` : kind} and ${behind(after, isOfModules)} and ${within(prefix)}
      order by identity.device_id, identity.module_id limit 1 offset ${scannedRows - 1}`.execute(tables);
    return rows[0] && { deviceId: rows[0].device_id, moduleId: rows[0].module_id };
  };

  /** The next devices that have the value of `indexed`, in order. */
  const idsBehind = async (after: FleetPlace | undefined, { place, value }: Indexed): Promise<readonly string[]> => {
    const { rows } = await sql<Pick<Row, 'device_id'>>`select text.device_id from twin_documents as text
      where ${sql.raw(jsonValue('text.document', place))} = ${value} and text.device_id > ${after?.deviceId ?? ''}
        and text.module_id = '' order by text.device_id limit ${sliceRows}`.execute(tables);
    return rows.map((row) => row.device_id);
  };

  return {
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
      if (indexed !== undefined) {
        const ids = await idsBehind(after, indexed);
        if (ids.length === 0) return { rows: [] };
        const rows = await rowsOf(sql<boolean>`identity.device_id in (${sql.join(padded(ids))})`);
        const isEnd = ids.length < sliceRows;
        return isEnd ? { rows } : { rows, end: { deviceId: ids[ids.length - 1], moduleId: LAST } };
      }
      const prefix = named?.prefix;
      const end = await endOf(after, prefix);
      const rows = await rowsOf(
        sql`${behind(after, isOfModules)} and ${within(prefix)} and ${end === undefined ? sql`1 = 1` : upTo(end, isOfModules)}`,
      );
      return end === undefined ? { rows } : { rows, end };
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

/** Values that are read by themselves, in place of whole documents. */
type Values = readonly { readonly key: string; readonly place: string }[];

const VALUES_MAX = 8;

/** Undefined = the documents are needed as a whole. */
function valuesOf(paths: readonly FieldPath[] | undefined): Values | undefined {
  if (paths === undefined) return undefined;
  const ofDocuments = paths.filter(isOfDocument);
  if (ofDocuments.length > VALUES_MAX) return undefined;
  const values = ofDocuments.map((path) => ({ key: path.key, place: documentPath(path) }));
  return values.every((value): value is Values[number] => value.place !== undefined) ? values : undefined;
}

const isOfDocument = ({ field }: FieldPath): boolean => field === 'tags' || field === 'properties';

const queueFields: ReadonlySet<RowField> = new Set(['cloudToDeviceMessageCount']);
/** What stands in the identity of a row, its ids apart. */
const identityFields: ReadonlySet<RowField> = new Set([
  ...presenceFields,
  ...queueFields,
  'deviceEtag',
  'status',
  'statusReason',
  'statusUpdateTime',
  'authenticationType',
  'x509Thumbprint',
  'capabilities',
  'deviceScope',
  'parentScopes',
]);
const twinFields: ReadonlySet<RowField> = new Set(['etag', 'version', 'modelId', 'tags', 'properties']);

/** Everything up to FROM and its joins: only what is asked for is read. */
function selectionOf(
  paths: readonly FieldPath[] | undefined,
  values: Values | undefined,
  now: number,
): RawBuilder<Row> {
  const columns: RawBuilder<unknown>[] = [sql`identity.device_id, identity.module_id`];
  // Of a million rows each column costs.
  if (asksFor(paths, identityFields)) {
    columns.push(sql`identity.etag, identity.status, identity.status_reason,
      identity.status_updated_time, identity.auth_type, identity.primary_thumbprint, identity.secondary_thumbprint,
      identity.iot_edge, identity.device_scope, identity.parent_scopes`);
  }
  const joins: RawBuilder<unknown>[] = [];
  const join = (table: string, alias: string, on: RawBuilder<unknown>): void => {
    joins.push(sql`left join ${sql.table(table)} as ${sql.id(alias)} on ${sql.id(alias)}.device_id = identity.device_id
      and ${sql.id(alias)}.module_id = identity.module_id ${on}`);
  };
  const ofGeneration = (alias: string) => sql`and ${sql.id(alias)}.generation_id = identity.generation_id`;
  if (asksFor(paths, twinFields)) {
    columns.push(sql`twin.changes, twin.reported_version, twin.model_id`);
    join('twins', 'twin', ofGeneration('twin'));
  }
  if (paths?.some(isOfDocument) ?? true) {
    join('twin_documents', 'text', sql`and twin.device_id is not null`);
    columns.push(sql`twin.tail`);
    if (values === undefined) columns.push(sql`text.document`);
    else {
      columns.push(sql`case when twin.tail <> '' then text.document end as document`);
      columns.push(sql`case when text.document is null then 0 else 1 end as has_document`);
      for (const [at, { place }] of values.entries()) {
        columns.push(sql`case when twin.tail = '' then text.document -> ${place} end as ${sql.id(`value${at}`)}`);
      }
    }
  }
  if (asksFor(paths, presenceFields)) {
    columns.push(sql`presence.connected, presence.state_time, presence.activity_time`);
    join('presence_states', 'presence', ofGeneration('presence'));
  }
  if (asksFor(paths, queueFields)) {
    columns.push(sql`queue.waiting + queue.locked - case when queue.next_due <= ${now} then (
      select count(*) from commands as command where command.device_id = identity.device_id
        and command.module_id = identity.module_id and command.state <= 1 and command.due <= ${now}
        and command.expires_at <= ${now}
    ) else 0 end as waiting`);
    join('command_queues', 'queue', sql``);
  }
  return sql<Row>`select ${sql.join(columns)} from identities as identity ${sql.join(joins, sql` `)}`;
}

function rowOf(row: Row, values: Values | undefined): FleetRow {
  const { tail } = row;
  const isWhole = values === undefined || (tail ?? '') !== '' || row.has_document !== 1;
  return new TwinRow({
    place: { deviceId: row.device_id, moduleId: row.module_id },
    identity: () => ({
      deviceId: row.device_id,
      ...(row.module_id !== '' && { moduleId: row.module_id }),
      etag: row.etag,
      status: row.status as IdentityStatus,
      statusReason: row.status_reason,
      statusUpdatedTime: Number(row.status_updated_time),
      authentication: {
        type: row.auth_type as AuthenticationType,
        x509Thumbprint: { primaryThumbprint: row.primary_thumbprint, secondaryThumbprint: row.secondary_thumbprint },
      },
      capabilities: { iotEdge: row.iot_edge === 1 },
      deviceScope: row.device_scope,
      parentScopes: JSON.parse(row.parent_scopes) as readonly string[],
      connected: row.connected === 1,
      connectionStateUpdatedTime: Number(row.state_time ?? 0),
      lastActivityTime: Number(row.activity_time ?? 0),
      cloudToDeviceMessageCount: Number(row.waiting ?? 0),
    }),
    modelId: row.model_id ?? '',
    versions: {
      changes: Number(row.changes ?? fresh.changes),
      reported: Number(row.reported_version ?? fresh.reported.version),
    },
    twin: () => twinFrom(row.document ?? null, tail ?? ''),
    ...(!isWhole && { known: knownOf(row, values) }),
  });
}

const fresh = freshTwin();

/** Values by their paths, parsed when they are asked for. */
function knownOf(row: Row, values: Values): (key: string) => Value {
  return (key) => {
    const at = values.findIndex((value) => value.key === key);
    const text = row[`value${at}`];
    return text === null || text === undefined ? undefined : (JSON.parse(text) as Value);
  };
}

/** A row of the fleet as tables give it: only what a query asks for is read, and no secret of an identity. */
import { type RawBuilder, sql } from 'kysely';
import type { ConfigurationStates } from '../../core/configurations/types.ts';
import { type FieldPath, presenceFields, type RowField } from '../../core/query/fields.ts';
import { asksFor } from '../../core/query/plan.ts';
import type { FleetPlace, FleetRow } from '../../core/query/ports.ts';
import type { Value } from '../../core/query/values.ts';
import { TwinRow } from '../../core/twins/document.ts';
import { twinFrom } from '../../core/twins/kept.ts';
import { freshTwin } from '../../core/twins/rules.ts';
import { documentPath } from './document-paths.ts';
import { engineOf, padded } from './engine.ts';
import { rowIdentity } from './row-identity.ts';
import type { Transaction } from './schema.ts';

/** What is asked of each row. */
export interface Asked {
  /** As `pathsOf`. */
  readonly paths: readonly FieldPath[] | undefined;
  /** UTC milliseconds: commands whose time is over do not count. */
  readonly now: number;
}

/** Reads rows of identities (`identity`), whose conditions the caller writes. */
export interface RowReader {
  read(condition: RawBuilder<unknown>): Promise<readonly FleetRow[]>;
  /** Rows whose document has a value in an indexed place, in order. @param condition Of `text`, the document */
  readIndexed(condition: RawBuilder<unknown>): Promise<readonly FleetRow[]>;
  /** How the database reads what `read` does, in its own words. */
  explain(condition: RawBuilder<unknown>): Promise<readonly string[]>;
  explainIndexed(condition: RawBuilder<unknown>): Promise<readonly string[]>;
}

export function rowReader(tables: Transaction, { paths, now }: Asked): RowReader {
  const { looksIntoJson } = engineOf(tables);
  const values = looksIntoJson ? valuesOf(paths) : undefined;
  const [byIdentity, byDocument] = [false, true].map((isIndexed) => selectionOf(paths, values, now, isIndexed));
  const read = async (selection: RawBuilder<Row>, condition: RawBuilder<unknown>): Promise<readonly FleetRow[]> => {
    const { rows } = await sql<Row>`${selection} where ${condition}`.execute(tables);
    return rows.map((row) => rowOf(row, values));
  };
  const explain = (selection: RawBuilder<Row>, condition: RawBuilder<unknown>): Promise<readonly string[]> =>
    explained(tables, sql`${selection} where ${condition}`);
  return {
    read: (condition) => read(byIdentity, condition),
    readIndexed: (condition) => read(byDocument, condition),
    explain: (condition) => explain(byIdentity, condition),
    explainIndexed: (condition) => explain(byDocument, condition),
  };
}

/** How the database carries a statement out, in its own words. */
export async function explained(tables: Transaction, statement: RawBuilder<unknown>): Promise<readonly string[]> {
  const how = sql.raw(engineOf(tables).name === 'sqlite' ? 'explain query plan' : 'explain');
  const { rows } = await sql<Record<string, unknown>>`${how} ${statement}`.execute(tables);
  return rows.map((row) => String(row.detail ?? row['QUERY PLAN']));
}

/** Identities that are read by one statement. */
const PLACES_PER_STATEMENT = 64;

/** Rows by name, as far as they are there; in no order. */
export async function rowsAt(
  tables: Transaction,
  places: readonly FleetPlace[],
  asked: Asked,
): Promise<readonly FleetRow[]> {
  const reader = rowReader(tables, asked);
  const devices = places.filter(({ moduleId }) => moduleId === '').map(({ deviceId }) => deviceId);
  const modules = places.filter(({ moduleId }) => moduleId !== '');
  const rows: FleetRow[] = [];
  for (let at = 0; at < devices.length; at += PLACES_PER_STATEMENT) {
    const some = padded(devices.slice(at, at + PLACES_PER_STATEMENT));
    rows.push(...(await reader.read(sql`identity.module_id = '' and identity.device_id in (${sql.join(some)})`)));
  }
  for (const { deviceId, moduleId } of modules) {
    rows.push(...(await reader.read(sql`identity.device_id = ${deviceId} and identity.module_id = ${moduleId}`)));
  }
  return rows;
}

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
  readonly states?: string | null;
  /** JSON of single values, `value0`, `value1` … */
  readonly [value: `value${number}`]: string | null | undefined;
}

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
const configurationFields: ReadonlySet<RowField> = new Set(['configurations']);
/** What stands beside the document. */
const versionFields: ReadonlySet<RowField> = new Set(['etag', 'version', 'modelId']);
const twinFields: ReadonlySet<RowField> = new Set([...versionFields, 'tags', 'properties']);

/** Everything up to FROM and its joins: only what is asked for is read. */
function selectionOf(
  paths: readonly FieldPath[] | undefined,
  values: Values | undefined,
  now: number,
  /** Documents lead, and identities follow. */
  isIndexed: boolean,
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
    if (asksFor(paths, versionFields)) columns.push(sql`twin.changes, twin.reported_version, twin.model_id`);
    if (!isIndexed) join('twins', 'twin', ofGeneration('twin'));
  }
  if (paths?.some(isOfDocument) ?? true) {
    if (!isIndexed) join('twin_documents', 'text', sql`and twin.device_id is not null`);
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
  if (asksFor(paths, configurationFields)) {
    columns.push(sql`configured.states`);
    join('configured', 'configured', ofGeneration('configured'));
  }
  const from = isIndexed
    ? sql`twin_documents as text
        join identities as identity on identity.device_id = text.device_id and identity.module_id = text.module_id
        join twins as twin on twin.device_id = text.device_id and twin.module_id = text.module_id ${ofGeneration('twin')}`
    : sql`identities as identity`;
  return sql<Row>`select ${sql.join(columns)} from ${from} ${sql.join(joins, sql` `)}`;
}

function rowOf(row: Row, values: Values | undefined): FleetRow {
  const { tail } = row;
  const isWhole = values === undefined || (tail ?? '') !== '' || row.has_document !== 1;
  return new TwinRow({
    place: { deviceId: row.device_id, moduleId: row.module_id },
    identity: () => ({
      ...rowIdentity(row),
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
    configurations: () => {
      const { states } = row;
      return states === undefined || states === null || states === '{}'
        ? undefined
        : (JSON.parse(states) as ConfigurationStates);
    },
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

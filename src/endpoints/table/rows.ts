/**
 * Events as rows of one table of PostgreSQL. The key is the event's place in the log (hub, partition, sequence number): an event that
 * is delivered again changes nothing. A key of Timescale must hold the time that it divides by; the enqueued time belongs to the place and
 * is always the same, so it is in the key as well.
 */
import type pg from 'pg';
import { limits } from '../../base/limits.ts';
import { type EventView, jsonBody } from '../event-view.ts';

export interface TableOptions {
  readonly url: string;
  /** `name`, or `schema.name`; checked by whoever declares it. */
  readonly table: string;
  readonly hub: string;
  /** Told of a connection that breaks while it is not used. */
  lost(error: Error): void;
}

/** The database has not taken the rows. Another try may help, unless it is for the data. */
export class RowsFailed extends Error {
  override readonly name = 'RowsFailed';
  /** What a row holds is refused (SQLSTATE classes 22 and 54), not the connection, the table or the rights. */
  readonly isOfData: boolean;
  constructor(message: string, isOfData: boolean) {
    super(message);
    this.isOfData = isOfData;
  }
}

export class EventTable {
  readonly #options: TableOptions;
  readonly #table: string;
  #pool: Promise<pg.Pool> | undefined;
  #made: Promise<void> | undefined;

  constructor(options: TableOptions) {
    this.#options = options;
    this.#table = options.table.split('.').map(quoted).join('.');
  }

  /**
   * Writes all, or none. Makes the table if it is missing.
   * @param asBytes bodies that are JSON as bytes, too: PostgreSQL cannot hold every one (lone surrogates, numbers without end)
   * @throws RowsFailed
   */
  async write(events: readonly EventView[], asBytes = false): Promise<void> {
    try {
      this.#made ??= this.#make();
      await this.#made;
    } catch (error) {
      this.#made = undefined;
      throw failed(error);
    }
    try {
      const values = columnsOf(events, this.#options.hub, asBytes);
      await (await this.#opened()).query({ name: 'events', text: insertInto(this.#table), values });
    } catch (error) {
      throw failed(error);
    }
  }

  async close(): Promise<void> {
    await (await this.#pool)?.end();
  }

  /** The driver is loaded by hubs that have such an endpoint. */
  #opened(): Promise<pg.Pool> {
    this.#pool ??= openPool(this.#options);
    return this.#pool;
  }

  async #make(): Promise<void> {
    // Asked first: who may only insert may not create, though the table is there.
    const pool = await this.#opened();
    const { rows } = await pool.query('select to_regclass($1) is not null as there', [this.#table]);
    if (rows[0]?.there === true) return;
    await pool.query(createTable(this.#table));
  }
}

async function openPool({ url, lost }: TableOptions): Promise<pg.Pool> {
  const { Pool } = (await import('pg')).default;
  const pool = new Pool({
    connectionString: url,
    max: limits.tableConnectionsMax,
    connectionTimeoutMillis: limits.tableStatementMs,
    query_timeout: limits.tableStatementMs,
    statement_timeout: limits.tableStatementMs,
    application_name: 'mooring',
  });
  pool.on('error', lost);
  return pool;
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

const createTable = (table: string): string => `create table if not exists ${table} (
  hub text not null,
  partition integer not null,
  sequence bigint not null,
  enqueued_time timestamptz not null,
  source text not null,
  device_id text,
  module_id text,
  message_id text,
  content_type text,
  content_encoding text,
  properties jsonb not null,
  body jsonb,
  body_bytes bytea,
  primary key (hub, partition, sequence, enqueued_time)
)`;

const insertInto = (
  table: string,
): string => `insert into ${table} (hub, partition, sequence, enqueued_time, source, device_id,
  module_id, message_id, content_type, content_encoding, properties, body, body_bytes)
select * from unnest($1::text[], $2::int[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[],
  $7::text[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::jsonb[], $13::bytea[])
on conflict do nothing`;

/** One array a column: a statement of any number of rows has thirteen parameters. */
function columnsOf(events: readonly EventView[], hub: string, asBytes: boolean): unknown[] {
  const columns: unknown[][] = Array.from({ length: COLUMNS }, () => []);
  for (const event of events) {
    const { message } = event;
    const json = jsonBody(event);
    const isStored = json !== undefined && !asBytes && !cannotHold(json.text);
    const row = [
      ...[hub, event.partition, event.sequence, new Date(event.enqueuedTime).toISOString(), event.source],
      ...[event.deviceId, event.moduleId, message.messageId, message.contentType, message.contentEncoding].map(
        textOrNull,
      ),
      JSON.stringify(
        Object.fromEntries(event.properties.map(([name, value]) => [withoutNul(name), value && withoutNul(value)])),
      ),
      isStored ? json.text : null,
      isStored ? null : message.body,
    ];
    for (const [at, value] of row.entries()) columns[at].push(value);
  }
  return columns;
}

const COLUMNS = 13;

/** PostgreSQL has no NUL in texts: what has one is kept as its bytes, or loses it where it is a name. */
const cannotHold = (text: string): boolean => text.includes('\0') || text.includes('\\u0000');
const withoutNul = (text: string): string => text.replaceAll('\0', '');
const textOrNull = (text: string | undefined): string | null => (text === undefined ? null : withoutNul(text));

function failed(error: unknown): RowsFailed {
  const { code, message } = error as { code?: unknown; message: string };
  return new RowsFailed(message, typeof code === 'string' && /^(22|54)...$/.test(code));
}
